"""The relay's two moves, in memory: what is published, and what stays when it is not."""

from collections.abc import Sequence

import msgspec
import pytest

from ingest.adapters.memory import MemoryPublisher, MemoryRegistry
from ingest.errors import Misconfigured, Unavailable
from ingest.relay import carry, reconcile
from schemas import topics, wire
from schemas.cameras import Camera
from tests.support.cameras import camera

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")


class Row(msgspec.Struct, frozen=True):
    id: int
    topic: str
    key: bytes
    value: bytes


class MemoryOutbox:
    def __init__(self, rows: Sequence[Row] = (), cameras: Sequence[Camera] = ()) -> None:
        self.rows = list(rows)
        self._cameras = cameras

    async def waiting(self, limit: int) -> list[Row]:
        return self.rows[:limit]

    async def done(self, ids: Sequence[int]) -> None:
        self.rows = [row for row in self.rows if row.id not in ids]

    async def cameras(self) -> Sequence[Camera]:
        return self._cameras


def rows(count: int, size: int = 1) -> list[Row]:
    return [Row(number, topics.CAMERAS, b"cam", str(number).encode() * size) for number in range(count)]


async def test_what_is_acknowledged_is_forgotten_in_order() -> None:
    outbox, publisher = MemoryOutbox(rows(700)), MemoryPublisher()
    assert [await carry(outbox, publisher) for _ in range(3)] == [500, 200, 0]
    assert [value for _, value in publisher.records[topics.CAMERAS]] == [str(n).encode() for n in range(700)]
    assert outbox.rows == []


async def test_what_is_not_acknowledged_stays() -> None:
    outbox, publisher = MemoryOutbox(rows(3)), MemoryPublisher()
    publisher.available = False
    with pytest.raises(Unavailable):
        await carry(outbox, publisher)
    assert len(outbox.rows) == 3


async def test_a_record_that_is_refused_stays_and_is_said() -> None:
    outbox, publisher = MemoryOutbox([*rows(1), Row(1, topics.CAMERAS, b"cam", b"x" * 2_000_000)]), MemoryPublisher()
    with pytest.raises(Misconfigured):
        await carry(outbox, publisher)
    assert [row.id for row in outbox.rows] == [1]


async def test_only_what_the_stream_lacks_is_published() -> None:
    lost, same, older, ahead = (camera()[0] for _ in range(4))
    newer = msgspec.structs.replace(older, revision=1)
    publisher = MemoryPublisher()
    registry = MemoryRegistry([same, older, msgspec.structs.replace(ahead, revision=5)])
    assert await reconcile(MemoryOutbox(cameras=[lost, same, newer, ahead]), registry, publisher) == (2, 1)
    assert [wire.decode(value, Camera) for _, value in publisher.records[topics.CAMERAS]] == [lost, newer]
