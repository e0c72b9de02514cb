"""A look at the dead letters, in memory and on Apache Kafka."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from ingest import deadletter
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.letters import KafkaLetters
from ingest.adapters.memory import MemoryLetters, MemoryPublisher
from ingest.errors import Unavailable
from ingest.ports import Letters, Publisher
from schemas import topics, wire
from schemas.deadletters import DeadLetter
from schemas.detections import event_id
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.demo.process import free_port
from tests.support.cameras import new_id
from tests.support.detections import detection
from tests.support.topics import make_topics

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")


class Subject(NamedTuple):
    letters: Letters
    few: Letters
    publisher: Publisher
    camera_id: str

    async def write(self, *numbers: int) -> list[DeadLetter]:
        """Set reads of one camera aside, one after the other."""
        made = [
            deadletter.of_detection(
                "gateway",
                "clock_future",
                detection(number, camera_id=self.camera_id, event_id=event_id(self.camera_id, str(number))),
                datetime.now(UTC),
            )
            for number in numbers
        ]
        records = [(deadletter.key(one), wire.encode(one)) for one in made]
        assert not any(await self.publisher.publish(topics.DEAD_LETTERS, records))
        return made

    async def looked(self, since: datetime | None = None) -> tuple[list[DeadLetter], bool]:
        """Return this camera's letters by their place, and whether there were older ones."""
        found: list[tuple[tuple[int, int, int], DeadLetter]] = []
        cut = await self.letters.look(since, lambda place, letter: found.append((place, letter)))
        return [letter for _, letter in sorted(found) if letter.camera_id == self.camera_id], cut


@pytest.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryPublisher()
        yield Subject(MemoryLetters(memory), MemoryLetters(memory, limit=2), memory, new_id())
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    await make_topics(kafka.bootstrap)
    async with (
        KafkaLetters(kafka.bootstrap, timeout_s=30) as whole,
        KafkaLetters(kafka.bootstrap, timeout_s=30, limit=2) as few,
        KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher,
    ):
        yield Subject(whole, few, publisher, new_id())


async def test_letters_come_in_the_order_in_which_they_were_written(subject: Subject) -> None:
    written = await subject.write(3, 1, 2) + await subject.write(5, 4)
    assert await subject.looked() == (written, False)
    assert await subject.looked() == (written, False), "a look takes nothing away"


async def test_a_look_may_begin_at_a_time(subject: Subject) -> None:
    await subject.write(1)
    await asyncio.sleep(0.05)
    since = datetime.now(UTC)
    await asyncio.sleep(0.05)
    later = await subject.write(2, 3)
    assert (await subject.looked(since))[0] == later
    assert (await subject.looked(datetime(9999, 12, 31, tzinfo=UTC)))[0] == []
    for long_ago in (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(1969, 12, 31, tzinfo=UTC)):
        assert len((await subject.looked(long_ago))[0]) == 3


async def test_a_look_is_bounded_and_says_so(subject: Subject) -> None:
    written = await subject.write(1, 2, 3)
    found: list[DeadLetter] = []
    assert await subject.few.look(None, lambda _, letter: found.append(letter))
    assert [letter for letter in found if letter.camera_id == subject.camera_id] == written[-2:]


async def test_what_is_no_letter_is_passed_over(subject: Subject) -> None:
    first = await subject.write(1)
    assert not any(await subject.publisher.publish(topics.DEAD_LETTERS, [(subject.camera_id.encode(), b"{")]))
    second = await subject.write(2)
    assert (await subject.looked())[0] == first + second


async def test_without_a_broker_there_is_no_look() -> None:
    memory = MemoryPublisher()
    memory.available = False
    with pytest.raises(Unavailable):
        await MemoryLetters(memory).look(None, lambda *_: None)
    with pytest.raises(Unavailable):
        await KafkaLetters(f"127.0.0.1:{free_port()}", timeout_s=5).look(None, lambda *_: None)


async def test_two_looks_at_once_each_see_everything(subject: Subject) -> None:
    written = await subject.write(1, 2, 3)
    looks = await asyncio.gather(subject.looked(), subject.looked(), subject.looked())
    assert [found for found, _ in looks] == [written] * 3


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    kafka = kafka_starter.start(tmp_path / "kafka")
    yield kafka
    if kafka.alive:
        kafka.stop()


async def test_looks_share_connections_and_outlive_the_broker_being_away(own_kafka: Kafka) -> None:
    await make_topics(own_kafka.bootstrap)
    async with (
        KafkaLetters(own_kafka.bootstrap, timeout_s=30) as letters,
        KafkaPublisher(own_kafka.bootstrap, timeout_s=30) as publisher,
    ):
        subject = Subject(letters, letters, publisher, new_id())
        written = await subject.write(1)
        assert (await subject.looked())[0] == written
        connected = connections(own_kafka)
        assert connected
        for _ in range(3):
            assert (await subject.looked())[0] == written
            assert connections(own_kafka) == connected
        await asyncio.to_thread(own_kafka.kill)
        await asyncio.to_thread(own_kafka.restart)  # while nobody looks: the next one finds a broken connection
        assert (await subject.looked())[0] == written
        await asyncio.to_thread(own_kafka.kill)
        with pytest.raises(Unavailable):
            await letters.look(None, lambda *_: None)


def connections(kafka: Kafka) -> set[int]:
    """Return our own ends of connections to a broker."""
    open_ = [one for one in psutil.Process().net_connections("tcp") if one.status == "ESTABLISHED"]
    return {one.laddr.port for one in open_ if one.raddr.port == kafka.port}
