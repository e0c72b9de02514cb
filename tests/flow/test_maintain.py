"""Days are made ahead and dropped in time, owners who keep less are purged, and the log says what was destroyed."""

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest.errors import Unavailable
from search.audit import keys
from search.audit.adapters.reader import PostgresReader, verify_database
from search.audit.ports import Selection
from search.audit.secrets import Opener
from services import maintain
from services.settings import Settings
from tests.support.database import Database

RULES = {"owners": {"short-pd": {"days": 3}, "long-so": {"days": 40}}}


@pytest.fixture
def database(fresh_database: Callable[[], Database]) -> Database:
    """An empty database."""
    return fresh_database()


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """What the maintain service is told."""
    keys.make_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    (tmp_path / "owners.json").write_text(json.dumps(RULES))
    return Settings(
        database_url=database.url("platetrail_maintain"),
        owners_file=tmp_path / "owners.json",
        audit_public_key_file=tmp_path / "public.pem",
        audit_private_key_file=tmp_path / "private.pem",
    )


async def ask(database: Database, statement: str, *arguments: Any) -> Any:
    """Return one value, asked for by the superuser."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def plant(database: Database, owner: str, captured_at: datetime) -> None:
    """Put a read into the index, making its day if need be."""
    await ask(database, "select reads.make_day($1)", captured_at.date())
    await ask(
        database,
        """insert into reads.sighting (pass_id, captured_at, plate_key, revision, plate, owner, camera_id, latitude,
               longitude, timezone, clock_uncertainty_s, skew_s, received_at, normaliser_version)
           values ($1, $2, 'PLANTED', 0, 'PLANTED', $3, 'c', 1, 2, 'UTC', 2, 0, $2, 1)""",
        uuid.uuid4(),
        captured_at,
        owner,
    )


async def days(database: Database) -> list[date]:
    found: list[date] = await ask(database, "select array_agg(d order by d) from reads.days() d")
    return found


async def test_a_new_index_has_a_day_for_every_read_that_may_come(database: Database, settings: Settings) -> None:
    once = maintain.build(settings)
    kept = await once()
    today = datetime.now(UTC).date()
    made = await days(database)
    assert kept.made == len(made) >= 43
    assert made[0] <= today - timedelta(days=40)
    assert made[-1] == today + timedelta(days=2)
    assert made == [made[0] + timedelta(days=number) for number in range(len(made))]
    again = await once()
    assert (again.made, again.dropped) == (0, 0)
    assert await ask(database, "select size from audit.head") == 0


async def test_what_is_past_its_time_goes_and_leaves_entries(database: Database, settings: Settings) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=45)
    await plant(database, "long-so", long_ago)
    await plant(database, "short-pd", long_ago)
    await plant(database, "unlisted-pd", now - timedelta(days=31))
    await plant(database, "unlisted-pd", now - timedelta(days=29))
    await plant(database, "short-pd", now - timedelta(days=4))
    await plant(database, "short-pd", now - timedelta(days=2))
    await plant(database, "long-so", now - timedelta(days=39))

    kept = await maintain.build(settings)()

    assert (kept.dropped, kept.reads_dropped, kept.reads_purged) == (1, 2, 2)
    assert long_ago.date() not in await days(database)
    left = await ask(database, "select array_agg(owner order by owner, captured_at) from reads.sighting")
    assert left == ["long-so", "short-pd", "unlisted-pd"]
    shown = await purges(database, settings)
    assert [(kind, public.get("owner"), public["reads"]) for kind, public, _ in shown] == [
        ("day", None, 2),
        ("owner", "short-pd", 1),
        ("owner", "unlisted-pd", 1),
    ]
    assert shown[0][2] == {"owners": {"long-so": 1, "short-pd": 1}}
    assert not any(b"PLANTED" in leaf for leaf in await ask(database, "select array_agg(leaf) from audit.leaf"))
    (await verify_database(database.url("platetrail_auditing"))).raise_for_findings()


async def purges(database: Database, settings: Settings) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return type, public part and disclosures of each entry of the log."""
    assert settings.audit_private_key_file is not None
    opener = Opener(keys.read_private(settings.audit_private_key_file))
    reader = PostgresReader(database.url("platetrail_auditing"))
    shown = []
    for record in await reader.entries(Selection(limit=100)):
        body = json.loads(record.leaf)
        assert body["kind"] == "purge"
        opened = {}
        if record.data_key and record.wrapped and record.sealed:
            found = opener.open(record.data_key, record.wrapped, record.sealed, record.leaf)
            opened = {item.field: item.value for item in found}
        shown.append((body["type"], body, opened))
    await reader.close()
    return shown


async def test_nothing_is_destroyed_that_the_log_does_not_record(database: Database, settings: Settings) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=45)
    await plant(database, "long-so", long_ago)
    await plant(database, "short-pd", datetime.now(UTC) - timedelta(days=4))
    await ask(database, "revoke execute on function audit.append from platetrail_append")
    with pytest.raises(Unavailable):
        await maintain.build(settings)()
    assert await ask(database, "select count(*) from reads.sighting") == 2
    assert long_ago.date() in await days(database)


async def test_old_claims_are_forgotten_and_young_ones_stay(database: Database, settings: Settings) -> None:
    await ask(
        database,
        """insert into audit.claim (mac, body_mac, at) values
               ('old', '', clock_timestamp() - interval '25 hours'), ('young', '', clock_timestamp())""",
    )
    assert (await maintain.build(settings)()).claims == 1
    assert await ask(database, "select array_agg(mac) from audit.claim") == [b"young"]


async def test_two_rounds_at_once_make_each_day_once(database: Database, settings: Settings) -> None:
    rounds = await asyncio.gather(*(maintain.build(settings)() for _ in range(2)))
    assert sum(kept.made for kept in rounds) == len(await days(database))
