"""One behaviour for every log: in memory, greedy over memory, greedy over PostgreSQL."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, Lookup, disclose
from search.audit.adapters.memory import MemoryConnect, MemoryLog, MemoryReader, MemoryTables
from search.audit.adapters.postgres import PostgresConnect
from search.audit.adapters.reader import PostgresReader
from search.audit.errors import AlreadyEnded, LogRefused
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.merkle import leaf_hash, root_of
from search.audit.ports import Appended, Log, Reader, Selection
from search.audit.secrets import Opener, Sealer
from tests.support.database import Database

LOOKUPS = Lookups(bytes(32))


class Place(NamedTuple):
    """A log, what reads it, and what opens its secrets."""

    log: Log
    reader: Reader
    opener: Opener


@pytest.fixture(params=["memory", "greedy memory", "greedy postgres"])
def empty(request: pytest.FixtureRequest) -> Database | str:
    """A kind of log, or an empty database for it."""
    if request.param != "greedy postgres":
        return str(request.param)
    made: Database = request.getfixturevalue("fresh_database")()
    return made


@pytest.fixture
async def place(empty: Database | str) -> AsyncIterator[Place]:
    """An empty log that runs."""
    private = X25519PrivateKey.generate()
    sealer, opener, tables = Sealer(private.public_key()), Opener(private), MemoryTables()
    if empty == "memory":
        yield Place(MemoryLog(tables, sealer), MemoryReader(tables), opener)
    elif isinstance(empty, str):
        log = GreedyLog(MemoryConnect(tables), sealer)
        await log.start()
        yield Place(log, MemoryReader(tables), opener)
        await log.stop()
    else:
        log = GreedyLog(PostgresConnect(empty.url("platetrail_search")), sealer)
        reader = PostgresReader(empty.url("platetrail_auditing"))
        await log.start()
        yield Place(log, reader, opener)
        await log.stop()
        await reader.close()


def intent(agency: str = "aurora-pd", person: str = "ana", **public: Any) -> Entry:
    """Return an intent with a committed person and a look-up of it."""
    return Entry(
        kind="intent",
        public={"at": datetime.now(UTC).isoformat(), "agency": agency, "purpose": "stolen_vehicle", **public},
        disclosures=(disclose("person", person),),
        lookups=(LOOKUPS.lookup("person", person),),
    )


def outcome(ends: int) -> Entry:
    """Return the outcome of an intent or page."""
    return Entry(kind="outcome", public={"agency": "aurora-pd", "rows": 0}, ends=ends)


async def test_receipts_speak_of_the_log_as_it_was(place: Place) -> None:
    receipts = [await place.log.append(intent()) for _ in range(5)]
    hashes = [leaf_hash(receipt.leaf) for receipt in receipts]
    for number, receipt in enumerate(receipts):
        assert (receipt.index, receipt.size) == (number, number + 1)
        assert receipt.root == root_of(hashes[: number + 1])


async def test_concurrent_entries_stand_without_gap_and_once_each(place: Place) -> None:
    receipts = await asyncio.gather(*(place.log.append(intent(person=f"p{n}")) for n in range(300)))
    assert sorted(receipt.index for receipt in receipts) == list(range(300))
    stored = await _all(place.reader)
    assert [record.leaf for record in stored] == [
        receipt.leaf for receipt in sorted(receipts, key=lambda receipt: receipt.index)
    ]
    head = await place.reader.head()
    assert (head.size, head.root) == (300, root_of(leaf_hash(record.leaf) for record in stored))


async def _all(reader: Reader) -> list[Any]:
    return await reader.entries(Selection(limit=10_000))


async def test_every_question_has_one_end(place: Place) -> None:
    opened = await place.log.append(intent())
    end = await place.log.append(outcome(opened.index))
    with pytest.raises(AlreadyEnded):
        await place.log.append(Entry(kind="abandoned", public={}, ends=opened.index))
    with pytest.raises(LogRefused):
        await place.log.append(outcome(end.index))
    with pytest.raises(LogRefused):
        await place.log.append(outcome(999))
    (record, _) = await _all(place.reader)
    assert (record.end, record.end_kind) == (end.index, "outcome")


async def test_a_page_names_its_intent(place: Place) -> None:
    opened = await place.log.append(intent())
    page = await place.log.append(Entry(kind="page", public={"intent": opened.index}))
    with pytest.raises(LogRefused):
        await place.log.append(Entry(kind="page", public={"intent": page.index}))
    with pytest.raises(LogRefused):
        await place.log.append(Entry(kind="page", public={}))


async def test_a_refused_entry_takes_no_neighbour_with_it(place: Place) -> None:
    opened = await place.log.append(intent())
    entries = [outcome(opened.index), *(intent() for _ in range(10)), outcome(12345), *(intent() for _ in range(10))]
    results = await asyncio.gather(*map(place.log.append, entries), return_exceptions=True)
    refused = [number for number, result in enumerate(results) if isinstance(result, BaseException)]
    assert refused == [11]
    assert isinstance(results[11], LogRefused)
    indexes = [result.index for result in results if isinstance(result, Appended)]
    assert sorted(indexes) == list(range(1, 22))


async def test_a_leaf_has_a_limit(place: Place) -> None:
    with pytest.raises(LogRefused):
        await place.log.append(intent(filler="x" * 16384))
    assert (await place.log.append(intent())).index == 0


async def test_secrets_open_for_the_private_key_and_belong_to_their_leaf(place: Place) -> None:
    await place.log.append(intent(person="ana"))
    await place.log.append(intent(person="bo"))
    await place.log.append(outcome(0))
    first, second, third = await _all(place.reader)
    for record, person in ((first, "ana"), (second, "bo")):
        (opened,) = place.opener.open(record.data_key, record.wrapped, record.sealed, record.leaf)
        assert (opened.field, opened.value) == ("person", person)
    assert (third.data_key, third.sealed) == (None, None)


async def test_entries_are_selected_by_all_that_is_asked_for(place: Place) -> None:
    case = LOOKUPS.lookup("case", "2026-17")
    await place.log.append(intent("aurora-pd", "ana"))
    await place.log.append(intent("boulder-so", "ana"))
    await place.log.append(
        Entry(kind="intent", public={"agency": "aurora-pd"}, lookups=(LOOKUPS.lookup("person", "bo"), case))
    )
    await place.log.append(outcome(0))

    async def found(*lookups: Lookup, **fields: Any) -> list[int]:
        records = await place.reader.entries(Selection(**{"limit": 10, "lookups": lookups, **fields}))
        return [record.index for record in records]

    ana, bo = LOOKUPS.lookup("person", "ana"), LOOKUPS.lookup("person", "bo")
    assert await found() == [0, 1, 2, 3]
    assert await found(after=0, limit=2) == [1, 2]
    assert await found(kind="outcome") == [3]
    assert await found(agency="boulder-so") == [1]
    assert await found(purpose="stolen_vehicle") == [0, 1]
    assert await found(ana) == [0, 1]
    assert await found(ana, agency="aurora-pd") == [0]
    assert await found(bo, case) == [2]
    assert await found(ana, case) == []
    assert await found(Lookup(field="case", mac=bo.mac)) == []
    now = datetime.now(UTC)
    assert await found(from_=now - timedelta(hours=1), to=now + timedelta(hours=1)) == [0, 1, 2, 3]
    assert await found(from_=now + timedelta(hours=1)) == []
    assert await found(to=now - timedelta(hours=1)) == []


async def test_questions_without_an_end_are_listed_and_due_with_age(place: Place) -> None:
    for _ in range(3):
        await place.log.append(intent())
    await place.log.append(Entry(kind="page", public={"intent": 0, "agency": "aurora-pd"}))
    await place.log.append(outcome(1))
    young = await place.reader.unended(0, 3600, 10)
    assert [(item.index, item.agency, item.due) for item in young] == [
        (number, "aurora-pd", False) for number in (0, 2, 3)
    ]
    assert [item.index for item in await place.reader.unended(1, 3600, 1)] == [2]
    assert all(item.due for item in await place.reader.unended(0, -3600, 10))


async def test_entries_come_back_in_pages(place: Place) -> None:
    await asyncio.gather(*(place.log.append(intent()) for _ in range(25)))
    seen: list[int] = []
    while page := await place.reader.entries(Selection(limit=10, after=seen[-1] if seen else -1)):
        seen += [record.index for record in page]
    assert all(second - first == 1 for first, second in itertools.pairwise(seen))
    assert len(seen) == 25
