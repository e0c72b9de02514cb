"""The dead letters in Apache Kafka: the newest of their topic, read without a group."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ingest.adapters.broker import Broker
from ingest.adapters.ending import let_go
from ingest.adapters.topics import administering, partitions_known_to
from schemas import topics, wire
from schemas.deadletters import DeadLetter

LOOK: Final = 25_000
"""Records of each partition that one look takes in."""

POLL_MS: Final = 500

_LOG: Final = structlog.get_logger()

Take = Callable[[tuple[int, int, int], DeadLetter], None]


class _Bounds(NamedTuple):
    """Where a look begins and ends; `cut`: there are older records than that."""

    starts: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    cut: bool


class _Connection(NamedTuple):
    """What looks have in common. The consumer is assigned nothing between them, and so fetches nothing."""

    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer
    closing: AsyncExitStack


class KafkaLetters:
    """`ports.Letters`. Looks take turns on one connection, made for the first and again after an error.

    Use `async with`, or `stop` in the end.
    """

    def __init__(self, broker: Broker | str, *, timeout_s: float, limit: int = LOOK) -> None:
        """Know the brokers, how long a look may take, and how many records of each partition it takes in."""
        self._broker = Broker.of(broker)
        self._timeout_s = timeout_s
        self._limit = limit
        self._turn = asyncio.Lock()
        self._kept: _Connection | None = None

    async def __aenter__(self) -> "KafkaLetters":
        """Do nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def stop(self) -> None:
        """Disconnect. A further look connects again."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.closing.aclose()

    async def look(self, since: datetime | None, take: Take) -> bool:
        """See `ports.Letters.look`."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._look(since, take)
            except (KafkaError, TimeoutError) as error:
                await self.stop()
                raise self._broker.unreachable(error) from None

    async def _look(self, since: datetime | None, take: Take) -> bool:
        if self._kept is None:
            self._kept = await self._connected()
        consumer, bounds = self._kept.consumer, await self._bounds(self._kept, since)
        wanted = [part for part, start in bounds.starts.items() if start < bounds.ends[part]]
        if wanted:
            try:
                # In one breath: what has no position is fetched from its end, and that waits for records.
                consumer.assign(wanted)
                for part in wanted:
                    consumer.seek(part, bounds.starts[part])
                await self._read(consumer, {part: bounds.ends[part] for part in wanted}, take)
            finally:
                consumer.unsubscribe()
        return bounds.cut

    async def _connected(self) -> _Connection:
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(administering(self._broker))
            consumer = AIOKafkaConsumer(
                **self._broker.options(), group_id=None, enable_auto_commit=False, isolation_level="read_committed"
            )
            stack.push_async_callback(lambda: let_go(consumer.stop()))
            await consumer.start()
            return _Connection(admin, consumer, stack.pop_all())

    async def _bounds(self, kept: _Connection, since: datetime | None) -> _Bounds:
        consumer = kept.consumer
        numbers = await partitions_known_to(kept.admin, topics.DEAD_LETTERS)
        parts = [TopicPartition(topics.DEAD_LETTERS, number) for number in numbers]
        ends, starts = await consumer.end_offsets(parts), await consumer.beginning_offsets(parts)
        if since is not None:
            since_ms = max(0, int(since.timestamp() * 1000))
            asked = await consumer.offsets_for_times(dict.fromkeys(parts, since_ms))
            starts = {part: ends[part] if asked[part] is None else asked[part].offset for part in parts}
        return _Bounds(
            starts={part: max(starts[part], ends[part] - self._limit) for part in parts},
            ends=ends,
            cut=any(ends[part] - starts[part] > self._limit for part in parts),
        )

    async def _read(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], take: Take) -> None:
        unreadable = 0
        while left := [part for part in ends if await consumer.position(part) < ends[part]]:
            consumer.pause(*(ends.keys() - left))  # else what is left, and the next look, wait for a fetch at the end
            for part, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    try:
                        letter = wire.decode(record.value or b"", DeadLetter)
                    except wire.Undecodable:
                        unreadable += 1
                        continue
                    if record.offset < ends[part]:
                        take((record.timestamp, part.partition, record.offset), letter)
        if unreadable:
            _LOG.error("unreadable dead letters", records=unreadable)
