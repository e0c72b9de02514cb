"""Fills an index with made-up sightings, millions of them, inside the server: what a growth benchmark starts from.

A day is a table of its own that is filled without indexes and attached, which builds them; two days at a time, for two
cores. The last day is filled with its indexes in place, as an indexer fills them: it is the one that a load writes to,
and indexes that were just built are packed tighter than any that grew.

Run it as `python -m tests.bench.filling URL ROWS`, with the URL of a superuser, on a database that holds nothing of
worth: the days it fills are emptied first.
"""

import asyncio
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

DAYS: Final = 30
READS_A_PLATE: Final = 13
"""A plate is seen this often in all days together: about 1.5 plates in 20 reads."""

CAMERAS: Final = 20_000
OWNERS: Final = 200
AT_ONCE: Final = 2

_SETTINGS: Final = {
    "application_name": "platetrail-filling",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "off",
    "maintenance_work_mem": "1GB",
    "max_parallel_maintenance_workers": "1",
}

_MADE_UP: Final = """
insert into {table} (
    pass_id, captured_at, plate_key, revision, plate, owner, region, camera_id, latitude, longitude, timezone,
    clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said
) select
    md5('pass ' || n)::uuid, at, translate(plate, 'OQDILBSZG', '000118526'), 0, plate,
    'agency-' || camera % $5::bigint, 'US-' || (array['MO', 'IL', 'KS', 'TX'])[1 + car % 4],
    'camera-' || lpad(camera::text, 5, '0'),
    30 + camera % 997 * 0.0187, -120 + camera % 1009 * 0.0473, 'America/Chicago', 2, 0.25 + dice % 100 / 40.0,
    at + interval '1 second', plate, 0.7 + dice % 30 / 100.0, 0.9,
    case when dice % 8 = 0 then convert_to(
        '[{"plate":"' || plate || '","confidence":0.8' || dice % 97 || '},{"plate":"' || translate(plate, '08', 'OB')
        || '","confidence":0.1' || dice % 89 || '}]', 'UTF8') end,
    (array['toyota', 'volkswagen', 'ford', 'bmw', 'hyundai', 'kia', 'chevrolet', 'honda'])[1 + car % 8],
    0.6 + dice % 40 / 100.0,
    case when dice % 2 = 0 then (array['corolla', 'golf', 'f-150', 'x3', 'tucson'])[1 + car % 5] end,
    case when dice % 2 = 0 then 0.5 + dice % 50 / 100.0 end,
    (array['white', 'black', 'grey', 'silver', 'blue', 'red'])[1 + car % 6], 0.8,
    (array['sedan', 'suv', 'hatchback', 'pickup', 'van'])[1 + car % 5], 0.75,
    car % 360, 1 + dice % 3, case when dice % 10 = 0 then 'low_confidence' end, 1,
    case when dice % 11 = 0 then convert_to('{"make":"Some Maker","colour":"some_colour"}', 'UTF8') end
from (
    select n, at, car, camera, dice,
        chr(65 + (mixed % 26)::int) || chr(65 + (mixed / 26 % 26)::int) || chr(65 + (mixed / 676 % 26)::int)
        || lpad((mixed / 17576 % 10000)::text, 4, '0') as plate
    from (
        select n, $3::timestamptz + (n - $1) * ($4::interval / greatest($2 - $1, 1)) as at,
            abs(hashint8extended(n, 1)) % $6::bigint as car,
            abs(hashint8extended(n, 2)) % $7::bigint as camera,
            abs(hashint8extended(n, 3)) % 1000003 as dice,
            (abs(hashint8extended(n, 1)) % $6::bigint * 7919 + 12345) % 175760000 as mixed
        from generate_series($1::bigint, $2::bigint - 1) as n offset 0
    ) as read
    offset 0
) as made
"""
"""Rows $1 to $2 (excluded) of the whole filling, captured from $3 on for $4, of $5 owners, $6 plates and $7 cameras.

`offset 0` keeps the planner from writing each expression out wherever it is used.
"""


class Filled(NamedTuple):
    """What was made: rows, seconds, and bytes on disk of the sightings with their indexes, and of the rows alone."""

    rows: int
    seconds: float
    total_bytes: int
    heap_bytes: int


async def fill(superuser_url: str, rows: int, *, now: datetime | None = None, days: int = DAYS) -> Filled:
    """Fill the last `days` days, the one of `now` included, evenly with `rows` made-up sightings.

    The same call makes the same sightings. What these days held is gone.
    """
    now = now or datetime.now(UTC)
    begun = time.perf_counter()
    last = now.astimezone(UTC).date()
    waiting = [(last - timedelta(days=back), back) for back in range(days)]
    plates = max(rows // READS_A_PLATE, 1)

    async def some() -> None:
        connection = await asyncpg.connect(superuser_url, server_settings=_SETTINGS)
        try:
            while waiting:
                day, back = waiting.pop(0)
                first, end = rows * (days - 1 - back) // days, rows * (days - back) // days
                await (_grow if day == last else _build)(connection, day, first, end, now, plates)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    return await _measured(superuser_url, rows, time.perf_counter() - begun)


async def _grow(connection: Any, day: date, first: int, end: int, now: datetime, plates: int) -> None:
    """Fill a day with its indexes in place."""
    await connection.execute(f"drop table if exists {_table(day)}")
    await connection.fetchval("select reads.make_day($1)", day)
    await _insert(connection, day, first, end, now, plates)
    await connection.execute(f"analyze {_table(day)}")


async def _build(connection: Any, day: date, first: int, end: int, now: datetime, plates: int) -> None:
    """Fill a day, then build its indexes. Nothing vacuums it afterwards: that would be measured with the load."""
    table, begins = _table(day), _midnight(day)
    await connection.execute(f"drop table if exists {table}")  # not below: it locks all days until its transaction ends
    async with connection.transaction():
        await connection.execute(
            f"create table {table} (like reads.sighting including defaults including constraints, "
            f"constraint of_day check (captured_at >= '{begins}' and captured_at < '{begins + timedelta(days=1)}')) "
            "with (autovacuum_enabled = off)"
        )
        await connection.execute(f"alter table {table} owner to platetrail_keeper")
        await _insert(connection, day, first, end, now, plates)
        await connection.execute(
            f"alter table reads.sighting attach partition {table} "
            f"for values from ('{begins}') to ('{begins + timedelta(days=1)}')"
        )
        await connection.execute(f"alter table {table} drop constraint of_day")
        await connection.fetchval(f"select reads.no_statistics('{table}')")
        await connection.execute(f"analyze {table}")


async def _insert(connection: Any, day: date, first: int, end: int, now: datetime, plates: int) -> None:
    begins = _midnight(day)
    lasts = min(timedelta(days=1), now - begins)
    statement = _MADE_UP.replace("{table}", _table(day))
    await connection.execute(statement, first, end, begins, lasts, OWNERS, plates, CAMERAS)


def _table(day: date) -> str:
    return f"reads.sighting_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def _measured(superuser_url: str, rows: int, seconds: float) -> Filled:
    connection = await asyncpg.connect(superuser_url)
    try:
        total, heap = await connection.fetchrow(
            "select sum(pg_total_relation_size(inhrelid)), sum(pg_table_size(inhrelid)) "
            "from pg_inherits where inhparent = 'reads.sighting'::regclass"
        )
    finally:
        await connection.close()
    return Filled(rows, seconds, int(total), int(heap))


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(fill(sys.argv[1], int(sys.argv[2])))}\n")
