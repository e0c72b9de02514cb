"""The publisher on Apache Kafka: an idempotent producer, every in-sync replica's acknowledgement awaited."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidMessageError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from ingest.adapters.broker import Broker
from ingest.adapters.clock import Clocks
from ingest.adapters.murmur2 import partitions_of
from ingest.errors import PublishError, TooLarge, Unavailable
from ingest.ports import TracedRecord
from schemas import topics, wire
from schemas.deadletters import DeadLetter

BATCH_BYTES: Final = 960 * 1024
"""The most that a batch of records takes: nearly all that a topic takes of one (`schemas/topics`).

What a stage writes at once of a partition should be one batch. Measured: cut at 256 KiB, the rest of each was a batch
of its own, and a reader that waits fetches those by themselves: a third of all its batches, with a write each.
"""

FEW: Final = 4
"""Up to so many records go one by one, so that requests at the same moment share a batch; more make their own."""

DOUBTFUL_PATIENCE_S: Final = 1.0
"""After a time-out, and until something is acknowledged again, nobody waits longer than this."""

STOP_S: Final = 5.0

RECORD_BYTES: Final = 32
"""What a record has at the most beside its key and value."""

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSED: Final = (InvalidMessageError, TopicAuthorizationFailedError)

APPENDED: Final = 1
"""The type of a timestamp that is the broker's."""

NO_HEADERS: Final[list[tuple[str, bytes]]] = []
"""Of most records; the client takes nothing but a list, and leaves it as it is."""

T = TypeVar("T", bound=DeadLetter)

Record = tuple[bytes, bytes]
Sent = tuple["asyncio.Future[Any]", list[int]]


class KafkaPublisher:
    """`ports.Publisher`. Use `start` and `stop`, or `async with`."""

    def __init__(self, broker: Broker | str, *, timeout_s: float) -> None:
        """Know the broker and how long a write may take before it is Unavailable."""
        self._broker = Broker.of(broker)
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._doubtful = False
        self._clocks = Clocks()
        self._renewing = asyncio.Lock()
        # Of topics that have refused a batch for its size: how many bytes a batch may have from then on.
        self._batch_bytes: dict[str, int] = {}
        # One at a time hands a batch over to a partition. The client's own queue lets all who wait race for each free
        # place, and takes the time since the first race off their patience at every further one.
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> "KafkaPublisher":
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Connect. Raises Unavailable if no broker answers, or none lets us in."""
        self._producer = await self._new_producer()

    async def stop(self) -> None:
        """Write what is waiting, for at most a few seconds, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    async def publish(self, topic: str, items: Sequence[Record]) -> list[PublishError | None]:
        """See `ports.Publisher.publish`."""
        patience = min(self._timeout_s, DOUBTFUL_PATIENCE_S) if self._doubtful else self._timeout_s
        results: list[PublishError | None] = [None] * len(items)
        waiting = fitting(topic, items, results)
        try:
            async with asyncio.timeout(patience):
                while waiting:
                    waiting = await self._write(topic, items, waiting, results)
        except TimeoutError:
            self._doubtful = True
            raise Unavailable("no acknowledgement in time") from None
        self._doubtful = False
        return results

    async def _write(
        self, topic: str, items: Sequence[Record], places: Sequence[int], results: list[PublishError | None]
    ) -> list[int]:
        """Write the items of these places, and fill in `results`; return the places of those to be written again.

        These are the ones whose batch was refused for its size, and what could not follow it. Raises Unavailable.
        """
        producer = self._producer
        if producer is None:
            raise Unavailable("the publisher is not started")
        began_s = time.monotonic()
        try:
            sent, own = await self._sent(producer, topic, items, places)
        except KafkaError as error:
            await self._renew(producer)
            raise Unavailable(type(error).__name__) from None
        await asyncio.gather(*(future for future, _ in sent), return_exceptions=True)
        failed = [(fault, members) for future, members in sent if (fault := future.exception()) is not None]
        if not failed:
            self._compare(sent, began_s)
            return []
        # The producer has numbered records that were not written: no broker takes what follows them. A new one
        # begins to count afresh.
        await self._renew(producer)
        if any(isinstance(fault, TOO_LARGE) for fault, _ in failed):
            return self._smaller(topic, items, failed, own, results)
        for fault, members in failed:
            if not isinstance(fault, REFUSED):
                raise Unavailable(type(fault).__name__)
            for at in members:
                results[at] = PublishError(type(fault).__name__)
        return []

    def _compare(self, sent: Sequence[Sent], since_s: float) -> None:
        """Compare clocks, by what was acknowledged last, if the broker has given it its own time."""
        if sent and (last := sent[-1][0].result()).timestamp_type == APPENDED:
            self._clocks.compare(last.timestamp, since_s=since_s)

    async def _sent(
        self, producer: AIOKafkaProducer, topic: str, items: Sequence[Record], places: Sequence[int]
    ) -> tuple[list[Sent], bool]:
        """Hand items over to the producer; say too whether each batch holds no others than ours."""
        if len(places) <= FEW and topic not in self._batch_bytes:
            return [
                (await producer.send(topic, items[at][1], key=items[at][0], headers=_headers(items[at])), [at])
                for at in places
            ], False
        parts = (await self._by_partition(producer, topic, items, places)).items()
        batches = [self._send_batches(producer, topic, partition, items, part) for partition, part in parts]
        return [one for some in await asyncio.gather(*batches) for one in some], True

    def _smaller(
        self,
        topic: str,
        items: Sequence[Record],
        failed: Sequence[tuple[BaseException, list[int]]],
        own: bool,
        results: list[PublishError | None],
    ) -> list[int]:
        """Halve the batches of a topic that takes no larger ones; return what is to be written again, in order.

        A record that was refused alone is too large for good. What stood behind a refused batch may be written before
        it, until a size is found that the topic takes; that happens only where its `max.message.bytes` was set below
        its file's. That its key's order holds is given up there, rather than a record.
        """
        again: list[int] = []
        most = self._batch_bytes.get(topic, BATCH_BYTES)
        for error, members in failed:
            if isinstance(error, TOO_LARGE) and own:
                if len(members) == 1:
                    results[members[0]] = TooLarge(type(error).__name__)
                    continue
                most = min(most, sum(len(items[at][0]) + len(items[at][1]) for at in members) // 2)
            again += members
        self._batch_bytes[topic] = most
        return sorted(again)

    async def _send_batches(
        self, producer: AIOKafkaProducer, topic: str, partition: int, items: Sequence[Record], part: Sequence[int]
    ) -> list[Sent]:
        """Hand one partition's items over in full batches, in order; return their futures."""
        sent: list[Sent] = []
        for builder, members in _batches(producer, items, part, self._batch_bytes.get(topic, BATCH_BYTES)):
            async with self._turns[topic, partition]:
                sent.append((await producer.send_batch(builder, topic, partition=partition), members))
        return sent

    async def _by_partition(
        self, producer: AIOKafkaProducer, topic: str, items: Sequence[Record], places: Sequence[int]
    ) -> dict[int, list[int]]:
        """Sort items by the partition of their key, as every Kafka client does (murmur2)."""
        partitions = len(await producer.partitions_for(topic))
        parts: defaultdict[int, list[int]] = defaultdict(list)
        for at, partition in zip(places, partitions_of([items[at][0] for at in places], partitions), strict=True):
            parts[partition].append(at)
        return parts

    def _options(self) -> dict[str, Any]:
        return {
            **self._broker.options(),
            "enable_idempotence": True,
            "acks": "all",
            "max_batch_size": BATCH_BYTES,
            "linger_ms": 0,
        }

    def _made(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(**self._options())

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = self._made()
        try:
            async with asyncio.timeout(self._timeout_s):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            await _stop(producer)
            raise self._broker.unreachable(error) from None
        except asyncio.CancelledError:
            await _stop(producer)
            raise
        return producer

    async def _renew(self, spoiled: AIOKafkaProducer) -> None:
        async with self._renewing:
            if self._producer is spoiled:
                self._producer = await self._new_producer()
                await _stop(spoiled)


def fitting(topic: str, items: Sequence[Record], results: list[PublishError | None]) -> list[int]:
    """Return the places of the items that the topic can take; the broker must not see one that it would refuse."""
    limit = min(topics.load(topic).max_message_bytes, BATCH_BYTES) - 512  # the batch's own header and the record's
    found = []
    for at, (key, value) in enumerate(items):
        if len(key) + len(value) <= limit:
            found.append(at)
        else:
            results[at] = TooLarge("too large")
    return found


def records(items: Sequence[T], key: Callable[[T], bytes]) -> list[Record]:
    """Return items as `schemas.wire` encodes them, each under its key."""
    return [(key(item), wire.encode(item)) for item in items]


def traced(records: Sequence[Record], traces: Mapping[int, bytes]) -> Sequence[Record]:
    """Return records, those at the places of `traces` with a trace each."""
    if not traces:
        return records
    return [TracedRecord(*one, traces[at]) if at in traces else one for at, one in enumerate(records)]


def _headers(record: Record) -> list[tuple[str, bytes]]:
    return [("traceparent", record.traceparent)] if isinstance(record, TracedRecord) else NO_HEADERS


def _batches(
    producer: AIOKafkaProducer, items: Sequence[Record], part: Sequence[int], most: int
) -> Iterator[tuple[BatchBuilder, list[int]]]:
    """Yield full batches of items, each with the places of its items; one of several items has at most `most` bytes."""
    most = most if most < BATCH_BYTES else sys.maxsize  # the builder itself holds to the latter
    builder = producer.create_batch()
    members: list[int] = []
    for at in part:
        record = items[at]
        key, value = record
        headers = NO_HEADERS if type(record) is tuple else _headers(record)
        full = bool(members) and builder.size() + len(key) + len(value) + RECORD_BYTES > most
        if full or builder.append(key=key, value=value, timestamp=None, headers=headers) is None:
            yield builder, members
            builder, members = producer.create_batch(), []
            builder.append(key=key, value=value, timestamp=None, headers=headers)
        members.append(at)
    yield builder, members


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer; its own stop waits for a broker that is gone for ever."""
    try:
        async with asyncio.timeout(STOP_S):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()
