"""What a publisher does, in memory and on Apache Kafka."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ingest.adapters.kafka import BATCH_BYTES, KafkaPublisher
from ingest.adapters.memory import MemoryPublisher
from ingest.errors import TooLarge, Unavailable
from schemas import topics
from services.demo.kafka import Kafka
from tests.support.publishing import Subject, publishing
from tests.support.topics import make_topics, set_configs, tail

TOO_LARGE = b"x" * (topics.load(topics.DETECTIONS).max_message_bytes + 1)

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")


@pytest.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with publishing(request, topics.DETECTIONS) as made:
        yield made


@pytest.mark.parametrize("topic", topics.ALL)
def test_every_topic_takes_a_whole_batch(topic: str) -> None:
    assert topics.load(topic).max_message_bytes >= BATCH_BYTES


async def test_nothing_is_nothing(subject: Subject) -> None:
    assert await subject.publisher.publish(topics.DETECTIONS, []) == []


@pytest.mark.parametrize("count", [1, 3, 100])
async def test_every_record_is_there_when_it_returns(subject: Subject, count: int) -> None:
    items = [(f"cam-{number % 7}".encode(), str(number).encode()) for number in range(count)]
    assert await subject.publisher.publish(topics.DETECTIONS, items) == [None] * count
    assert sorted(await subject.read()) == sorted(items)


async def test_records_of_one_key_keep_their_order(subject: Subject) -> None:
    first = [(b"cam-1", str(number).encode() * 2000) for number in range(300)]  # more than a batch holds
    second = [(b"cam-1", b"after"), (b"cam-1", b"that")]
    await subject.publisher.publish(topics.DETECTIONS, first)
    await subject.publisher.publish(topics.DETECTIONS, second)
    assert await subject.read() == first + second


@pytest.mark.parametrize("others", [2, 50])
async def test_one_record_too_large_does_not_harm_the_others(subject: Subject, others: int) -> None:
    items = [(b"cam-1", b"small")] * others
    results = await subject.publisher.publish(topics.DETECTIONS, [*items, (b"cam-1", TOO_LARGE), *items])
    assert [type(result) for result in results] == [type(None)] * others + [TooLarge] + [type(None)] * others
    assert len(await subject.read()) == 2 * others


async def test_many_at_once_all_arrive(subject: Subject) -> None:
    sizes = [1, 50, 3, 200, 1, 1, 17]
    lists = [[(f"cam-{one}".encode(), f"{one}-{at}".encode()) for at in range(size)] for one, size in enumerate(sizes)]
    await asyncio.gather(*(subject.publisher.publish(topics.DETECTIONS, items) for items in lists))
    assert sorted(await subject.read()) == sorted(item for items in lists for item in items)


async def test_what_the_broker_refuses_is_said_and_the_next_is_written(kafka: Kafka) -> None:
    """A producer that has numbered a batch which was refused is of no more use; the publisher takes a new one."""
    await make_topics(kafka.bootstrap)
    await set_configs(kafka.bootstrap, topics.DETECTIONS, {"max.message.bytes": "1000"})
    try:
        async with (
            KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher,
            tail(kafka.bootstrap, topics.DETECTIONS) as written,
        ):
            for count in (1, 10):
                refused = await publisher.publish(topics.DETECTIONS, [(b"cam-1", b"x" * 3000)] * count)
                assert [type(result) for result in refused] == [TooLarge] * count
                assert await publisher.publish(topics.DETECTIONS, [(b"cam-1", b"small")]) == [None]
            assert await written.records() == [(b"cam-1", b"small")] * 2
    finally:
        await make_topics(kafka.bootstrap)


@pytest.mark.parametrize("count", [3, 40, 400])
async def test_a_topic_that_takes_less_than_we_send_gets_all_that_it_can_take(kafka: Kafka, count: int) -> None:
    """The broker refuses a batch whole: whatever is not at fault goes again, in batches that it takes."""
    await make_topics(kafka.bootstrap)
    await set_configs(kafka.bootstrap, topics.DETECTIONS, {"max.message.bytes": "2000"})
    items = [(f"cam-{number % 3}".encode(), str(number).encode() * 100) for number in range(count)]
    items[count // 2] = (b"cam-1", b"x" * 3000)
    try:
        async with (
            KafkaPublisher(kafka.bootstrap, timeout_s=60) as publisher,
            tail(kafka.bootstrap, topics.DETECTIONS) as written,
        ):
            for _ in range(2):
                results = await publisher.publish(topics.DETECTIONS, items)
                assert {at for at, result in enumerate(results) if result is not None} == {count // 2}
                assert isinstance(results[count // 2], TooLarge)
            expected = items[: count // 2] + items[count // 2 + 1 :]
            assert sorted(await written.records()) == sorted(expected * 2)
    finally:
        await make_topics(kafka.bootstrap)


async def test_without_a_broker_it_does_not_start() -> None:
    with pytest.raises(Unavailable):
        await KafkaPublisher("127.0.0.1:9", timeout_s=5).start()


async def test_in_memory_it_can_be_switched_off() -> None:
    publisher = MemoryPublisher()
    publisher.available = False
    with pytest.raises(Unavailable):
        await publisher.publish(topics.DETECTIONS, [(b"k", b"v")])
