"""A door on fakes in memory, which tells in which order things happened."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.entries import Entry
from schemas.owners import Grant, OwnerRules
from schemas.queries import Asker, Authority, Purpose, TrajectoryRequest, TravelLimits, Window
from search.adapters.memory import MemoryClaims, MemoryIndex, MemoryOwners, MemoryScopes
from search.ask import Door, Parts
from search.audit.adapters.memory import MemoryLog, MemoryTables
from search.audit.errors import LogUnavailable
from search.audit.lookups import Lookups
from search.audit.ports import Appended
from search.cursor import Cursors
from search.errors import Unavailable
from search.idempotency import Keys
from search.policy import Policy
from search.ports import Row
from tests.support.rows import row

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=2)
PLATE = "KLM4711"
RULES = OwnerRules(
    owners={
        "north": Grant(agencies=("north", "south"), purposes=("stolen_vehicle",)),
        "south": Grant(agencies=("north",), purposes=("stolen_vehicle", "violent_crime")),
    }
)
INVESTIGATOR = Asker(person="alex", agency="north", roles=frozenset({"investigator"}))


def read(at_s: float, plate: str = PLATE, **changes: Any) -> Row:
    """Return a row that was captured `at_s` seconds after `BEGIN`."""
    return row(plate=plate, **{"captured_at": BEGIN + timedelta(seconds=at_s), **changes})


def request(**changes: Any) -> TrajectoryRequest:
    """Return a question about `PLATE`, with whatever else is changed."""
    asked = TrajectoryRequest(
        plate=PLATE,
        match="exact",
        window=Window(from_=BEGIN - timedelta(hours=1), to=BEGIN + timedelta(days=1)),
        purpose=Purpose(
            code="stolen_vehicle",
            case_number="2026-004711",
            authority=Authority(kind="warrant", reference="SW-118"),
            offence="18-4-102",
            note="the van of the burglary in Elm Street",
        ),
    )
    return msgspec.structs.replace(asked, **changes)


class TellingLog(MemoryLog):
    """Tells each entry; entries of a kind in `broken` are refused, those of a kind in `held` wait for `go`."""

    def __init__(self, tables: MemoryTables, events: list[str]) -> None:
        super().__init__(tables)
        self._events = events
        self.broken: set[str] = set()
        self.held: set[str] = set()
        self.go = asyncio.Event()

    async def append(self, entry: Entry) -> Appended:
        if entry.kind in self.held:
            await self.go.wait()
        if entry.kind in self.broken:
            raise LogUnavailable("broken")
        appended = await super().append(entry)
        self._events.append(entry.kind)
        return appended


class TellingIndex(MemoryIndex):
    """Tells each read; raises `error` if there is one, and waits for `go` if it is `held`."""

    def __init__(self, tables: MemoryTables, scopes: MemoryScopes, rows: Sequence[Row], events: list[str]) -> None:
        super().__init__(tables, scopes, rows)
        self._events = events
        self.error: Exception | None = None
        self.held = False
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def trajectory(self, entry: int, disclosure: bytes) -> list[Row]:
        self.begun.set()
        if self.held:
            await self.go.wait()
        if self.error:
            raise self.error
        rows = await super().trajectory(entry, disclosure)
        self._events.append("read")
        return rows


class TellingClaims(MemoryClaims):
    """Claims of which the settling can be broken."""

    broken = False

    async def settle(self, mac: bytes, claim: Any) -> None:
        if self.broken:
            raise Unavailable
        await super().settle(mac, claim)


class World:
    """A door, the fakes behind it, and `events`: what happened, in order."""

    def __init__(self, *rows: Row, owners: Sequence[str] = ("north", "south", "west"), budget_s: float = 2.8) -> None:
        self.events: list[str] = []
        self.offset = timedelta()
        self.tables = MemoryTables(self.clock)
        self.log = TellingLog(self.tables, self.events)
        self.scopes = MemoryScopes()
        self.index = TellingIndex(self.tables, self.scopes, rows, self.events)
        self.owners = MemoryOwners(*owners)
        self.claims = TellingClaims(self.tables, self.clock)
        self.lookups = Lookups(b"l" * 32)
        self.parts = Parts(
            log=self.log,
            index=self.index,
            scopes=self.scopes,
            owners=self.owners,
            keys=Keys(self.claims, self.lookups),
            lookups=self.lookups,
            cursors=Cursors(b"c" * 32, now=lambda: self.clock().timestamp()),
            policy=Policy(RULES),
            travel=TravelLimits(),
            pass_window_s=30.0,
        )
        self.door = Door(self.parts, budget_s=budget_s)

    def clock(self) -> datetime:
        """Return the time of this world."""
        return datetime.now(UTC) + self.offset

    async def ask(self, asker: Asker = INVESTIGATOR, key: str | None = None, **changes: Any) -> dict[str, Any]:
        """Ask, and return the decoded answer."""
        answer: dict[str, Any] = msgspec.json.decode(await self.door.trajectory(asker, request(**changes), key=key))
        return answer

    def disclosed(self, index: int) -> dict[str, Any]:
        """Return the private part of an entry."""
        return {item.field: item.value for item in self.log.entries[index].disclosures}
