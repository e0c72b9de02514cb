"""The yardsticks: what the stages' reading and writing cost without what they are for.

Run as `python -m tests.bench.ingest.bare`, which is told a Do (`children`).
"""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ingest.adapters import sql
from ingest.adapters.batches import FETCH_WAIT_MS
from ingest.adapters.kafka import BATCH_BYTES
from ingest.adapters.postgres import SightingIndex
from ingest.rows import COLUMNS, Row
from schemas import topics
from schemas.detections import Attribute, Detection
from tests.bench.ingest.children import Gate, run

TOPIC: Final = "bench-bare"
"""Where `forward` writes and `index` reads; `sightings` is the stages' alone."""

FETCH_BYTES: Final = 4 * 1024 * 1024
BATCHES_AT_HAND: Final = 20
TABLE: Final = "sighting"
Kind = Literal["decode", "forward", "index", "copy", "upsert", "write", "enrich"]


class Do(msgspec.Struct, kw_only=True):
    """Which yardstick, with what: `begin` is partition -> offset, `file` holds rows (`write_rows`).

    `source` and `target` are the topics of `agents`, which alone take `enrich`.
    """

    kind: Kind
    bootstrap: str = ""
    url: str = ""
    begin: dict[int, int] = {}
    reads: int
    batch: int = 5000
    file: str = ""
    source: str = ""
    target: str = ""


Rows = Sequence[Row]


async def decode(do: Do, gate: Gate) -> None:
    """Read, decode, encode: what nobody who reads and writes JSON can go below."""
    decoded, encoded = msgspec.json.Decoder(Detection).decode, msgspec.json.Encoder().encode
    async with _consumer(do) as consumer:
        await gate.opens()
        async for found in _batches(do, consumer, topics.DETECTIONS):
            for records in found.values():
                for record in records:
                    encoded(decoded(record.value))
        gate.closes()


async def forward(do: Do, gate: Gate) -> None:
    """The same, and every batch written to a topic, acknowledged, and committed."""
    decoded, encoded = msgspec.json.Decoder(Detection).decode, msgspec.json.Encoder().encode
    async with _consumer(do) as consumer, _producer(do) as producer:
        await gate.opens()
        async for found in _batches(do, consumer, topics.DETECTIONS):
            sending = [
                _send(producer, at.partition, [(record.key, encoded(decoded(record.value))) for record in records])
                for at, records in found.items()
            ]
            await asyncio.gather(*sending)
            await consumer.commit({at: records[-1].offset + 1 for at, records in found.items()})
        gate.closes()


async def index(do: Do, gate: Gate) -> None:
    """Read, decode, and write every batch to the index as the indexer does; then commit."""
    decoded = msgspec.json.Decoder(Detection).decode
    async with _consumer(do) as consumer, _index(do) as written:
        await gate.opens()
        async for found in _batches(do, consumer, TOPIC):
            await written.write([_row(decoded(record.value)) for records in found.values() for record in records])
            await consumer.commit({at: records[-1].offset + 1 for at, records in found.items()})
        gate.closes()


async def copy(do: Do, gate: Gate) -> None:
    """Rows that are ready, copied straight into the index, a batch a transaction."""
    async with _connection(do) as connection:
        await gate.opens()

        def write(rows: Rows) -> Any:
            return connection.copy_records_to_table(TABLE, schema_name="reads", columns=COLUMNS, records=rows)

        gate.closes(await _timed(do, write))


async def upsert(do: Do, gate: Gate) -> None:
    """Rows that are ready, copied into a temporary table and inserted if absent, a batch a transaction."""
    async with _connection(do) as connection:
        await gate.opens()
        gate.closes(await _timed(do, lambda rows: _upsert(connection, rows)))


async def write(do: Do, gate: Gate) -> None:
    """Rows that are ready, written by the indexer's own code."""
    async with _index(do) as written:
        await gate.opens()
        gate.closes(await _timed(do, written.write))


async def _timed(do: Do, write: Any) -> float:
    taken = 0.0
    for batches in _at_hand(do):
        begun = time.perf_counter()
        for rows in batches:
            await write(rows)
        taken += time.perf_counter() - begun
    return taken


async def _upsert(connection: Any, rows: Rows) -> None:
    async with connection.transaction():
        await connection.copy_records_to_table("fresh", schema_name="pg_temp", columns=COLUMNS, records=rows)
        await connection.fetch(sql.INSERT_FRESH)


def _row(read: Detection) -> Row:
    """Return a row as wide as a sighting's, with nothing looked up, checked or normalised."""
    plate = read.plate_raw or "~"
    return Row(
        read.event_id, read.captured_at, plate, 0, None, plate, read.owner, read.region, read.camera_id, 37.0, -109.0,
        "America/Denver", 2.0, 0.3, read.received_at, read.plate_raw, read.plate_confidence, None,
        msgspec.json.encode(read.candidates), *_pair(read.make), None, None, *_pair(read.colour), *_pair(read.body),
        None, read.lane, None, 1, None, None,
    )  # fmt: skip


def _pair(attribute: Attribute | None) -> tuple[str | None, float | None]:
    return (None, None) if attribute is None else (attribute.value, attribute.confidence)


async def _send(producer: Any, partition: int, records: Iterable[tuple[bytes, bytes]]) -> None:
    acknowledged = []
    builder = producer.create_batch()
    for key, value in records:
        if builder.append(key=key, value=value, timestamp=None) is None:
            acknowledged.append(await producer.send_batch(builder, TOPIC, partition=partition))
            builder = producer.create_batch()
            builder.append(key=key, value=value, timestamp=None)
    acknowledged.append(await producer.send_batch(builder, TOPIC, partition=partition))
    await asyncio.gather(*acknowledged)


@asynccontextmanager
async def _consumer(do: Do) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=do.bootstrap,
        group_id=f"bench-{do.kind}",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _batches(do: Do, consumer: Any, topic: str) -> AsyncIterator[Mapping[TopicPartition, Sequence[Any]]]:
    """Yield batches until so many records were met. Only now are partitions assigned: nothing is fetched before."""
    parts = [TopicPartition(topic, number) for number in do.begin]
    consumer.assign(parts)
    for part in parts:
        consumer.seek(part, do.begin[part.partition])
    met = 0
    while met < do.reads:
        found = await consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=do.batch)
        met += sum(map(len, found.values()))
        if found:
            yield found


@asynccontextmanager
async def _producer(do: Do) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(
        bootstrap_servers=do.bootstrap, enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _connection(do: Do) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(do.url, command_timeout=600, server_settings={"timezone": "UTC"})
    try:
        await connection.execute(sql.CREATE_INCOMING)
        await connection.execute(sql.CREATE_FRESH)
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _index(do: Do) -> AsyncIterator[SightingIndex]:
    index = SightingIndex(do.url)
    await index.start()
    try:
        yield index
    finally:
        await index.stop()


def write_rows(file: Path, batches: Iterable[Rows]) -> None:
    """Keep rows for those that have them ready, batch by batch."""
    with file.open("wb") as out:
        for rows in batches:
            pickle.dump(rows, out, protocol=pickle.HIGHEST_PROTOCOL)


def _at_hand(do: Do) -> Iterator[list[Rows]]:
    """Yield a few batches at a time, read into memory while no clock runs."""
    left = do.reads
    with Path(do.file).open("rb") as kept:
        while left > 0:
            batches: list[Rows] = []
            while left > 0 and len(batches) < BATCHES_AT_HAND:
                batches.append(pickle.load(kept))
                left -= len(batches[-1])
            yield batches


KINDS: Final[dict[Kind, Callable[[Do, Gate], Awaitable[None]]]] = {
    "decode": decode,
    "forward": forward,
    "index": index,
    "copy": copy,
    "upsert": upsert,
    "write": write,
}


def main() -> None:
    """Do what standard input says."""
    run(Do, lambda do, gate: KINDS[do.kind](do, gate))


if __name__ == "__main__":
    main()
