"""However rows reach the index, by whichever of its ways and from however many indexers, it ends as one by one."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import pytest
import pytest_asyncio

from ingest.adapters.postgres import SightingIndex
from ingest.rows import COLUMNS, Row, rows
from schemas.detections import Candidate
from schemas.sightings import Sighting, Trait
from tests.support.database import Database
from tests.support.detections import NOW, sighting
from tests.support.stages import make_days

_COLUMNS: Final = ", ".join(COLUMNS)
_ONE_BY_ONE: Final = f"""
insert into reference as t ({_COLUMNS}) values ({", ".join(f"${at}" for at in range(1, len(COLUMNS) + 1))})
on conflict (pass_id, captured_at, plate_key) do update
set ({_COLUMNS}) = ({", ".join(f"excluded.{column}" for column in COLUMNS)})
where excluded.revision > t.revision
"""
KEYS: Final = 40


@pytest_asyncio.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection]:
    await make_days(database, [NOW.date(), (NOW - timedelta(days=1)).date()])
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("delete from reads.sighting")
    await connection.execute("drop table if exists reference")
    await connection.execute("create table reference (like reads.sighting including all)")
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def indexers(database: Database) -> AsyncIterator[list[SightingIndex]]:
    both = [SightingIndex(database.url("platetrail_ingest")) for _ in range(2)]
    for one in both:
        await one.start()
    yield both
    for one in both:
        await one.stop()


def said(dice: random.Random, revision: int, first: int = 0, keys: int = KEYS) -> Sighting:
    """Return one of so many passes of two days, always the same in this revision."""
    number = dice.randrange(first, first + keys)
    own = random.Random(number * 100 + revision)
    return sighting(
        number,
        revision=revision,
        captured_at=NOW - timedelta(hours=number % 3 * 11, seconds=number),
        superseded_by="ABC0009" if revision and own.random() < 0.2 else None,
        plate_confidence=own.random(),
        candidates=(Candidate(plate="ABC0001", confidence=own.random()),) if own.random() < 0.5 else (),
        make=Trait(value="bmw", said="B.M.W." if own.random() < 0.5 else None) if own.random() < 0.7 else None,
        doubts=("low_confidence",) if own.random() < 0.3 else (),
    )


def batches(seed: int) -> Sequence[list[Row]]:
    """Return batches: some of passes never seen, some of revisions in any order, some of an earlier batch again."""
    dice, made = random.Random(seed), list[list[Row]]()
    for at in range(14):
        kind = dice.choice(("new", "new", "first", "any", "again"))
        if kind == "again" and made:
            made.append(list(dice.choice(made)))
        elif kind == "new":
            made.append(rows([sighting(number) for number in range(1000 + at * 50, 1050 + at * 50)]))
        else:
            revision = 0 if kind == "first" else 4
            made.append(rows([said(dice, dice.randint(0, revision)) for _ in range(dice.randint(1, 30))]))
    return made


async def held(connection: asyncpg.Connection, table: str) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in await connection.fetch(f"select {_COLUMNS} from {table}")}


@pytest.mark.parametrize("seed", range(12))
async def test_batches_end_as_rows_written_one_by_one(
    superuser: asyncpg.Connection, indexers: list[SightingIndex], seed: int
) -> None:
    for batch in batches(seed):
        await indexers[0].write(batch)
        await superuser.executemany(_ONE_BY_ONE, batch)
        assert await held(superuser, "reads.sighting") == await held(superuser, "reference")
    assert await held(superuser, "reference")


@pytest.mark.parametrize("seed", range(4))
async def test_two_indexers_with_the_same_rows_lose_none_and_never_stand(
    superuser: asyncpg.Connection, indexers: list[SightingIndex], seed: int
) -> None:
    """After a rebalance a worker that has not noticed writes what its successor does; a deadlock would raise."""
    dice = random.Random(seed)
    for turn in range(6):
        # Passes that neither has met, so that both insert; and revisions, so that both update.
        batch = rows([said(dice, dice.choice((0, 0, 1, 2)), turn * 500, 1000) for _ in range(2000)])
        shuffled = [dice.sample(batch, len(batch)) for _ in indexers]
        await asyncio.gather(*(one.write(part) for one, part in zip(indexers, shuffled, strict=True)))
        await superuser.executemany(_ONE_BY_ONE, batch)
    assert await held(superuser, "reads.sighting") == await held(superuser, "reference")


async def test_a_replay_of_everything_changes_no_row(
    superuser: asyncpg.Connection, indexers: list[SightingIndex]
) -> None:
    for batch in batches(99):
        await indexers[0].write(batch)
    versions = "select ctid::text, xmin::text, * from reads.sighting"
    before = set(await superuser.fetch(versions))
    for batch in batches(99):
        await indexers[1].write(batch)
    assert set(await superuser.fetch(versions)) == before
