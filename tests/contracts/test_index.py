"""What the index is to the indexer, in memory and on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemoryIndex
from ingest.adapters.postgres import SightingIndex
from ingest.errors import Misconfigured, Unavailable
from ingest.ports import Sink
from ingest.rows import COLUMNS, Row, rows
from schemas.detections import Candidate, Crop
from schemas.sightings import Trait
from tests.support.database import Database
from tests.support.detections import NOW, sighting
from tests.support.stages import make_days


class Subject(NamedTuple):
    sink: Sink[Row]
    values: Callable[[], Awaitable[set[tuple[object, ...]]]]


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> Database | None:
    """The database, or None for memory: made outside the event loop."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest_asyncio.fixture
async def subject(place: Database | None) -> AsyncIterator[Subject]:
    if place is None:
        with pytest.warns(InMemory):
            memory = MemoryIndex()

        async def of_memory() -> set[tuple[object, ...]]:
            return {row.values for row in memory.rows.values()}

        yield Subject(memory, of_memory)
        return
    await make_days(place, [NOW.date()])
    looking = await asyncpg.connect(place.superuser_url)
    await looking.execute("delete from reads.sighting")
    index = SightingIndex(place.url("platetrail_ingest"))
    await index.start()

    async def of_table() -> set[tuple[object, ...]]:
        found = await looking.fetch(f"select {', '.join(COLUMNS)} from reads.sighting")
        return {tuple(record.values()) for record in found}

    yield Subject(index, of_table)
    await index.stop()
    await looking.close()


def values(*batch: Row) -> set[tuple[object, ...]]:
    return {row.values for row in batch}


CROP = Crop(sha256="5e" * 32)

FIRST, OTHER, REVISED, LATEST = rows(
    [
        # Confidences that a 4-byte float holds exactly.
        sighting(0, plate_confidence=0.5, make=Trait(value="bmw", confidence=0.25, said="BMW"), crop=CROP),
        sighting(1, candidates=(Candidate(plate="ABC0001", confidence=0.5),), doubts=("low_confidence",), lane=2),
        sighting(0, revision=1, plate_confidence=0.75, colour=Trait(value="red")),
        sighting(0, revision=2, superseded_by="ABC0009"),
    ]
)


async def test_rows_are_kept_as_they_are(subject: Subject) -> None:
    await subject.sink.write([FIRST, OTHER])
    assert await subject.values() == values(FIRST, OTHER)


async def test_the_same_again_changes_nothing(subject: Subject) -> None:
    for _ in range(3):
        await subject.sink.write([FIRST, OTHER, FIRST])
    assert await subject.values() == values(FIRST, OTHER)


@pytest.mark.parametrize(
    "batches",
    [
        [[FIRST], [REVISED], [LATEST]],
        [[LATEST], [REVISED], [FIRST]],
        [[REVISED, LATEST, FIRST]],
        [[FIRST, REVISED], [LATEST, REVISED]],
        [[LATEST, FIRST], [FIRST], [REVISED]],
    ],
)
async def test_the_highest_revision_stays_whatever_the_order(subject: Subject, batches: list[list[Row]]) -> None:
    await subject.sink.write([OTHER])
    for batch in batches:
        await subject.sink.write(batch)
    assert await subject.values() == values(OTHER, LATEST)


async def test_of_a_higher_revision_every_column_is_taken(subject: Subject) -> None:
    """No word of the earlier revision stays: what REVISED leaves unsaid is unsaid."""
    await subject.sink.write([FIRST])
    await subject.sink.write([REVISED])
    assert await subject.values() == values(REVISED)


async def test_a_read_without_a_plate_and_one_under_another_key_are_rows_of_their_own(subject: Subject) -> None:
    batch = rows([sighting(0), sighting(0, plate=None, plate_key="~cam-1"), sighting(0, plate_key="ABC0009")])
    await subject.sink.write(batch)
    assert await subject.values() == values(*batch)


async def test_the_largest_row_fits_into_the_covering_index(subject: Subject) -> None:
    """An entry of a B-tree holds 2,704 bytes. Random letters of three alphabets are what is compressed least."""
    dice = random.Random(7)

    def text(length: int, alphabets: str = "ascii") -> str:
        ranges = {"ascii": (0x21, 0x7E), "cyrillic": (0x400, 0x4FF), "han": (0x4E00, 0x9FFF)}
        return "".join(chr(dice.randint(*ranges[alphabets])) for _ in range(length))

    spoken = {
        name: Trait(value=text(10), confidence=0.123456, said=text(length, alphabet))
        for name, length, alphabet in (("make", 21, "han"), ("colour", 32, "cyrillic"), ("body", 40, "ascii"))
    }
    fat = sighting(
        0,
        plate_raw=text(32, "cyrillic"),
        candidates=tuple(Candidate(plate=text(32, "cyrillic"), confidence=dice.random()) for _ in range(10)),
        model=Trait(value=text(21, "han"), confidence=dice.random(), said=text(21, "han")),
        camera_id=text(40),
        owner=text(40),
        region_confidence=0.5,
        crop=Crop(sha256=dice.randbytes(32).hex()),
        doubts=("low_confidence", "attributes_disagree", "clock_skew", "position_disagrees", "implausible_format"),
        **spoken,
    )
    [row] = rows([fat])
    await subject.sink.write([row])
    assert len(await subject.values()) == 1


async def test_a_connection_that_was_cut_is_made_anew(database: Database) -> None:
    await make_days(database, [NOW.date()])
    index = SightingIndex(database.url("platetrail_ingest"))
    await index.start()
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        await superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'platetrail-indexer'"
        )
        with pytest.raises(Unavailable):
            await _write_again_and_again(index)
        await index.write([OTHER])
    finally:
        await superuser.close()
        await index.stop()


async def _write_again_and_again(index: SightingIndex) -> None:
    """Write until it fails: the server's word that it has gone may be on its way."""
    for _ in range(1000):
        await index.write([FIRST])
        await asyncio.sleep(0.01)


async def test_nobody_there_is_an_outage_and_a_wrong_password_is_not(database: Database) -> None:
    url = database.url("platetrail_ingest")
    with pytest.raises(Unavailable):
        await SightingIndex("postgresql://platetrail_ingest:x@127.0.0.1:1/nowhere").start()
    with pytest.raises(Misconfigured, match="28P01"):
        await SightingIndex(url.replace(url.split(":")[2].split("@")[0], "wrong")).start()
