"""Sightings put into the index directly, as the ingesting role, for tests that do without Kafka."""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from schemas.plate import plate_key
from search.ports import Row
from tests.support.database import Database

_COLUMNS = ", ".join(Row._fields)
_OWN = "plate_key, revision, received_at, normaliser_version, superseded_by"
_VALUES = ", ".join(f"${number}" for number in range(1, len(Row._fields) + 6))
INSERT = f"insert into reads.sighting ({_COLUMNS}, {_OWN}) values ({_VALUES})"


async def put(database: Database, rows: Sequence[Row], superseded_by: str | None = None) -> None:
    """Insert rows, making their days first. `superseded_by` makes graves of them."""
    keeper = await asyncpg.connect(database.url("platetrail_maintain"))
    for day in sorted({row.captured_at.date() for row in rows}):
        await keeper.execute("select reads.make_day($1)", day)
    await keeper.close()
    writer = await asyncpg.connect(database.url("platetrail_ingest"))
    await writer.executemany(
        INSERT,
        [
            (*row, plate_key(row.plate), 0, row.captured_at + timedelta(seconds=row.skew_s), 1, superseded_by)
            for row in rows
        ],
    )
    await writer.close()


async def register(database: Database, *owners: str) -> None:
    """Register one camera for each owner, so that search knows them."""
    search = await asyncpg.connect(database.url("platetrail_search"))
    for owner in owners:
        await search.execute(
            "insert into registry.camera"
            " (camera_id, owner, name, latitude, longitude, timezone, key_prefix, key_sha256) values"
            " ($1, $2, $1, 38, -90, 'America/Chicago', $1, $1) on conflict do nothing",
            f"{owner}-1",
            owner,
        )
    await search.close()
