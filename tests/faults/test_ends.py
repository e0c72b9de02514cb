"""Transactions whose end the broker has written into some places and not into others, and connections that are lost.

A broker forgets ends when it is killed in the right millisecond (`test_markers.py`). Here the same is brought about at
will: records are written into partitions of which the coordinator of transactions is told nothing, which a broker
allows that does not verify it.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.conn import CloseReason
from aiokafka.errors import NotLeaderForPartitionError

from ingest.adapters.batches import GroupSource
from ingest.adapters.transacting import Transacting
from ingest.adapters.transactions import Transactions
from ingest.errors import Fenced, Unavailable
from ingest.ports import Place
from schemas import topics
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from tests.faults.test_markers import RECORDS, beside, made, write, writing
from tests.support import stages
from tests.support.flow import ENRICHER
from tests.support.topics import Tail, make_topics, tail
from tests.support.wait import until_async

EVERYWHERE: Final = frozenset(range(topics.load(topics.SIGHTINGS).partitions))
SOMEWHERE: Final = frozenset({1, 4, 6})
NOWHERE: Final[frozenset[int]] = frozenset()
PLACES: Final = iter([(topics.DETECTIONS, at) for at in range(topics.load(topics.DETECTIONS).partitions)] * 9)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that lets a producer write without telling the coordinator of transactions."""
    extra = {"transaction.partition.verification.enable": "false"}
    broker = kafka_starter.start(tmp_path_factory.mktemp("kafka"), extra=extra)
    try:
        asyncio.run(prepared(broker))
        yield broker
    finally:
        broker.stop()


async def prepared(broker: Kafka) -> None:
    """Make the topics, the broker's own too."""
    await make_topics(broker.bootstrap)
    writer = writing(broker)
    await writer.take([next(PLACES)])
    await writer.stop()


@pytest.fixture
def place() -> Place:
    """A partition, one after the other."""
    return next(PLACES)


async def done(kafka: Kafka, place: Place) -> int:
    return (await stages.committed(kafka.bootstrap, ENRICHER)).get(place[1], 0)


async def numbers(written: Tail) -> Counter[int]:
    return Counter(int(value) for _, value in await written.records())


def keep_from(producer: AIOKafkaProducer, partitions: Collection[int], *, offset: bool) -> None:
    """Let the coordinator not hear that its next transaction has part in partitions, and in the offset."""
    manager = producer._txn_manager
    manager._txn_partitions |= {TopicPartition(topics.SIGHTINGS, at) for at in partitions}
    if offset:
        manager._txn_consumer_group = ENRICHER


async def written_with_gaps(
    kafka: Kafka, place: Place, number: int, partitions: Collection[int], *, offset: bool, commit: bool
) -> None:
    """Write a transaction whose end is missing in partitions, and in the offset, by somebody who is gone then."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{ENRICHER}-p{place[1]}")
    await producer.start()
    try:
        await producer.begin_transaction()
        keep_from(producer, partitions, offset=offset)
        at = {TopicPartition(*place): (number, beside(number))}
        await producer.send_offsets_to_transaction(at, ENRICHER)
        # Told at least of this one: a transaction without any place can't end.
        await producer.send_and_wait(topics.DEAD_LETTERS, b"a letter", partition=0)
        for key, value in made(number):
            await producer.send_and_wait(topics.SIGHTINGS, value, key=key)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def taken_and_left(kafka: Kafka, place: Place) -> None:
    """Take an id, and die before anything else. Whatever the broker writes of transactions before is written then."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{ENRICHER}-p{place[1]}")
    await producer.start()
    await producer.stop()


async def written_once(kafka: Kafka, writer: Transactions, place: Place, number: int) -> None:
    """Write as a stage does, and stop; what was written is there, and not twice."""
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await write(writer, place, number)
        await writer.stop()
        await taken_and_left(kafka, place)
        assert await numbers(sightings) == {number: RECORDS}


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("partitions", [EVERYWHERE, SOMEWHERE, NOWHERE])
async def test_what_was_left_ends_as_the_rest_did(
    kafka: Kafka, place: Place, partitions: Collection[int], offset: bool, commit: bool
) -> None:
    first = await done(kafka, place) + 1
    writer = writing(kafka)
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await writer.take([place])
        await write(writer, place, first)
        await writer.stop()
        await written_with_gaps(kafka, place, first + 1, partitions, offset=offset, commit=commit)
        await writer.take([place])
        assert await done(kafka, place) == (first + 1 if commit else first)
        expected = dict.fromkeys([first, first + 1] if commit else [first], RECORDS)

        async def ended() -> bool:  # the coordinator answers first, and then writes ends into partitions
            return await numbers(sightings) == expected

        await until_async(ended, "what was left ends as the rest did")
        await write(writer, place, first + 1 + commit)  # what comes after it changes nothing of it
        await writer.stop()
        await taken_and_left(kafka, place)
        assert await numbers(sightings) == dict.fromkeys(range(first, first + 2 + commit), RECORDS)


@pytest.mark.parametrize(("offset", "commit", "doubled"), [(False, True, 0), (True, True, 1), (True, False, 0)])
async def test_nothing_is_lost_if_whoever_took_it_died_before_it_was_ended(
    kafka: Kafka, place: Place, offset: bool, commit: bool, doubled: int
) -> None:
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await written_with_gaps(kafka, place, number, SOMEWHERE, offset=offset, commit=commit)
        await taken_and_left(kafka, place)
        await writer.take([place])
        for again in range(await done(kafka, place) + 1, number + 2):
            await write(writer, place, again)
        await writer.stop()
        await taken_and_left(kafka, place)
        found = await numbers(sightings)
    assert found.keys() == {number, number + 1}
    assert found[number + 1] == RECORDS
    # The broker has forgotten that it counted, and its offset does not say it: what had an end is there twice.
    assert RECORDS <= found[number] <= RECORDS + doubled * RECORDS
    assert (found[number] > RECORDS) == bool(doubled)


async def test_an_end_that_was_interrupted_is_written_by_the_next_attempt(
    kafka: Kafka, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await done(kafka, place) + 1
    writer = writing(kafka)

    async def interrupted(self: Transacting, *_: Any, **__: Any) -> None:
        producer = self._started()
        await producer.begin_transaction()
        for partition in SOMEWHERE:
            await producer.send_and_wait(topics.SIGHTINGS, b"0", partition=partition)
        raise Unavailable("killed")

    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await written_with_gaps(kafka, place, number, SOMEWHERE, offset=False, commit=True)
        with monkeypatch.context() as patch:
            patch.setattr(Transacting, "end_again", interrupted)
            with pytest.raises(Unavailable, match="killed"):
                await writer.take([place])
        await writer.take([place])
        assert await done(kafka, place) == number
        await writer.stop()
        await taken_and_left(kafka, place)
        found = await numbers(sightings)
    assert found.pop(0) == len(SOMEWHERE), "it was ended as it would have been"
    assert found == {number: RECORDS}


def lose(producer: AIOKafkaProducer) -> None:
    """Cut the connections of a producer, as a broker that is killed does."""
    for connection in list(producer.client._conns.values()):
        connection.close(reason=CloseReason.CONNECTION_BROKEN)


async def started(writer: Transactions, place: Place) -> AIOKafkaProducer:
    producer = writer._producers[place]._producer
    assert producer is not None
    return producer


async def test_nothing_is_begun_over_a_new_connection_before_the_last_transaction_has_its_end(
    kafka: Kafka, place: Place
) -> None:
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    await writer.take([place])
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        producer = await started(writer, place)
        keep_from(producer, SOMEWHERE, offset=False)
        await write(writer, place, number)
        assert (await numbers(sightings))[number] < RECORDS, "some of it has no end"
        lose(producer)
        begun: list[tuple[Any, ...]] = []
        attempt = Transacting._attempt

        async def looking(self: Transacting, *of: Any) -> bool:
            async def has_its_end() -> bool:  # a moment after the broker has said so
                return await numbers(sightings) == {number: RECORDS}

            await until_async(has_its_end, "what was left has its end")
            begun.append(of)
            return await attempt(self, *of)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Transacting, "_attempt", looking)
            await write(writer, place, number + 1)
        assert len(begun) == 1, "what was left has its end, and only then something is begun"
        await writer.stop()
        await taken_and_left(kafka, place)
        assert await numbers(sightings) == {number: RECORDS, number + 1: RECORDS}


@pytest.mark.parametrize("counts", [True, False])
async def test_a_lost_answer_is_looked_up(kafka: Kafka, place: Place, counts: bool) -> None:
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    await writer.take([place])
    producer = await started(writer, place)
    commit = producer.commit_transaction

    async def unheard() -> None:
        if counts:
            await commit()
        lose(producer)
        await asyncio.Event().wait()

    producer.commit_transaction = unheard
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await write(writer, place, number)
        assert await done(kafka, place) == number
        await write(writer, place, number + 1)
        await writer.stop()
        await taken_and_left(kafka, place)
        assert await numbers(sightings) == {number: RECORDS, number + 1: RECORDS}


async def test_who_has_just_begun_outlives_its_connections(kafka: Kafka) -> None:
    """Its group has no offsets so far, and none is moved beside its transactions."""
    group = "platetrail-begun"
    writer = writing(kafka, group)
    source = GroupSource(
        kafka.bootstrap, topics.DETECTIONS, group=group, instance="1", max_records=9, session_timeout_s=6.0,
        taking=writer.take, remembers=True,
    )  # fmt: skip
    await source.start()
    try:
        async with asyncio.timeout(60):
            while len(source._at) < topics.load(topics.DETECTIONS).partitions:
                await source.fetch()
        place = (topics.DETECTIONS, 0)
        lose(await started(writer, place))
        async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
            await write(writer, place, 1)

            async def is_there() -> bool:
                return await numbers(sightings) == {1: RECORDS}

            await until_async(is_there, "it is written once")
    finally:
        await source.stop()
        await writer.stop()


async def test_who_lost_a_connection_after_it_had_to_take_the_id_once_more_has_it_still(
    kafka: Kafka, place: Place
) -> None:
    """As after a batch that the broker has refused for its size."""
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    await writer.take([place])
    owner = writer._producers[place].owner
    await writer._producers[place]._renew(await started(writer, place))
    assert writer._producers[place].owner != owner
    lose(await started(writer, place))
    await written_once(kafka, writer, place, number)


async def test_who_loses_a_connection_while_it_takes_the_id_once_more_is_no_stranger_to_itself(
    kafka: Kafka, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker refuses a batch for its size, and is killed when it has given the id, before we hear of it.

    By then it has not undone what was written everywhere.
    """
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    await writer.take([place])
    old = await started(writer, place)
    taken: list[AIOKafkaProducer] = []
    is_refused, start = Transacting._is_refused, AIOKafkaProducer.start

    async def refused_once(*of: Any) -> bool:
        return await is_refused(*of) or not taken

    async def unheard(producer: AIOKafkaProducer) -> None:
        await start(producer)
        if not taken:
            taken.append(producer)
            lose(old)
            await asyncio.sleep(0.2)

    keep_from(old, SOMEWHERE, offset=False)
    monkeypatch.setattr(Transacting, "_is_refused", refused_once)
    monkeypatch.setattr(AIOKafkaProducer, "start", unheard)
    await written_once(kafka, writer, place, number)


async def test_a_partition_that_has_no_leader_for_a_while_is_waited_for(kafka: Kafka, place: Place) -> None:
    number = await done(kafka, place) + 1
    writer = writing(kafka)
    await writer.take([place])
    producer = await started(writer, place)
    send = producer.send

    async def leaderless(*_: Any, **__: Any) -> "asyncio.Future[Any]":
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(NotLeaderForPartitionError())
        return failed

    producer.send = producer.send_batch = leaderless
    with pytest.raises(Unavailable):
        await writer.write(place, made(number), [], number, beside(number), {})
    producer.send = send
    await written_once(kafka, writer, place, number)


async def test_who_lost_a_connection_and_then_the_partition_is_refused(kafka: Kafka, place: Place) -> None:
    number = await done(kafka, place) + 1
    writer, successor = writing(kafka), writing(kafka)
    await writer.take([place])
    lose(await started(writer, place))
    await successor.take([place])
    with pytest.raises(Fenced, match="another worker"):
        await write(writer, place, number)
    await write(successor, place, number)  # and it was left alone
    await asyncio.gather(writer.stop(), successor.stop())
