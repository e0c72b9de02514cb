"""A broker that is killed when it has said that a transaction is over, and has not written its end anywhere yet.

Kafka 4.3.1 may never write it (`ingest/adapters/transactions.py`). Whoever takes the partition next must find all of
the transaction or nothing of it.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

from ingest.adapters.kafka import Record
from ingest.adapters.transactions import Transactions
from ingest.errors import Unavailable
from ingest.ports import Place
from schemas import offsets, topics
from schemas.offsets import Written
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from tests.support import stages
from tests.support.flow import ENRICHER
from tests.support.topics import make_topics, tail

PLACE: Final = (topics.DETECTIONS, 5)
ROUNDS: Final = 3
RECORDS: Final = 24
"""Enough to be in every partition."""


def writing(kafka: Kafka, group: str = ENRICHER) -> Transactions:
    return Transactions(kafka.bootstrap, group=group, topic=topics.SIGHTINGS, letter_key=lambda _: b"", timeout_s=120)


def made(number: int) -> list[Record]:
    return [(f"key-{at}".encode(), f"{number}".encode()) for at in range(RECORDS)]


async def write(writer: Transactions, place: Place, number: int) -> None:
    """Write what comes of a partition's first messages that was not written; as a stage, again where nobody knows."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await writer.write(place, made(number), [], number, beside(number), {})
            except Unavailable:
                await asyncio.sleep(0.1)


def beside(number: int) -> str:
    return offsets.encode(Written(done=number))


async def test_a_transaction_counts_whole_or_not_at_all(tmp_path: Path) -> None:
    kafka = await asyncio.to_thread(kafka_starter.start, tmp_path / "kafka")
    try:
        await make_topics(kafka.bootstrap)
        async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
            last = await written_by_killing(kafka)
            found = Counter(int(value) for _, value in await sightings.records())
    finally:
        await asyncio.to_thread(kafka.stop)
    assert found == dict.fromkeys(range(1, last + 1), RECORDS)


async def written_by_killing(kafka: Kafka) -> int:
    """Write transaction after transaction, and kill the broker after some; return the number of the last."""
    writer, last = writing(kafka), 1
    await writer.take([PLACE])
    await write(writer, PLACE, last)  # makes the broker's own topics
    for _ in range(ROUNDS):
        number = last + 1
        await write(writer, PLACE, number)
        await asyncio.to_thread(kafka.kill)
        stopping = asyncio.create_task(writer.stop())
        await asyncio.to_thread(kafka.restart)
        await stopping
        writer = writing(kafka)
        await writer.take([PLACE])
        done = (await stages.committed(kafka.bootstrap, ENRICHER))[PLACE[1]]
        assert done in (last, number)
        last = done + 1
        await write(writer, PLACE, last)  # the same again, or the next: what has no end would count with it
    await writer.stop()
    return last
