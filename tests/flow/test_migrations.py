"""A database that holds reads is migrated: the reads stay, and new ones come with what the camera said."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from schemas.migrations import roles
from schemas.migrations.run import upgrade
from tests.support.database import Database
from tests.support.questions import PLATE, READ, append, intent, plant_read, question

BEFORE_SAID = "0002"
BEFORE_STATISTICS = "0009"
IN_STATISTICS = "select count(*) from pg_statistic s where s::text like '%' || $1 || '%'"
FILES = "select array_agg((relname, relfilenode) order by relname) from pg_class where relname like 'sighting%'"
OPERATING = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
CLEARING = 18
"""The first PostgreSQL that lets a table's owner take its statistics out."""


@pytest.fixture
def unmigrated(fresh_database: Callable[..., Database]) -> Database:
    """A database with roles and without a schema."""
    return fresh_database(migrated=False)


async def test_reads_from_before_a_migration_are_answered_after_it(unmigrated: Database) -> None:
    migrate = unmigrated.url(roles.MIGRATE)
    await upgrade(migrate, BEFORE_SAID)
    superuser = await asyncpg.connect(unmigrated.superuser_url)
    await plant_read(superuser)
    await upgrade(migrate)

    await superuser.execute("select reads.make_day($1)", (datetime.now(UTC) + timedelta(days=1)).date())
    await superuser.execute("update reads.sighting set revision = 1, said = $1", b'{"make":"B.M.W."}')
    search = await asyncpg.connect(unmigrated.url("platetrail_search"))
    asked = question()
    [row] = await search.fetch(READ, await append(search, intent(asked)), asked.encoded())
    assert (row["plate"], row["said"]) == (PLATE, b'{"make":"B.M.W."}')

    covering = await superuser.fetch(
        "select indexdef from pg_indexes "
        "where schemaname = 'reads' and indexdef like '%(plate_key, captured_at, pass_id)%'"
    )
    days = await superuser.fetchval("select count(*) from reads.days()")
    assert len(covering) == days + 1, "the parent's and each day's, those from before too"
    assert all("doubts, said, crop)" in index["indexdef"] for index in covering)
    await search.close()
    await superuser.close()


async def test_no_plate_is_in_the_planners_statistics_from_a_migration_on(unmigrated: Database) -> None:
    migrate = unmigrated.url(roles.MIGRATE)
    await upgrade(migrate, BEFORE_STATISTICS)
    superuser = await asyncpg.connect(unmigrated.superuser_url)
    for _ in range(5):
        await plant_read(superuser)
    await superuser.execute("analyze")
    assert await superuser.fetchval(IN_STATISTICS, PLATE), "it would be no wonder that nothing is found"
    files = await superuser.fetchval(FILES)

    await upgrade(migrate)
    if superuser.get_server_version().major < CLEARING:
        [told] = re.findall(r"^delete from pg_statistic [^`]*", OPERATING.read_text(), re.MULTILINE)
        await superuser.execute(told)
    assert await superuser.fetchval(IN_STATISTICS, PLATE) == 0
    assert await superuser.fetchval(FILES) == files, "no index is built anew: that may take hours"

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await superuser.execute("select reads.make_day($1)", tomorrow.date())
    for _ in range(5):  # of one read alone PostgreSQL keeps no value
        await plant_read(superuser, hours=-24)
    await superuser.execute("analyze")
    assert await superuser.fetchval(IN_STATISTICS, PLATE) == 0
    of_day = "select count(*) from pg_stats where schemaname = 'reads' and tablename = $1 and attname = 'owner'"
    assert await superuser.fetchval(of_day, f"sighting_{tomorrow:%Y%m%d}"), "the others are kept"
    await superuser.close()


async def test_a_day_that_was_taken_out_before_a_column_came_is_no_obstacle(unmigrated: Database) -> None:
    migrate = unmigrated.url(roles.MIGRATE)
    await upgrade(migrate, BEFORE_SAID)
    superuser = await asyncpg.connect(unmigrated.superuser_url)
    await plant_read(superuser)
    [day] = await superuser.fetchrow("select day from reads.days() as day")
    await superuser.execute(f"alter table reads.sighting detach partition reads.sighting_{day:%Y%m%d}")

    await upgrade(migrate)
    await superuser.execute("analyze")
    assert await superuser.fetchval(f"select count(*) from reads.sighting_{day:%Y%m%d}") == 1, "it is there"
    assert await superuser.fetchval(IN_STATISTICS, PLATE) == 0
    await superuser.close()


async def test_a_day_that_was_made_as_it_was_done_before_is_mended_when_it_is_asked_for_again(
    database: Database,
) -> None:
    """One that is made while that migration runs is made by the function as it was."""
    superuser = await asyncpg.connect(database.superuser_url)
    await plant_read(superuser)
    day = (datetime.now(UTC) - timedelta(hours=1)).date()
    await superuser.execute(f"alter table reads.sighting_{day:%Y%m%d} alter column plate_key set statistics -1")
    for _ in range(5):
        await plant_read(superuser)  # which asks for its day
    await superuser.execute("analyze")
    assert await superuser.fetchval(IN_STATISTICS, PLATE) == 0
    await superuser.close()


async def test_the_gate_starts_no_further_processes_and_compiles_nothing(database: Database) -> None:
    """A migration that makes the function anew would lose what was set of it."""
    superuser = await asyncpg.connect(database.superuser_url)
    found = await superuser.fetchval("select proconfig from pg_proc where oid = 'gate.trajectory'::regproc")
    await superuser.close()
    assert {"jit=off", "max_parallel_workers_per_gather=0", "TimeZone=UTC"} <= set(found)
