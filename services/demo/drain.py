"""Waiting until the index holds what was pushed: the workers say that they have written all there is in the topics.

They say it beside the offsets they commit, after their records were written: so this says the same as looking, and asks
nothing of the index.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ingest.adapters.coordinators import heed, offsets_of
from schemas import offsets

POLL_S: Final = 0.2
STANDSTILL_S: Final = 300.0


async def drained(
    bootstrap: str, topic: str, group: str, *, alive: Callable[[], None], limit_s: float = STANDSTILL_S
) -> int:
    """Wait until a group has written all that is in a topic now; return the number of records.

    `alive` raises if a worker has ended. Raises TimeoutError if no record more was done for `limit_s`.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    heed(admin)
    await consumer.start()
    await admin.start()
    try:
        partitions = await _partitions(admin, topic)
        ends = await consumer.end_offsets(partitions)
        return await _wait(admin, group, ends, alive, limit_s)
    finally:
        await admin.close()
        await consumer.stop()


async def taken(bootstrap: str, topic: str) -> int:
    """Return how many records a topic has ever been given; 0 if there is no such topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await consumer.start()
    await admin.start()
    try:
        there = topic in await admin.list_topics()
        return sum((await consumer.end_offsets(await _partitions(admin, topic))).values()) if there else 0
    finally:
        await admin.close()
        await consumer.stop()


async def _wait(
    admin: AIOKafkaAdminClient,
    group: str,
    ends: dict[TopicPartition, int],
    alive: Callable[[], None],
    limit_s: float,
) -> int:
    total, before = sum(ends.values()), -1
    loop = asyncio.get_running_loop()
    give_up = loop.time() + limit_s
    while True:
        committed = await offsets_of(admin, group)
        done = sum(min(offsets.done(*committed[at]), end) for at, end in ends.items() if at in committed)
        if done == total:
            return total
        if done != before:
            before, give_up = done, loop.time() + limit_s
        alive()
        if loop.time() > give_up:
            raise TimeoutError(f"{group} stands still at {done} of {total}")
        await asyncio.sleep(POLL_S)


async def _partitions(admin: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    described = await admin.describe_topics([topic])
    return [TopicPartition(topic, one["partition"]) for one in described[0]["partitions"]]
