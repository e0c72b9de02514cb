"""What a group's source makes of a log that has lost its beginning, or is another one."""

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from ingest.adapters import partitions
from ingest.adapters.batches import GroupSource
from ingest.errors import Unavailable
from schemas import offsets
from schemas.offsets import Written

AT = TopicPartition("detections", 3)
PLACE = (AT.topic, AT.partition)


class Log:
    """A consumer of one partition, which begins at an offset; its group has committed another one."""

    def __init__(self, begins_at: int, committed: int) -> None:
        self.begins_at = begins_at
        self.position_: int = committed
        self.marks: dict[TopicPartition, tuple[int, str]] = {}
        self.messages: list[object] = []

    async def getmany(self, **_: object) -> dict[TopicPartition, list[object]]:
        if self.position_ != self.begins_at and not self.messages:
            raise OffsetOutOfRangeError({AT: self.position_})
        return {AT: self.messages} if self.messages else {}

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position_ = offset

    async def seek_to_beginning(self, _: TopicPartition) -> None:
        self.position_ = self.begins_at

    async def position(self, _: TopicPartition) -> int:
        return self.position_

    async def commit(self, marks: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.marks |= marks

    def assignment(self) -> set[TopicPartition]:
        return {AT}

    def highwater(self, _: TopicPartition) -> None:
        return None

    def last_poll_timestamp(self, _: TopicPartition) -> None:
        return None


class Source(GroupSource):
    """A source on a log, whose group has left something beside its offset."""

    def __init__(self, log: Log, written: Written, *, remembers: bool = True) -> None:
        self.lost = 0
        super().__init__(
            "nobody:1", "detections", group="g", instance="1", max_records=9, session_timeout_s=6.0,
            lost=self.count, remembers=remembers,
        )  # fmt: skip
        self._consumer = log
        self._answer = written

    def count(self, lost: int) -> None:
        self.lost += lost

    async def _written(self, assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        return dict.fromkeys(assigned, self._answer)

    async def joined(self) -> "Source":
        await self._rebalances.on_partitions_revoked([])
        await self._rebalances.on_partitions_assigned([AT])
        return self


@pytest.mark.parametrize(
    ("begins_at", "done", "lost"),
    [(15, 20, 0), (20, 20, 0), (26, 20, 6)],
)
async def test_where_reads_that_are_needed_again_have_expired_the_first_window_may_be_partial(
    begins_at: int, done: int, lost: int
) -> None:
    """The group has committed offset 10, where the oldest open pass began."""
    log = Log(begins_at, committed=10)
    source = await Source(log, Written(done=done, whole_after_s=5.0)).joined()
    fetched = await source.fetch()
    expected = Written(done=max(done, begins_at), whole_after_s=5.0, beginning_gone=True)
    assert fetched.written == {PLACE: expected}, "what is taken from now on begins with it"
    assert log.marks == {AT: (begins_at, offsets.encode(expected))}, "and so does a restart"
    assert source.lost == lost
    assert (await source.fetch()).written == {PLACE: expected}
    assert source.lost == lost, "counted once"


async def test_what_nobody_knows_stays_unknown() -> None:
    log = Log(15, committed=10)
    source = await Source(log, Written(done=None)).joined()
    assert (await source.fetch()).written == {PLACE: Written(done=None)}
    assert source.lost == 5


async def test_of_a_log_that_ends_before_the_offset_nothing_counts_as_written() -> None:
    """A topic that was made anew: reads must not pass as written because others stood at their offsets."""
    log = Log(0, committed=10)
    source = await Source(log, Written(done=20)).joined()
    with pytest.raises(Unavailable, match="made anew"):
        await source.fetch()
    assert log.marks == {AT: (0, offsets.encode(Written(done=None)))}, "a restart begins there"
    assert source.lost == 0


async def test_one_that_remembers_nothing_goes_on_there() -> None:
    log = Log(0, committed=10)
    source = await Source(log, Written(done=20), remembers=False).joined()
    assert (await source.fetch()).written == {PLACE: Written(done=None)}


@pytest.mark.parametrize(("begins_at", "messages"), [(10, []), (10, [SimpleNamespace(offset=12)]), (15, [])])
async def test_who_waits_for_partitions_asks_again_meanwhile(
    monkeypatch: pytest.MonkeyPatch, begins_at: int, messages: list[object]
) -> None:
    """The client tells what ends a member, as the loss of its name, to nobody but who asks it for messages."""
    monkeypatch.setattr(partitions, "ANSWER_S", 0.01)
    log = Log(begins_at, committed=10)
    log.messages = messages
    source = await Source(log, Written(done=10)).joined()
    await source._rebalances.on_partitions_revoked([AT])
    for _ in range(2):
        fetched = await asyncio.wait_for(source.fetch(), 10)
        assert (fetched.messages, fetched.positions) == ([], {})
    assert source.lost == 0
    assert log.marks == {}
    if messages:
        assert log.position_ == 12, "they are put back"


async def test_the_answer_about_partitions_that_went_is_no_answer_about_those_that_came() -> None:
    """The broker may say the one long after it has said the other."""
    asked: list[tuple[list[int], asyncio.Future[None]]] = []

    async def written(assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        given = list(assigned)
        asked.append(([at.partition for at in given], asyncio.Future()))
        await asked[-1][1]
        return {at: Written(done=at.partition) for at in given}

    of = partitions.Rebalances(written)
    old, new = TopicPartition("detections", 1), TopicPartition("detections", 2)
    await of.on_partitions_revoked([])
    first = asyncio.create_task(of.on_partitions_assigned([old]))
    await asyncio.sleep(0)
    await of.on_partitions_revoked([old])
    second = asyncio.create_task(of.on_partitions_assigned([new]))
    await asyncio.sleep(0)
    assert [numbers for numbers, _ in asked] == [[1]], "one is asked about after the other"
    asked[0][1].set_result(None)
    await first
    await asyncio.sleep(0)
    asked[1][1].set_result(None)
    await second
    assert await of.known(of.epoch) == {new: Written(done=2)}
