"""What stands in topics for a reader of what is committed, from some offsets on."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas import topics
from tests.faults.system import System

READ_S: Final = 240.0

Marks = dict[TopicPartition, int]


def parts(*names: str) -> list[TopicPartition]:
    """Return the partitions of topics."""
    return [TopicPartition(name, number) for name in names for number in range(topics.load(name).partitions)]


async def ends(system: System, of: Iterable[TopicPartition]) -> Marks:
    """Return where partitions end, whether that is committed or not."""
    async with _consumer(system) as consumer:
        return dict(await consumer.end_offsets(list(of)))


async def bounds(system: System, of: Iterable[TopicPartition]) -> tuple[Marks, Marks]:
    """Return where partitions begin, and where they end."""
    async with _consumer(system) as consumer:
        whole = list(of)
        return dict(await consumer.beginning_offsets(whole)), dict(await consumer.end_offsets(whole))


async def committed(
    system: System, marks: Mapping[TopicPartition, int], until: Mapping[TopicPartition, int] | None = None
) -> AsyncIterator[ConsumerRecord[bytes, bytes | None]]:
    """Yield what was appended to topics since the marks, and committed where it belongs to a transaction.

    Up to what is open now, or to `until`. AssertionError if the broker is too slow about it, or a transaction before
    `until` does not end.
    """
    async with _consumer(system, "read_committed") as consumer:
        until = until or await consumer.end_offsets(list(marks))
        consumer.assign(list(marks))
        for at, mark in marks.items():
            consumer.seek(at, mark)
        limit_s = time.monotonic() + READ_S
        while any([await consumer.position(at) < until[at] for at in marks]):
            assert time.monotonic() < limit_s, f"the topics could not be read within {READ_S:.0f} s"
            for some in (await consumer.getmany(timeout_ms=200)).values():
                for record in some:
                    yield record
            await asyncio.sleep(0)


@asynccontextmanager
async def _consumer(system: System, isolation: str = "read_uncommitted") -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=system.kafka.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level=isolation,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
