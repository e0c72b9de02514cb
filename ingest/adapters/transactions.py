"""Writing what comes of one partition's messages, and moving its offset, in one Kafka transaction.

Each source partition has a transactional id of its own: whoever is given the partition makes a producer with that id,
and from then on the broker refuses whoever had it before, even one that was frozen in the middle of a write. An id for
each worker would not do that: no generation of the group goes with the offsets.

A broker may leave a transaction without an end, though it calls it over: one that is killed before it has written
the end into the partitions takes those that have no leader yet, as it starts again, for deleted ones, and passes them
over (seen with Kafka 4.3.1, where all replicas of a partition were away at once). The end of the next transaction
would then count for both, while the offsets are those of before. So offsets go into a transaction first of all: if
they have no end when a partition is taken, nothing of their transaction has, and it is undone.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from ingest.adapters.broker import Broker
from ingest.adapters.kafka import TOO_LARGE, KafkaPublisher, Record, fitting, records, traced
from ingest.adapters.unsettled import unsettled
from ingest.errors import Fenced, Misconfigured, Oversized, PublishError, TooLarge, Unavailable
from ingest.ports import Place
from schemas import topics
from schemas.deadletters import DeadLetter

LONGEST_S: Final = 900.0
"""The longest that a broker lets a transaction stay open (`transaction.max.timeout.ms`, unless set otherwise)."""

NO_END: Final = "the broker calls it over, and has written its end nowhere: what belongs to it is done again"

SETTLED_S: Final = 5.0
"""How long the broker may take to write an end that it calls written."""

_LOG: Final = structlog.get_logger()

Write = tuple[str, Sequence[Record]]
"""A topic, and the records to write to it."""

UNDONE: Final = b"undone"
"""What a record says that nobody will read."""

_FENCED: Final = (ProducerFenced, InvalidProducerEpoch)


class Transactions:
    """`ports.Atomic`: one producer for each source partition that this worker has."""

    def __init__(
        self,
        broker: Broker | str,
        *,
        group: str,
        topic: str,
        letter_key: Callable[[DeadLetter], bytes],
        timeout_s: float,
    ) -> None:
        """Know whose offsets move, where items go, and how long one transaction may take."""
        self._broker = Broker.of(broker)
        self._group = group
        self._topic = topic
        self._letter_key = letter_key
        self._timeout_s = timeout_s
        self._producers: dict[Place, _Producer] = {}

    async def start(self) -> None:
        """Do nothing: producers are made when partitions are given to us."""

    async def stop(self) -> None:
        """Disconnect. What was begun and not committed is undone."""
        producers, self._producers = list(self._producers.values()), {}
        await asyncio.gather(*(producer.stop() for producer in producers))

    async def take(self, places: Collection[Place]) -> None:
        """Make producers for these partitions and no others. Raises Unavailable.

        When it returns, nobody else can write what comes of them, and everything that others had begun is either undone
        or committed, and its offsets are those to begin at.
        """
        await self.stop()
        made = {place: self._producer(place) for place in places}
        self._producers = made
        await asyncio.gather(*(producer.start() for producer in made.values()))
        try:
            async with asyncio.timeout(self._timeout_s):
                undone = await self._without_an_end(places)
                for place in undone:
                    _LOG.error("transaction_undone", topic=place[0], partition=place[1], reason=NO_END)
                    await made[place].undo((self._topic, topics.DEAD_LETTERS), self._group, TopicPartition(*place))
                if undone and (left := await self._without_an_end(undone)):
                    raise Unavailable(f"{len(left)} transactions of others have no end yet")
        except (TimeoutError, KafkaError) as error:
            raise Unavailable(f"the broker does not say how transactions ended: {type(error).__name__}") from None

    async def _without_an_end(self, places: Collection[Place]) -> set[Place]:
        """Return the partitions whose offsets belong to a transaction that the broker calls over, and has not ended."""
        wait_until_s = time.monotonic() + SETTLED_S
        while True:
            try:
                found = await unsettled(self._broker, self._group, places)
            except KafkaError as error:  # such as: its coordinator is about to be there
                if not error.retriable:
                    raise
            else:
                if not found or time.monotonic() > wait_until_s:
                    return found
            await asyncio.sleep(0.2)

    async def write(
        self,
        place: Place,
        items: Sequence[Record],
        letters: Sequence[DeadLetter],
        offset: int,
        beside: str,
        traces: Mapping[int, bytes],
    ) -> None:
        """See `ports.Atomic.write`."""
        producer = self._producers.get(place)
        if producer is None:
            raise Unavailable("there is no producer for a partition of this batch")
        writes = [
            (self._topic, traced(items, traces)),
            (topics.DEAD_LETTERS, records(letters, self._letter_key)),
        ]
        results = await producer.transact(writes, self._group, TopicPartition(*place), (offset, beside))
        too_large = [at for at, result in enumerate(results) if isinstance(result, TooLarge)]
        if too_large:
            raise Oversized(too_large)

    def _producer(self, place: Place) -> "_Producer":
        return _Producer(self._broker, timeout_s=self._timeout_s, transactional_id=f"{self._group}-p{place[1]}")


class _Producer(KafkaPublisher):
    """A publisher that writes in transactions alone."""

    def __init__(self, broker: Broker, *, timeout_s: float, transactional_id: str) -> None:
        super().__init__(broker, timeout_s=timeout_s)
        self._transactional_id = transactional_id

    def _options(self) -> dict[str, Any]:
        return {
            **super()._options(),
            "transactional_id": self._transactional_id,
            "transaction_timeout_ms": int(min(self._timeout_s, LONGEST_S) * 1000),
        }

    async def transact(
        self, writes: Sequence[Write], group: str, at: TopicPartition, mark: tuple[int, str]
    ) -> list[PublishError | None]:
        """Write records and move an offset, all or nothing; return one result a record, over all writes in order.

        If any is an error, nothing was written. Raises Fenced, Misconfigured, and Unavailable: then nobody knows, and a
        repetition might double it, so this must end the process. The next one begins at the offset that holds.
        """
        results: list[list[PublishError | None]] = [[None] * len(items) for _, items in writes]
        places = [fitting(topic, items, found) for (topic, items), found in zip(writes, results, strict=True)]
        try:
            async with asyncio.timeout(self._timeout_s):
                while not _refused(results) and not await self._attempt(writes, places, results, group, {at: mark}):
                    pass
        except TimeoutError:
            raise Unavailable("a transaction was not acknowledged in time") from None
        except _FENCED:
            raise Fenced("another worker was given a partition of this one") from None
        except KafkaError as error:
            raise Unavailable(f"a transaction failed: {type(error).__name__}") from None
        return [result for found in results for result in found]

    async def _attempt(
        self,
        writes: Sequence[Write],
        places: Sequence[Sequence[int]],
        results: Sequence[list[PublishError | None]],
        group: str,
        marks: dict[TopicPartition, tuple[int, str]],
    ) -> bool:
        """Run one transaction; False if a broker refuses the size of something: batches are smaller from now on."""
        producer = self._producer
        if producer is None:
            raise Unavailable("the publisher is not started")
        await producer.begin_transaction()
        # Before anything else: see above.
        await producer.send_offsets_to_transaction(marks, group)
        smaller = False
        for (topic, items), fit, found in zip(writes, places, results, strict=True):
            smaller |= await self._is_refused(producer, topic, items, fit, found)
        if smaller:
            await self._renew(producer)  # which undoes what was begun
            return False
        await producer.commit_transaction()
        return True

    async def undo(self, writes_to: Collection[str], group: str, at: TopicPartition) -> None:
        """Undo what was left of this id's transactions in topics and offsets, by undoing one that has part in all.

        Raises KafkaError.
        """
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({at: (0, "")}, group)
        for topic in writes_to:
            for partition in await producer.partitions_for(topic):
                await producer.send_and_wait(topic, UNDONE, partition=partition)
        await producer.abort_transaction()

    async def _is_refused(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        items: Sequence[Record],
        places: Sequence[int],
        results: list[PublishError | None],
    ) -> bool:
        if not places:
            return False
        sent, own = await self._sent(producer, topic, items, places)
        await asyncio.gather(*(future for future, _ in sent), return_exceptions=True)
        failed = [(fault, members) for future, members in sent if (fault := future.exception()) is not None]
        for fault, _ in failed:
            if isinstance(fault, _FENCED):
                raise fault
        if any(isinstance(fault, TOO_LARGE) for fault, _ in failed):
            self._smaller(topic, items, failed, own, results)
            return True
        for fault, _ in failed:
            raise Misconfigured(f"the broker refuses records of {topic}: {type(fault).__name__}")
        return False


def _refused(results: Sequence[Sequence[PublishError | None]]) -> bool:
    return any(result is not None for found in results for result in found)
