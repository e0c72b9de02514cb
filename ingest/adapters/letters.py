"""The dead letters in Apache Kafka: the newest of their topic, read without a group."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingest.adapters.broker import Broker
from ingest.adapters.topics import partitions_of
from schemas import topics, wire
from schemas.deadletters import DeadLetter

LOOK: Final = 25_000
"""Records of each partition that one look takes in."""

POLL_MS: Final = 500

_LOG: Final = structlog.get_logger()


class KafkaLetters:
    """`ports.Letters`. Each look is a connection of its own: they are rare."""

    def __init__(self, broker: Broker | str, *, timeout_s: float, limit: int = LOOK) -> None:
        """Know the brokers, how long a look may take, and how many records of each partition it takes in."""
        self._broker = Broker.of(broker)
        self._timeout_s = timeout_s
        self._limit = limit

    async def look(self, since: datetime | None, take: Callable[[tuple[int, int, int], DeadLetter], None]) -> bool:
        """See `ports.Letters.look`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._look(since, take)
        except (KafkaError, TimeoutError) as error:
            raise self._broker.unreachable(error) from None

    async def _look(self, since: datetime | None, take: Callable[[tuple[int, int, int], DeadLetter], None]) -> bool:
        numbers = await partitions_of(self._broker, topics.DEAD_LETTERS)
        parts = [TopicPartition(topics.DEAD_LETTERS, number) for number in numbers]
        consumer = AIOKafkaConsumer(
            **self._broker.options(), group_id=None, enable_auto_commit=False, isolation_level="read_committed"
        )
        try:
            await consumer.start()
            consumer.assign(parts)
            ends, starts = await consumer.end_offsets(parts), await consumer.beginning_offsets(parts)
            if since is not None:
                since_ms = max(0, int(since.timestamp() * 1000))
                asked = await consumer.offsets_for_times(dict.fromkeys(parts, since_ms))
                starts = {part: ends[part] if asked[part] is None else asked[part].offset for part in parts}
            for part in parts:
                consumer.seek(part, max(starts[part], ends[part] - self._limit))
            await self._read(consumer, ends, take)
            return any(ends[part] - starts[part] > self._limit for part in parts)
        finally:
            await consumer.stop()

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        ends: dict[TopicPartition, int],
        take: Callable[[tuple[int, int, int], DeadLetter], None],
    ) -> None:
        unreadable = 0
        while [part for part in ends if await consumer.position(part) < ends[part]]:
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
