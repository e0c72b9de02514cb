"""What a source of messages is to a stage, in memory and on Apache Kafka."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.errors import KafkaConnectionError

from ingest.adapters.batches import GroupSource
from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemorySource, MemoryTopic
from ingest.errors import NotYet, Unavailable
from ingest.ports import Fetched, Kept, Place, Source
from schemas import topics
from schemas.offsets import Written
from services.demo.kafka import Kafka
from tests.support.stages import move
from tests.support.topics import admin, delete, make_topics, write
from tests.support.wait import until_async

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


def member(
    bootstrap: str,
    group: str,
    instance: str = "1",
    *,
    topic: str = topics.DETECTIONS,
    remembers: bool = False,
    committed_only: bool = False,
) -> GroupSource:
    return GroupSource(
        bootstrap,
        topic,
        group=group,
        instance=instance,
        max_records=3,
        session_timeout_s=6.0,
        remembers=remembers,
        committed_only=committed_only,
    )


async def make_topic(bootstrap: str, name: str) -> None:
    """Make a topic of one partition."""
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])


async def fetched(source: Source) -> Fetched:
    """Return the next batch that is not empty."""
    async with asyncio.timeout(60):
        while True:
            batch = await source.fetch()
            if batch.messages:
                return batch


async def fetched_for_ever(source: Source) -> None:
    async with asyncio.timeout(60):
        while True:
            await source.fetch()


def kept(batch: Fetched, *, remembers: bool) -> dict[Place, Kept]:
    """Return what a stage that remembers would keep of a batch, with no pass open."""
    return {place: (end, Written(done=end)) for place, end in batch.positions.items()} if remembers else {}


async def values(source: Source, count: int, *, remembers: bool = False) -> list[bytes | None]:
    """Fetch and commit until so many messages are there; each batch within its bound."""
    found: list[bytes | None] = []
    while len(found) < count:
        batch = await fetched(source)
        assert len(batch.messages) <= 3
        assert batch.positions == {(one.topic, one.partition): one.offset + 1 for one in batch.messages}
        found += [message.value for message in batch.messages]
        async with source.holding(batch) as ours:
            assert ours
            assert await source.commit(batch, kept(batch, remembers=remembers))
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
        assert known is not None
        gone = {(at.topic, at.partition) for at, one in known.items() if one.beginning_gone}
        assert gone == {place}
        assert known[TopicPartition(*place)].done == end
        assert [message.value for message in (await fetched(second)).messages] == WORDS[2:3]
    finally:
        await second.stop()


async def begin_transaction(bootstrap: str, topic: str) -> AIOKafkaProducer:
    """Write three records to each partition in a transaction that is not over; return its producer."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-writer")
    await producer.start()
    await producer.begin_transaction()
    for partition in await producer.partitions_for(topic):
        for word in WORDS[:3]:
            await producer.send_and_wait(topic, word, partition=partition)
    return producer


async def test_what_was_undone_is_passed_also_where_nothing_else_stands(kafka: Kafka) -> None:
    name = f"undone-{next(_numbers)}"
    async with admin(kafka.bootstrap) as client:
        await client.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])
    producer = await begin_transaction(kafka.bootstrap, name)
    await producer.abort_transaction()
    await producer.stop()
    passed_to: dict[Place, int] = {}
    source = member(kafka.bootstrap, name, topic=name, committed_only=True)
    await source.start()
    try:

        async def passed() -> bool:
            batch = await source.fetch()
            assert not batch.messages
            passed_to.update(batch.positions)
            return passed_to == {(name, number): 4 for number in range(3)}  # three records, and the end

        await until_async(passed, "the group is at the end")
    finally:
        await source.stop()


async def test_what_an_open_transaction_holds_back_is_behind_whoever_has_just_come(kafka: Kafka) -> None:
    name = f"open-{next(_numbers)}"
    await make_topic(kafka.bootstrap, name)
    producer = await begin_transaction(kafka.bootstrap, name)
    source = member(kafka.bootstrap, name, topic=name, committed_only=True)
    await source.start()
    try:

        async def behind() -> bool:
            batch = await source.fetch()
            assert not batch.messages
            return batch.lag == {(name, 0): 3} and batch.unanswered_s == math.inf

        await until_async(behind, "it says how much it has not read")
        await producer.commit_transaction()
        assert [message.value for message in (await fetched(source)).messages] == WORDS[:3]
    finally:
        await source.stop()
        await producer.stop()


async def make_anew(bootstrap: str, name: str, words: Sequence[bytes]) -> None:
    """Delete a topic of one partition, make it again, and write to it once it is led."""
    await delete(bootstrap, name)
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])

        async def led() -> bool:
            [found] = await client.describe_topics([name])
            return [part["leader"] >= 0 for part in found["partitions"]] == [True]

        await until_async(led, "it is there again")
    await write(bootstrap, name, *((b"one key", word) for word in words))


async def read_halfway(bootstrap: str, name: str, *, remembers: bool) -> tuple[GroupSource, Fetched]:
    """Return a member that has committed three of six messages, and the next three."""
    await make_topic(bootstrap, name)
    source = member(bootstrap, name, topic=name, remembers=remembers)
    await source.start()
    await write(bootstrap, name, *((b"one key", word) for word in WORDS[:6]))
    assert await values(source, 3, remembers=remembers) == WORDS[:3]
    return source, await fetched(source)


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("length", [2, 9])
async def test_a_topic_that_is_made_anew_while_it_is_read_ends_its_reader(
    kafka: Kafka, length: int, remembers: bool
) -> None:
    """Whether it ends before what was read of the former one, or has grown past it by then."""
    name = f"anew-{next(_numbers)}"
    source, last = await read_halfway(kafka.bootstrap, name, remembers=remembers)
    try:
        assert await source.commit(last, kept(last, remembers=remembers))
        await make_anew(kafka.bootstrap, name, WORDS[:length])
        with pytest.raises(Unavailable, match=f"{name} was deleted and made anew"):
            await fetched_for_ever(source)
    finally:
        await source.stop()


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("length", [2, 9])
async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    kafka: Kafka, capsys: pytest.CaptureFixture[str], length: int, remembers: bool
) -> None:
    """A member that worked a batch off meanwhile has moved the group past what it never read of the new topic."""
    name = f"anew-{next(_numbers)}"
    source, last = await read_halfway(kafka.bootstrap, name, remembers=remembers)
    await make_anew(kafka.bootstrap, name, WORDS[:length])
    assert await source.commit(last, kept(last, remembers=remembers))
    await source.stop()
    second = member(kafka.bootstrap, name, topic=name, remembers=remembers)
    await second.start()
    try:
        first = await fetched(second)
        place = (name, 0)
        assert first.written[place].done is None, "nothing of it was written"
        assert [message.value for message in first.messages] == WORDS[: min(3, length)]
        assert await second.commit(first, kept(first, remembers=remembers))
        assert await values(second, length - len(first.messages), remembers=remembers) == WORDS[3:length]
    finally:
        await second.stop()
    third = member(kafka.bootstrap, name, topic=name, remembers=remembers)
    await third.start()
    try:
        assert not (await third.fetch()).messages, "it is read once"
    finally:
        await third.stop()
    assert capsys.readouterr().out.count("made_anew") == 1


class Unheard(GroupSource):
    """A member whose broker does not say, so many times, what was written of the partitions that it assigns."""

    def __init__(self, bootstrap: str, topic: str, *, silences: int) -> None:
        super().__init__(bootstrap, topic, group=topic, instance="1", max_records=3, session_timeout_s=6.0)
        self.silences = silences

    async def _written(self, assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        if self.silences:
            self.silences -= 1
            raise KafkaConnectionError
        return await super()._written(assigned)


async def test_messages_wait_until_the_broker_says_what_was_written_of_their_partitions(kafka: Kafka) -> None:
    name = f"unheard-{next(_numbers)}"
    await make_topic(kafka.bootstrap, name)
    await write(kafka.bootstrap, name, *((b"", word) for word in WORDS))
    source = Unheard(kafka.bootstrap, name, silences=4)
    await source.start()
    try:
        async with asyncio.timeout(60):
            while source.silences:
                with pytest.raises(NotYet, match="what was written"):
                    await source.fetch()
        assert await values(source, 10) == WORDS
        assert not (await source.fetch()).messages, "each is read once"
    finally:
        await source.stop()


@pytest.mark.parametrize("doing", ["seek_to_beginning", "position"])
async def test_partitions_may_go_to_another_member_while_it_is_asked_where_they_begin(kafka: Kafka, doing: str) -> None:
    """The group has no offsets, so that both begin at the beginning."""
    name = f"parted-{next(_numbers)}"
    async with admin(kafka.bootstrap) as client:
        await client.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    await write(kafka.bootstrap, name, *((word, word) for word in WORDS))
    one, two = (member(kafka.bootstrap, name, instance, topic=name) for instance in ("1", "2"))
    await one.start()
    ask, joining = getattr(one._consumer, doing), asyncio.create_task(asyncio.sleep(0))

    async def parted() -> bool:
        return len(one._consumer.assignment()) < 2

    async def slowly(at: TopicPartition) -> object:
        """Answer when the other member has a partition: this one, if there is a choice."""
        nonlocal joining
        setattr(one._consumer, doing, ask)
        joining = asyncio.create_task(two.start())
        await until_async(parted, "the other one has a partition")
        return await ask(*({TopicPartition(name, 0), TopicPartition(name, 1)} - one._consumer.assignment()))

    setattr(one._consumer, doing, slowly)
    try:
        found: list[bytes] = []
        async with asyncio.timeout(60):
            while len(found) < len(WORDS):
                for source in (one, two) if joining.done() else (one,):
                    found += [message.value or b"" for message in (await source.fetch()).messages]
        assert sorted(found) == sorted(WORDS)
    finally:
        await joining
        await asyncio.gather(one.stop(), two.stop())


async def test_no_broker_is_an_outage() -> None:
    with pytest.raises(Unavailable):
        await member("127.0.0.1:1", "nobody").start()


async def test_a_topic_that_is_not_there_yet_is_waited_for(kafka: Kafka) -> None:
    name = f"late-{next(_numbers)}"
    source = GroupSource(kafka.bootstrap, name, group=name, instance="1", max_records=3, session_timeout_s=6.0)
    starting = asyncio.create_task(source.start())
    done, _ = await asyncio.wait({starting}, timeout=1)
    assert not done
    await make_topic(kafka.bootstrap, name)
    async with asyncio.timeout(60):
        await starting
    await write(kafka.bootstrap, name, (b"", b"one"))
    try:
        assert await values(source, 1) == [b"one"]
    finally:
        await source.stop()
