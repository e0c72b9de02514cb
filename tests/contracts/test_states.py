"""Camera health in PostgreSQL: workers at the same time, and outages, neither lose nor double a report."""

import asyncio
import random
import string
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest.adapters.health import PostgresStates
from ingest.errors import Misconfigured, Unavailable, Unwritable
from schemas import health
from schemas.health import CameraState
from services.demo import postgres as postgres_starter
from tests.support.database import Database, fresh, make_roles, new_passwords
from tests.support.health import NOW, folded, report
from tests.unit.ingest.test_health import letter

ROLE = "platetrail_health"


@pytest.fixture
async def states(database: Database) -> AsyncIterator[PostgresStates]:
    states = PostgresStates(database.url(ROLE))
    await states.start()
    yield states
    await states.stop()


async def state_of(database: Database, camera_id: str) -> CameraState:
    connection = await asyncpg.connect(database.superuser_url)
    found = await connection.fetchval("select state from registry.camera_health where camera_id = $1", camera_id)
    await connection.close()
    return health.decode(found or b"")


async def test_what_is_folded_is_what_the_pure_function_says(states: PostgresStates, database: Database) -> None:
    reports = [report(number, NOW + timedelta(minutes=number), camera_id="plain") for number in range(1, 9)]
    await states.fold(reports[:3])
    await states.fold([*reports[1:], report(1, camera_id="other")])
    await states.fold(reports)
    assert await state_of(database, "plain") == folded(reports)
    assert await state_of(database, "other") == folded([report(1, camera_id="other")])


async def test_letters_and_reports_meet_in_one_row(states: PostgresStates, database: Database) -> None:
    await states.fold([report(1), letter(1)])
    await states.fold([letter(1), letter(2)])
    (counts,) = (await state_of(database, "cam-1")).hours.values()
    assert (counts.accepted, counts.conflicting) == (1, 2)


async def test_workers_at_the_same_time_do_not_undo_each_other(database: Database) -> None:
    """Each begins with the same cameras, new to the table, in an order of its own."""
    workers = [PostgresStates(database.url(ROLE)) for _ in range(4)]
    names = [f"both-{number}" for number in range(20)]

    async def work(number: int, worker: PostgresStates) -> None:
        for sequence in range(1, 11):
            order = names[::-1] if number % 2 else names
            await worker.fold([report(sequence, camera_id=name, source=uuid.UUID(int=number)) for name in order])

    await asyncio.gather(*(work(number, worker) for number, worker in enumerate(workers)))
    for worker in workers:
        await worker.stop()
    for name in names:
        (counts,) = (await state_of(database, name)).hours.values()
        assert counts.accepted == 40


async def test_a_database_that_goes_and_comes_back(tmp_path: Path) -> None:
    passwords = new_passwords()
    cluster = postgres_starter.start(tmp_path / "postgres", passwords=passwords)
    try:
        make_roles(cluster, passwords)
        database = await asyncio.to_thread(fresh, cluster)
        states = PostgresStates(database.url(ROLE))
        await states.fold([report(1)])
        cluster.kill()
        with pytest.raises(Unavailable):
            await states.fold([report(2)])
        cluster.restart()
        for _ in range(2):
            await states.fold([report(2), report(3)])
        assert await state_of(database, "cam-1") == folded([report(1), report(2), report(3)])
        await states.stop()
    finally:
        cluster.stop()


async def test_what_a_human_must_mend(states: PostgresStates, fresh_database: Callable[..., Database]) -> None:
    unmigrated = await asyncio.to_thread(lambda: fresh_database(migrated=False))
    elsewhere = PostgresStates(unmigrated.url(ROLE))
    with pytest.raises(Misconfigured, match="SQLSTATE 42P01"):
        await elsewhere.fold([report()])
    await elsewhere.stop()


async def test_a_state_that_was_changed_by_hand_stops_the_worker(states: PostgresStates, database: Database) -> None:
    await states.fold([report(camera_id="by-hand")])
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("update registry.camera_health set state = 'XQ7041' where camera_id = 'by-hand'")
    await connection.close()
    with pytest.raises(Misconfigured, match="by hand") as caught:
        await states.fold([report(2, camera_id="by-hand")])
    assert "XQ7041" not in str(caught.value)


LONG = "".join(random.Random(1).choices(string.ascii_letters, k=100_000))


@pytest.mark.parametrize(
    "changes",
    [{"camera_id": LONG[:20_000]}, {"rejected": {LONG: 1}}, {"last_seen_at": NOW.replace(tzinfo=None)}],
)
async def test_what_no_row_takes_is_refused_for_its_values(
    states: PostgresStates, database: Database, changes: dict[str, Any]
) -> None:
    """It is nobody's outage, and no fault of the installation: nothing is folded, and the rest may be without it."""
    before = states._connection
    with pytest.raises(Unwritable):
        await states.fold([report(1, camera_id="beside"), report(2, **{"camera_id": "beside", **changes})])
    await states.fold([report(1, camera_id="beside")])
    assert await state_of(database, "beside") == folded([report(1, camera_id="beside")])
    assert states._connection is before, "halving a batch takes no new connection for each half"


async def test_an_error_of_ours_is_said_as_it_is_and_not_taken_for_a_reports(states: PostgresStates) -> None:
    with pytest.raises(TypeError):
        await states.fold([report(1, camera_id="one"), report(1, camera_id=None)])
