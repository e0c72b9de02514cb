"""One behaviour suite for search's ports, run on the fakes in memory and on PostgreSQL."""

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Disclosure, Entry, Lookup, canonical, disclose
from schemas.plate import plate_key
from search.adapters.memory import MemoryClaims, MemoryIndex, MemoryOwners, MemoryScopes
from search.adapters.postgres import PostgresClaims, PostgresIndex, PostgresOwners, PostgresScopes, Readers
from search.audit.adapters.memory import MemoryLog, MemoryTables
from search.audit.adapters.postgres import PostgresConnect
from search.audit.log import GreedyLog
from search.audit.ports import Log
from search.audit.secrets import Sealer
from search.errors import Unavailable
from search.ports import Claims, Index, Owners, Row, Scopes
from tests.support.database import Database
from tests.support.reads import put, register
from tests.support.rows import row

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=3)


class Ports:
    """The ports under test, and what a test does to the world behind them."""

    log: Log
    index: Index
    scopes: Scopes
    owners: Owners
    claims: Claims

    async def put(self, rows: Sequence[Row]) -> None:
        """Put rows into the index."""
        raise NotImplementedError

    async def bury(self, rows: Sequence[Row]) -> None:
        """Put the graves of rows into the index: what stood there belongs to another pass now."""
        raise NotImplementedError

    async def age(self, duration: timedelta) -> None:
        """Make every claim and entry older."""
        raise NotImplementedError


class InMemory(Ports):
    def __init__(self) -> None:
        self._offset = timedelta()
        tables = MemoryTables(self._clock)
        self.log, self._scopes = MemoryLog(tables), MemoryScopes()
        self.scopes = self._scopes
        self._index = MemoryIndex(tables, self._scopes)
        self.index = self._index
        self.owners = MemoryOwners("north", "south")
        self.claims = MemoryClaims(tables, self._clock)

    def _clock(self) -> datetime:
        return datetime.now(UTC) + self._offset

    async def put(self, rows: Sequence[Row]) -> None:
        self._index.rows += rows

    async def bury(self, rows: Sequence[Row]) -> None:
        self._index.graves |= {(item.pass_id, item.captured_at, item.plate) for item in rows}
        self._index.rows += rows

    async def age(self, duration: timedelta) -> None:
        self._offset += duration


class OnPostgres(Ports):
    def __init__(self, database: Database, log: GreedyLog, readers: Readers) -> None:
        self._database = database
        self.log = log
        self.index, self.scopes = PostgresIndex(readers), PostgresScopes(readers)
        self.owners, self.claims = PostgresOwners(readers), PostgresClaims(readers)

    async def put(self, rows: Sequence[Row]) -> None:
        await put(self._database, rows)

    async def bury(self, rows: Sequence[Row]) -> None:
        await put(self._database, rows, superseded_by="XYC9999")

    async def age(self, duration: timedelta) -> None:
        superuser = await asyncpg.connect(self._database.superuser_url)
        await superuser.execute("update audit.claim set at = at - $1::interval", duration)
        await superuser.execute("update audit.leaf set at = at - $1::interval", duration)
        await superuser.close()


@pytest.fixture(params=["memory", "postgres"])
def real(request: pytest.FixtureRequest) -> Database | None:
    """The database, or None for the fakes. Made outside of the loop: migrations run one of their own."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def ports(real: Database | None) -> AsyncIterator[Ports]:
    if real is None:
        yield InMemory()
        return
    database = real
    await register(database, "north", "south")
    log = GreedyLog(
        PostgresConnect(database.url("platetrail_search")), Sealer(X25519PrivateKey.generate().public_key())
    )
    readers = Readers(database.url("platetrail_search"))
    await log.start()
    await readers.start()
    yield OnPostgres(database, log, readers)
    await readers.stop()
    await log.stop()


def plate() -> str:
    """Return a plate that no other test uses: the database is shared by the module."""
    return "T" + uuid.uuid4().hex[:9].upper()


def read(of: str, at_s: float, **changes: Any) -> Row:
    changes = {"pass_id": uuid.uuid4(), "captured_at": BEGIN + timedelta(seconds=at_s), **changes}
    return row(plate=of, **changes)


async def question(ports: Ports, of: str, owners: dict[str, int] | None = None, **changes: Any) -> Disclosure:
    scope = await ports.scopes.put(canonical({"owners": owners or {"north": 30, "south": 30}}))
    value = {
        "type": "trajectory",
        "plate": of,
        "plate_key": plate_key(of),
        "match": "exact",
        "region": None,
        "from": BEGIN.isoformat(),
        "to": (BEGIN + timedelta(hours=1)).isoformat(),
        "scope": scope.hex(),
        "limit": 10,
        "after": None,
    }
    return disclose("question", value | changes)


async def asked(ports: Ports, disclosure: Disclosure) -> int:
    """Record a question and return its index."""
    return (await ports.log.append(Entry(kind="intent", public={"agency": "north"}, disclosures=(disclosure,)))).index


async def answer(ports: Ports, disclosure: Disclosure) -> list[Row]:
    return await ports.index.trajectory(await asked(ports, disclosure), disclosure.encoded())


async def test_rows_come_whole_and_in_time_order(ports: Ports) -> None:
    own = plate()
    full = read(
        own,
        20,
        plate_confidence=0.5,
        region_confidence=0.25,
        candidates=b'[{"plate":"X","confidence":0.5}]',
        make="FORD",
        make_confidence=0.75,
        model="F150",
        model_confidence=0.5,
        colour="RED",
        colour_confidence=0.5,
        body="TRUCK",
        body_confidence=0.5,
        doubts="low_confidence",
    )
    rows = [full, read(own, 10), read(own, 30)]
    await ports.put(rows)
    assert await answer(ports, await question(ports, own)) == sorted(rows, key=lambda item: item.captured_at)


async def test_the_window_is_half_open(ports: Ports) -> None:
    own = plate()
    await ports.put([inside := read(own, 0), read(own, -0.000001), read(own, 3600)])
    assert await answer(ports, await question(ports, own)) == [inside]


async def test_one_row_more_than_the_limit_and_on_from_a_position(ports: Ports) -> None:
    own = plate()
    same = BEGIN + timedelta(seconds=50)
    rows = sorted((read(own, 0, captured_at=same) for _ in range(5)), key=lambda item: item.pass_id)
    await ports.put(rows)
    assert await answer(ports, await question(ports, own, limit=2)) == rows[:3]
    after = {"captured_at": same.isoformat(), "pass_id": str(rows[1].pass_id)}
    assert await answer(ports, await question(ports, own, limit=2, after=after)) == rows[2:]


@pytest.mark.parametrize("match", ["exact", "lookalike"])
async def test_a_grave_is_never_returned(ports: Ports, match: str) -> None:
    own = plate()
    await ports.put([left := read(own, 10), right := read(own, 30)])
    await ports.bury([read(own, 5), read(own, 20), read(own, 40, region=None)])
    assert await answer(ports, await question(ports, own, match=match)) == [left, right]
    assert await answer(ports, await question(ports, own, match=match, limit=1)) == [left, right]  # nor counted
    after = {"captured_at": left.captured_at.isoformat(), "pass_id": str(left.pass_id)}
    assert await answer(ports, await question(ports, own, match=match, after=after)) == [right]


async def test_exact_and_lookalike(ports: Ports) -> None:
    own = plate() + "0"
    like = own[:-1] + "Q"
    await ports.put([first := read(own, 1), second := read(like, 2)])
    assert await answer(ports, await question(ports, own)) == [first]
    assert await answer(ports, await question(ports, own, match="lookalike")) == [first, second]


@pytest.mark.parametrize(
    ("region", "kept"),
    [("US-MO", {"US-MO", "US", None}), ("US", {"US-MO", "US-IL", "US", None}), ("CA", {"CA-ON", None})],
)
async def test_a_region_filters_and_unknown_ones_stay(ports: Ports, region: str, kept: set[str | None]) -> None:
    own = plate()
    regions = ["US-MO", "US-IL", "US", "CA-ON", None]
    await ports.put([read(own, place, region=name) for place, name in enumerate(regions)])
    found = await answer(ports, await question(ports, own, region=region))
    assert {item.region for item in found} == kept


async def test_only_owners_of_the_scope_and_only_their_days(ports: Ports) -> None:
    own = plate()
    await ports.put([mine := read(own, 1), theirs := read(own, 2, owner="south"), read(own, 3, owner="elsewhere")])
    assert await answer(ports, await question(ports, own)) == [mine, theirs]
    assert await answer(ports, await question(ports, own, {"south": 30})) == [theirs]
    assert await answer(ports, await question(ports, own, {"north": 2, "south": 4})) == [theirs]
    unknown = hashlib.sha256(own.encode()).hexdigest()
    assert await answer(ports, await question(ports, own, scope=unknown)) == []


async def test_the_gate_refuses_what_is_not_recorded_just_so(ports: Ports) -> None:
    own = plate()
    await ports.put([read(own, 1)])
    disclosure = await question(ports, own)
    entry = await asked(ports, disclosure)
    end = await ports.log.append(Entry(kind="outcome", public={}, disclosures=(disclosure,), ends=entry))
    for index, other in [
        (-1, disclosure),
        (end.index, disclosure),
        (end.index + 1000, disclosure),
        (entry, await question(ports, own)),  # another salt
        (entry, disclose("plate", disclosure.value)),
    ]:
        with pytest.raises(Unavailable):
            await ports.index.trajectory(index, other.encoded())
    assert len(await ports.index.trajectory(entry, disclosure.encoded())) == 1  # nor has it broken anything


async def test_the_gate_refuses_an_old_record(ports: Ports) -> None:
    disclosure = await question(ports, plate())
    entry = await asked(ports, disclosure)
    assert await ports.index.trajectory(entry, disclosure.encoded()) == []
    await ports.age(timedelta(seconds=61))
    with pytest.raises(Unavailable):
        await ports.index.trajectory(entry, disclosure.encoded())


@pytest.mark.parametrize("change", [{"limit": 0}, {"limit": 1001}, {"type": "area"}])
async def test_the_gate_refuses_a_record_that_bounds_nothing(ports: Ports, change: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        await answer(ports, await question(ports, plate(), **change))


async def test_a_scope_is_named_by_its_bytes(ports: Ports) -> None:
    body = canonical({"owners": {"north": 7}})
    assert await ports.scopes.put(body) == await ports.scopes.put(body) == hashlib.sha256(body).digest()


async def test_owners_are_those_of_cameras(ports: Ports) -> None:
    assert await ports.owners.known() == {"north", "south"}


async def test_a_key_is_claimed_once(ports: Ports) -> None:
    mac, body = uuid.uuid4().bytes, b"body"
    first = await ports.claims.claim(mac, body)
    assert first.state == "ours"
    assert (await ports.claims.claim(mac, body)).state == "running"
    assert (await ports.claims.claim(mac, b"other")).state == "other_body"
    assert (await ports.claims.take_over(mac, first)).state == "running"
    await ports.claims.settle(mac, first)
    settled = await ports.claims.claim(mac, body)
    assert (settled.state, settled.since) == ("settled", first.since)
    assert (await ports.claims.claim(mac, b"other")).state == "other_body"


async def test_a_settled_claim_is_taken_over_once(ports: Ports) -> None:
    mac, body = uuid.uuid4().bytes, b"body"
    first = await ports.claims.claim(mac, body)
    await ports.claims.settle(mac, first)
    second = await ports.claims.take_over(mac, first)
    assert second.state == "ours"
    assert second.since > first.since
    assert (await ports.claims.take_over(mac, first)).state == "running"
    await ports.claims.settle(mac, first)  # somebody who was late: the claim is not theirs any more
    assert (await ports.claims.claim(mac, body)).state == "running"


async def test_a_lost_claim_turns_stale(ports: Ports) -> None:
    mac, body = uuid.uuid4().bytes, b"body"
    first = await ports.claims.claim(mac, body)
    await ports.age(timedelta(seconds=20))
    assert (await ports.claims.claim(mac, body)).state == "running"
    await ports.age(timedelta(seconds=11))
    stale = await ports.claims.claim(mac, body)
    assert stale.state == "settled"
    assert (await ports.claims.take_over(mac, stale)).state == "ours"
    assert stale.since <= first.since


async def test_a_claim_lives_a_day(ports: Ports) -> None:
    mac = uuid.uuid4().bytes
    await ports.claims.claim(mac, b"body")
    await ports.age(timedelta(hours=23, minutes=59))
    assert (await ports.claims.claim(mac, b"other")).state == "other_body"
    await ports.age(timedelta(minutes=2))
    assert (await ports.claims.claim(mac, b"other")).state == "ours"


async def test_an_intent_is_found_by_its_look_up(ports: Ports) -> None:
    mac, other = uuid.uuid4().bytes, uuid.uuid4().bytes
    assert await ports.claims.intent_of(mac) is None
    lookups = (Lookup(field="idempotency", mac=mac), Lookup(field="plate", mac=other))
    appended = await ports.log.append(Entry(kind="intent", public={}, lookups=lookups))
    assert await ports.claims.intent_of(mac) == appended.index
    assert await ports.claims.intent_of(other) is None
