"""What a growth benchmark starts from is what an index would hold."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from ingest.adapters.postgres import SightingIndex
from ingest.rows import COLUMNS, rows
from schemas.detections import Candidate
from schemas.plate import plate_key
from schemas.sightings import Said
from tests.bench.filling import READS_A_PLATE, fill
from tests.support.database import Database
from tests.support.detections import sighting

NOW = datetime(2026, 6, 30, 18, tzinfo=UTC)
ROWS = 2_000


async def found(database: Database, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database.superuser_url, server_settings={"timezone": "UTC"})
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def test_every_day_gets_its_share_with_all_indexes_and_takes_more(database: Database) -> None:
    filled = await fill(database.superuser_url, ROWS, now=NOW)
    assert filled.rows == ROWS
    assert filled.total_bytes > filled.heap_bytes > 0
    reads = await found(database, "select * from reads.sighting")
    days = Counter(read["captured_at"].date() for read in reads)
    assert sorted(days) == [(NOW - timedelta(days=back)).date() for back in range(29, -1, -1)]
    assert sum(days.values()) == ROWS
    assert max(days.values()) - min(days.values()) <= 1
    assert max(read["captured_at"] for read in reads) < NOW
    [(partitions, kept)] = await found(
        database,
        "select count(*), count(*) filter (where c.relowner = 'platetrail_keeper'::regrole) "
        "from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'reads.sighting'::regclass",
    )
    assert (partitions, kept) == (30, 30)
    [(parents, children)] = await found(
        database,
        "select count(distinct inhparent), count(*) from pg_inherits join pg_index on indexrelid = inhrelid "
        "where indisvalid and indrelid::regclass::text like 'reads.sighting%'",
    )
    assert children == 30 * parents > 0
    await _takes_a_sighting_a_day(database)


async def _takes_a_sighting_a_day(database: Database) -> None:
    index = SightingIndex(database.url("platetrail_ingest"))
    await index.start()
    await index.write(rows([sighting(back, captured_at=NOW - timedelta(days=back)) for back in range(30)]))
    await index.stop()
    [(count,)] = await found(database, "select count(*) from reads.sighting where owner = 'north'")
    assert count == 30


async def test_what_is_made_up_is_what_an_indexer_could_have_written(database: Database) -> None:
    await fill(database.superuser_url, ROWS, now=NOW)
    reads = await found(database, "select * from reads.sighting")
    assert len({read["pass_id"] for read in reads}) == ROWS
    assert all(read["plate_key"] == plate_key(read["plate"]) for read in reads)
    shares = [name for name in COLUMNS if name.endswith("confidence")]
    assert all(0 <= (read[name] or 0) <= 1 for read in reads for name in shares)
    for read in reads:
        msgspec.json.decode(read["candidates"] or b"[]", type=tuple[Candidate, ...])
        msgspec.json.decode(read["said"] or b"{}", type=Said)
    told = [sum(read[name] is not None for read in reads) for name in ("candidates", "said", "doubts", "model")]
    assert all(0 < count < ROWS for count in told)
    plates = Counter(read["plate"] for read in reads)
    assert ROWS / READS_A_PLATE * 0.8 < len(plates) <= ROWS / READS_A_PLATE


async def test_the_same_call_makes_the_same(database: Database) -> None:
    async def all_of_it() -> set[asyncpg.Record]:
        await fill(database.superuser_url, 500, now=NOW, days=3)
        return set(await found(database, "select * from reads.sighting where captured_at >= '2026-06-28'"))

    first = await all_of_it()
    assert len(first) == 500
    assert await all_of_it() == first
