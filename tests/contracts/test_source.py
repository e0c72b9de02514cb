"""What a source of messages is to a stage, in memory and on Apache Kafka."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from ingest.adapters.batches import GroupSource
from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemorySource, MemoryTopic
from ingest.errors import Unavailable
from ingest.ports import Fetched, Source
from schemas import topics
from schemas.offsets import Written
from services.demo.kafka import Kafka
from tests.support.stages import move
from tests.support.topics import admin, make_topics, write

_numbers = itertools.count(1)


class Subject(NamedTuple):
    """A topic, and a way to make a member of one group."""

    member: Callable[[], Source]
    put: Callable[[Sequence[bytes]], Awaitable[None]]


@pytest_asyncio.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        with pytest.warns(InMemory):
            topic = MemoryTopic("detections")

        async def put(values: Sequence[bytes]) -> None:
            for value in values:
                topic.put(value)

        yield Subject(lambda: MemorySource(topic, max_records=3), put)
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    await make_topics(kafka.bootstrap)
    group = f"source-{next(_numbers)}"
    await move(kafka.bootstrap, group, topic=topics.DETECTIONS)

    async def write_to_kafka(values: Sequence[bytes]) -> None:
        await write(kafka.bootstrap, topics.DETECTIONS, *((b"one key", value) for value in values))

    yield Subject(lambda: member(kafka.bootstrap, group), write_to_kafka)


def member(bootstrap: str, group: str, instance: str = "1", *, remembers: bool = False) -> GroupSource:
    return GroupSource(
        bootstrap,
        topics.DETECTIONS,
        group=group,
        instance=instance,
        max_records=3,
        session_timeout_s=6.0,
        remembers=remembers,
    )


async def fetched(source: Source) -> Fetched:
    """Return the next batch that is not empty."""
    async with asyncio.timeout(60):
        while True:
            batch = await source.fetch()
            if batch.messages:
                return batch


async def values(source: Source, count: int) -> list[bytes | None]:
    """Fetch and commit until so many messages are there; each batch within its bound."""
    found: list[bytes | None] = []
    while len(found) < count:
        batch = await fetched(source)
        assert len(batch.messages) <= 3
        assert batch.positions == {(one.topic, one.partition): one.offset + 1 for one in batch.messages}
        found += [message.value for message in batch.messages]
        async with source.holding(batch) as ours:
            assert ours
            assert await source.commit(batch, {})
    return found


WORDS = [str(number).encode() for number in range(10)]


async def test_messages_come_in_order_and_once(subject: Subject) -> None:
    await subject.put(WORDS)
    source = subject.member()
    await source.start()
    try:
        assert await values(source, 10) == WORDS
        assert list((await source.fetch()).messages) == []
        await subject.put([b"later"])
        assert await values(source, 1) == [b"later"]
    finally:
        await source.stop()


async def test_a_batch_says_how_many_messages_come_after_it(subject: Subject) -> None:
    await subject.put(WORDS)
    source = subject.member()
    await source.start()
    try:
        batches = [await fetched(source) for _ in range(4)]
        place = next(iter(batches[0].positions))
        assert [batch.lag[place] for batch in batches] == [7, 4, 1, 0]
        assert (await source.fetch()).lag[place] == 0
    finally:
        await source.stop()


async def test_the_next_member_goes_on_after_what_was_committed(subject: Subject) -> None:
    await subject.put(WORDS)
    first = subject.member()
    await first.start()
    done = await values(first, 3)
    lost = await fetched(first)
    await first.stop()
    assert [message.value for message in lost.messages] == WORDS[3:6], "fetched, and not committed"

    second = subject.member()
    await second.start()
    try:
        assert done + await values(second, 7) == WORDS
    finally:
        await second.stop()


async def test_a_batch_is_not_ours_after_a_rebalance(kafka: Kafka) -> None:
    await make_topics(kafka.bootstrap)
    group = f"source-{next(_numbers)}"
    await move(kafka.bootstrap, group, topic=topics.DETECTIONS)
    await write(kafka.bootstrap, topics.DETECTIONS, (b"one key", b"one"))
    first, second = member(kafka.bootstrap, group), member(kafka.bootstrap, group, "2")
    await first.start()
    batch = await fetched(first)
    async with first.holding(batch) as ours:
        assert ours
        joining = asyncio.create_task(second.start())
        done, _ = await asyncio.wait({joining}, timeout=2)
        assert not done, "partitions are not given up while a batch is worked off"
    async with asyncio.timeout(60):
        await joining
    try:
        async with first.holding(batch) as ours:
            assert not ours
    finally:
        await first.stop()
        await second.stop()


async def test_that_needed_messages_have_expired_is_known_before_anything_is_fetched(kafka: Kafka) -> None:
    """The first fetch may bring another partition's messages alone, and what is remembered begins with them."""
    await make_topics(kafka.bootstrap)
    group = f"source-{next(_numbers)}"
    await move(kafka.bootstrap, group, topic=topics.DETECTIONS)
    await write(kafka.bootstrap, topics.DETECTIONS, *((b"one key", value) for value in WORDS[:3]))
    first, second = (member(kafka.bootstrap, group, remembers=True) for _ in range(2))
    await first.start()
    batch = await fetched(first)
    [(place, end)] = batch.positions.items()
    assert await first.commit(batch, {place: (end - 3, Written(done=end))})
    await first.stop()
    async with admin(kafka.bootstrap) as client:
        await client.delete_records({TopicPartition(*place): RecordsToDelete(before_offset=end - 1)})
    await second.start()
    try:
        known = await second._rebalances.known(second._rebalances.epoch)
        gone = {(at.topic, at.partition) for at, one in known.items() if one.beginning_gone}
        assert gone == {place}
        assert known[TopicPartition(*place)].done == end
        assert [message.value for message in (await fetched(second)).messages] == WORDS[2:3]
    finally:
        await second.stop()


async def test_no_broker_is_an_outage() -> None:
    with pytest.raises(Unavailable):
        await member("127.0.0.1:1", "nobody").start()


async def test_a_topic_that_is_not_there_yet_is_waited_for(kafka: Kafka) -> None:
    name = f"late-{next(_numbers)}"
    source = GroupSource(kafka.bootstrap, name, group=name, instance="1", max_records=3, session_timeout_s=6.0)
    starting = asyncio.create_task(source.start())
    done, _ = await asyncio.wait({starting}, timeout=1)
    assert not done
    async with admin(kafka.bootstrap) as client:
        await client.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    async with asyncio.timeout(60):
        await starting
    await write(kafka.bootstrap, name, (b"", b"one"))
    try:
        assert await values(source, 1) == [b"one"]
    finally:
        await source.stop()
