"""What the search role cannot do: read without a record, wider than its record, or later than its record."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from schemas.entries import Entry
from tests.support.database import Database
from tests.support.questions import OWNER, PLATE, READ, append, intent, plant_read, question, scope

Connections = tuple[Any, Any]


@pytest.fixture
async def both(empty: Database) -> AsyncIterator[Connections]:
    """A connection as the search role, and one as the superuser, to an index with one read of the plate."""
    search, superuser = (
        await asyncpg.connect(empty.url("platetrail_search")),
        await asyncpg.connect(empty.superuser_url),
    )
    await plant_read(superuser)
    yield search, superuser
    search.terminate()
    superuser.terminate()


@pytest.fixture(scope="module")
def empty(fresh_database: Callable[[], Database]) -> Database:
    """A database of this module's own."""
    return fresh_database()


async def refused(doing: Awaitable[Any], sqlstate: str, saying: str | None = None) -> None:
    """Await what the database must refuse in exactly this way."""
    with pytest.raises(asyncpg.PostgresError, match=saying) as caught:
        await doing
    assert caught.value.sqlstate == sqlstate


async def test_a_recorded_question_is_answered_and_again(both: Connections) -> None:
    search, _ = both
    asked = question()
    entry = await append(search, intent(asked))
    for _ in range(2):
        rows = await search.fetch(READ, entry, asked.encoded())
        assert {(row["plate"], row["owner"]) for row in rows} == {(PLATE, OWNER)}


async def test_neither_index_nor_log_can_be_selected(both: Connections) -> None:
    search, _ = both
    for table in (
        *("reads.sighting", "audit.leaf", "audit.head", "audit.secret", "audit.data_key", "audit.lookup"),
        *("gate.scope", "gate.scope_owner"),
    ):
        await refused(search.fetch(f"select * from {table}"), "42501")
    days = await both[1].fetch("select 'reads.sighting_' || to_char(d, 'YYYYMMDD') as day from reads.days() d")
    assert days
    await refused(search.fetch(f"select * from {days[0]['day']}"), "42501")
    await refused(search.fetch("select gate.question(0, '')"), "42501")


async def test_nothing_of_the_log_can_be_written_but_by_append(both: Connections) -> None:
    search, _ = both
    for statement in (
        "delete from audit.leaf",
        "truncate audit.leaf",
        "update audit.leaf set at = clock_timestamp()",
        "update audit.head set size = 0",
        "insert into audit.leaf (idx, leaf, hash, place, kind) values (0, '', '', '', '')",
        "insert into gate.scope_owner (hash, owner, days) values ('', 'x', 1)",
        "insert into audit.secret values (0, gen_random_uuid(), '')",
    ):
        await refused(search.execute(statement), "42501")


async def test_append_read_rollback_reads_nothing(both: Connections) -> None:
    search, _ = both
    asked = question()
    transaction = search.transaction()
    await transaction.start()
    entry = await append(search, intent(asked))
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "not committed")
    await transaction.rollback()
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "no such entry")


async def test_a_savepoint_is_no_commit(both: Connections) -> None:
    search, _ = both
    asked = question()
    async with search.transaction():
        async with search.transaction():
            entry = await append(search, intent(asked))
        with pytest.raises(asyncpg.PostgresError, match="not committed"):
            async with search.transaction():
                await search.fetch(READ, entry, asked.encoded())


async def test_waiting_in_a_transaction_makes_no_record_fresh(both: Connections) -> None:
    """`now()` stands still in an open transaction: a gate that used it would take the entry below for a fresh one."""
    search, superuser = both
    asked = question()
    entry = await append(search, intent(asked))
    async with search.transaction():
        assert len(await search.fetch(READ, entry, asked.encoded())) >= 1
        # As if a minute had passed: the entry is older by the wall clock and by now() alike.
        await superuser.execute("update audit.leaf set at = at - interval '61 seconds' where idx = $1", entry)
        await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "not fresh")
    # Now the clocks apart: over 60 s old by the wall clock, and younger by the now() of an older transaction.
    entry = await append(search, intent(asked))
    transaction = search.transaction()
    await transaction.start()
    began = await search.fetchval("select now()")
    await search.execute("select pg_sleep(1)")
    await superuser.execute(
        "update audit.leaf set at = $2::timestamptz - interval '59.5 seconds' where idx = $1", entry, began
    )
    assert await search.fetchval("select now() = $1", began)
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "not fresh")
    await transaction.rollback()


async def test_a_record_of_the_future_is_not_fresh(both: Connections) -> None:
    search, superuser = both
    asked = question()
    entry = await append(search, intent(asked))
    await superuser.execute("update audit.leaf set at = at + interval '1 hour' where idx = $1", entry)
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "not fresh")


@pytest.mark.parametrize("off", ["off", "local"])
async def test_an_append_that_is_not_durable_is_refused(both: Connections, off: str) -> None:
    search, superuser = both
    size = await superuser.fetchval("select size from audit.head")
    await search.execute(f"set synchronous_commit = {off}")
    await refused(append(search, intent(question())), "PT503", "durable")
    await search.execute("set synchronous_commit = on")
    transaction = search.transaction()
    await transaction.start()
    await append(search, intent(question()))
    await search.execute(f"set local synchronous_commit = {off}")
    await refused(transaction.commit(), "PT503", "durable")
    assert await superuser.fetchval("select size from audit.head") == size


async def test_other_disclosure_bytes_are_refused(both: Connections) -> None:
    search, _ = both
    asked, other = question(), question(plate="XYZ1")
    entry = await append(search, intent(asked))
    spaced = asked.encoded().replace(b",", b", ", 1)
    for disclosure in (other.encoded(), question().encoded(), spaced, b"", b"[]"):
        await refused(search.fetch(READ, entry, disclosure), "PT403", "another question")


async def test_a_commitment_to_another_field_is_no_question(both: Connections) -> None:
    search, _ = both
    asked = question()
    forged = type(asked)(salt=asked.salt, field="note", value=asked.value)

    class Forged(Entry, frozen=True, kw_only=True):
        def leaf(self) -> bytes:
            return intent(asked).leaf().replace(asked.commitment().encode(), forged.commitment().encode())

    entry = await append(search, Forged(kind="intent", public={}))
    await refused(search.fetch(READ, entry, forged.encoded()), "PT403", "another field")


async def test_a_leaf_outside_the_tree_is_refused(both: Connections) -> None:
    search, superuser = both
    asked = question()
    entry = 1_000_000
    await superuser.execute(
        """insert into audit.leaf (idx, leaf, hash, place, kind)
           values ($1, $2, sha256('a'::bytea), sha256('b'::bytea), 'intent')""",
        entry,
        intent(asked).leaf(),
    )
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "no such entry")
    await refused(search.fetch(READ, entry + 1, asked.encoded()), "PT403", "no such entry")
    await superuser.execute("delete from audit.leaf where idx = $1", entry)


async def test_only_intents_and_pages_are_questions(both: Connections) -> None:
    search, _ = both
    asked = question()
    opened = await append(search, intent(asked))
    end = await append(search, Entry(kind="outcome", public={}, disclosures=(asked,), ends=opened))
    await refused(search.fetch(READ, end, asked.encoded()), "PT403", "no question")
    page = await append(search, Entry(kind="page", public={"intent": opened}, disclosures=(asked,)))
    assert len(await search.fetch(READ, page, asked.encoded())) >= 1


@pytest.mark.parametrize(
    "changes",
    [
        *({"type": "area"}, {"match": "like"}, {"plate_key": None}, {"plate": None}, {"limit": 0}, {"limit": 1001}),
        *({"limit": None}, {"scope": None}, {"from": None}, {"plate_key": "~camera"}),
    ],
)
async def test_a_question_without_bounds_is_refused(both: Connections, changes: dict[str, Any]) -> None:
    search, _ = both
    asked = question(**changes)
    entry = await append(search, intent(asked))
    await refused(search.fetch(READ, entry, asked.encoded()), "PT403", "not one for a trajectory")


async def test_reads_of_owners_outside_the_scope_are_not_returned(both: Connections) -> None:
    search, _ = both
    other = await search.fetchval("select gate.put_scope($1)", scope({"somebody-else": 30}))
    for named in (other.hex(), "00" * 32):
        asked = question(scope=named)
        entry = await append(search, intent(asked))
        assert await search.fetch(READ, entry, asked.encoded()) == []


@pytest.fixture
def own_database(fresh_database: Callable[[], Database]) -> Database:
    """A database of one test's own."""
    return fresh_database()


def clocks_changed(forward: bool, today: datetime) -> str:
    """Return a time zone in which clocks are put forward, or back, at a day's first midnight (UTC), as POSIX writes it.

    Days are numbered from 0 with the one that leap years have, so that it may be any.
    """
    days = [str((today + timedelta(days=shift)).timetuple().tm_yday - 1) for shift in (-60, 0, 60)]
    on, off = days[1:] if forward else days[:2]
    # Each hour is the one that clocks show before they are changed: 01:00 of BBB is midnight UTC.
    return f"AAA0BBB,{on}/0,{off}/1"


@pytest.mark.parametrize("forward", [True, False])
async def test_clocks_can_be_changed_on_any_day_of_any_year(both: Connections, forward: bool) -> None:
    """The days beside it, 60 before and after, may fall on one that other years do not have."""
    search, _ = both
    for day in ("2027-12-31", "2028-01-01", "2028-02-28", "2028-02-29", "2028-03-01", "2028-04-29", "2028-12-31"):
        today = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        for hours in (1, 12, 23):
            await search.execute(f"set timezone = '{clocks_changed(forward, today)}'")
            found = await search.fetchval(
                "select extract(epoch from $1::timestamptz - ($1::timestamptz - interval '1 day')) / 3600",
                today + timedelta(hours=hours),
            )
            assert found == (23 if forward else 25), day
    await search.execute("reset timezone")


@pytest.mark.parametrize("forward", [True, False])
async def test_an_owners_days_have_24_hours_also_where_clocks_were_put_forward_or_back(
    own_database: Database, forward: bool
) -> None:
    database = own_database
    search = await asyncpg.connect(database.url("platetrail_search"))
    maintain = await asyncpg.connect(database.url("platetrail_maintain"))
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        for hours in (23.5, 24.5):
            await plant_read(superuser, hours)
        now = datetime.now(UTC)
        for connection in (search, maintain):
            await connection.execute(f"set timezone = '{clocks_changed(forward, now)}'")
        a_day = await search.fetchval("select extract(epoch from now() - (now() - interval '1 day')) / 3600")
        assert a_day == (23 if forward else 25), "a day of the calendar"
        own = await search.fetchval("select gate.put_scope($1)", scope({OWNER: 1}))
        asked = question(scope=own.hex(), **{"from": (now - timedelta(days=3)).isoformat()})
        [row] = await search.fetch(READ, await append(search, intent(asked)), asked.encoded())
        assert now - row["captured_at"] < timedelta(hours=24)
        assert await maintain.fetchval("select reads.purge($1, $2)", OWNER, now - timedelta(hours=24)) == 1
        await refused(maintain.fetchval("select reads.purge($1, $2)", OWNER, now - timedelta(hours=23.9)), "PT403")
    finally:
        for connection in (search, maintain, superuser):
            connection.terminate()
