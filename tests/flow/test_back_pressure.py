"""A worker whose writes stand still: what it holds meanwhile is bounded, whatever lies in the topic."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest_asyncio

from ingest.adapters.batches import PARTITION_BYTES
from ingest.adapters.sinks import sighting_key
from schemas import topics, wire
from services.demo.kafka import Kafka
from tests.support import stages
from tests.support.database import Database, index_locked
from tests.support.flow import INDEXER, Flow, flowing
from tests.support.wait import until, until_async

MIB: Final = 1024 * 1024
READS: Final = 5_000
PADDING: Final = 60_000
"""Bytes that make each read so large: something that a later version says, and that this one passes over."""

BATCH: Final = 100
STILL_S: Final = 3.0


def records(flow: Flow) -> Iterator[tuple[bytes, bytes]]:
    """Yield reads in all partitions, 290 MiB of them."""
    padding = b',"later":"' + b"x" * PADDING + b'"}'
    for number in range(READS):
        item = flow.sighting(number, plate=f"BP{number:05d}", plate_key=f"8P{number:05d}")
        yield sighting_key(item), wire.encode(item)[:-1] + padding


async def put(flow: Flow) -> int:
    """Publish all reads; return how many bytes that are."""
    total, waiting = 0, list[tuple[bytes, bytes]]()
    for record in records(flow):
        total += len(record[1])
        waiting.append(record)
        if len(waiting) == BATCH:
            assert not any(await flow.publisher.publish(topics.SIGHTINGS, waiting))
            waiting.clear()
    return total


async def at_rest(process: psutil.Process) -> int:
    """Return a process's memory in bytes, once it takes nothing from its broker any more."""
    seen, since = -1.0, 0.0

    async def still() -> bool:
        nonlocal seen, since
        now = asyncio.get_running_loop().time()
        busy_s = sum(process.cpu_times()[:2])
        if busy_s - seen > 0.2:  # its heartbeats and empty fetches take less
            seen, since = busy_s, now
        return now - since > STILL_S

    await until_async(still, "it fetches no more", 120)
    resident: int = process.memory_info().rss
    return resident


@pytest_asyncio.fixture
async def flow(own_kafka: Kafka, database: Database) -> AsyncIterator[Flow]:
    """A flow with a broker of its own: others would have to read past so much."""
    async with flowing(own_kafka, database) as flow:
        yield flow


async def test_a_worker_that_cannot_write_holds_two_batches_and_what_its_client_may(flow: Flow, tmp_path: Path) -> None:
    settings = flow.settings.model_copy(update={"batch_records": BATCH, "log_level": "debug"})
    worker = stages.Worker("indexer", settings, tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        process = psutil.Process(worker.pid)
        before = process.memory_info().rss
        async with index_locked(flow.database):
            lie_there = await put(flow)
            await asyncio.to_thread(until, lambda: len(worker.said("fetched")) == 2, "two batches are in flight")
            held = await at_rest(process) - before
            assert len(worker.said("fetched")) == 2
        await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
    finally:
        worker.stop()
    assert worker.returncode == 0
    partitions = topics.load(topics.SIGHTINGS).partitions
    # What is buffered of a partition may lie there as the broker's answer and once more as records taken out of it.
    bound = 2 * partitions * PARTITION_BYTES + 2 * 2 * BATCH * (PADDING + 2_000)
    assert held < bound < lie_there / 2, f"{held / MIB:.0f} MiB held, {bound / MIB:.0f} allowed"
    assert len(await flow.rows()) == READS
