"""The log in memory, for unit tests: it keeps what it is given in lists, and forgets it at exit."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from schemas.entries import ENDS, OPENING, Entry
from search.audit.errors import AlreadyEnded, LogRefused, LogUnavailable, LogUnfit
from search.audit.merkle import Tree, leaf_hash
from search.audit.ports import Appended, Head, Record, Selection, Span, Unended, Writing
from search.audit.secrets import Sealer

MAX_LEAF = 16384


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryTables:
    """What a database would hold; shared by every store and reader of it."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        """Begin empty; `clock` says when an entry is stored."""
        self.clock = clock
        self.leaves: list[bytes] = []
        self.bodies: list[dict[str, Any]] = []
        self.at: list[datetime] = []
        self.writings: list[Writing] = []
        self.ended: dict[int, int] = {}
        self.data_keys: dict[uuid.UUID, bytes] = {}
        self.tree = Tree()
        self.down = False
        """While it is true, everything raises LogUnavailable."""

    def insist(self) -> None:
        """Raise LogUnavailable while the tables are down."""
        if self.down:
            raise LogUnavailable("down")

    def check_body(self, leaf: bytes, bodies: Sequence[dict[str, Any]], ended: set[int]) -> dict[str, Any]:
        """Return a leaf's body if it may follow these. Raises LogRefused, AlreadyEnded."""
        if len(leaf) > MAX_LEAF:
            raise LogRefused("23514")
        body: dict[str, Any] = orjson.loads(leaf)
        ends = body.get("ends")
        if ends is not None:
            if body["kind"] not in ENDS or ends >= len(bodies) or bodies[ends]["kind"] not in OPENING:
                raise LogRefused("PT409")
            if ends in ended:
                raise AlreadyEnded("23505")
        elif body["kind"] == "page":
            intent = body.get("intent")
            if intent is None or intent >= len(bodies) or bodies[intent]["kind"] != "intent":
                raise LogRefused("PT409")
        return body


class MemoryStore:
    """A connection to memory. `closed` after `terminate`, as a real one."""

    def __init__(self, tables: MemoryTables) -> None:
        """Connect; raises LogUnavailable while the tables are down."""
        tables.insist()
        self._tables = tables
        self.closed = False
        self.batches: list[int] = []

    async def check(self) -> None:
        """Raise LogUnfit unless the head agrees with the leaves."""
        self._tables.insist()
        if self._tables.tree.size != len(self._tables.leaves):
            raise LogUnfit("head")

    async def put_data_key(self, key: uuid.UUID, wrapped: bytes) -> None:
        """Keep a wrapped data key."""
        self._tables.insist()
        self._tables.data_keys[key] = wrapped

    async def append(self, batch: Sequence[Writing]) -> Span:
        """Append all of a batch or none of it."""
        tables = self._tables
        tables.insist()
        if not batch:
            raise LogRefused("PT400")
        first = len(tables.leaves)
        bodies, ended = list(tables.bodies), set(tables.ended)
        for writing in batch:
            body = tables.check_body(writing.leaf, bodies, ended)
            bodies.append(body)
            if "ends" in body:
                ended.add(body["ends"])
        for index, writing in enumerate(batch, start=first):
            if (ends := bodies[index].get("ends")) is not None:
                tables.ended[ends] = index
            tables.leaves.append(writing.leaf)
            tables.at.append(tables.clock())
            tables.writings.append(writing)
            tables.tree.add(leaf_hash(writing.leaf))
        tables.bodies = bodies
        self.batches.append(len(batch))
        return Span(first=first, size=tables.tree.size, root=tables.tree.root())

    def terminate(self) -> None:
        """Close it."""
        self.closed = True


class MemoryConnect:
    """Opens stores on the same tables."""

    def __init__(self, tables: MemoryTables) -> None:
        """Open stores on these tables; `opened` keeps them in order."""
        self._tables = tables
        self.opened: list[MemoryStore] = []

    async def __call__(self) -> MemoryStore:
        """Open a store."""
        store = MemoryStore(self._tables)
        self.opened.append(store)
        return store


class MemoryReader:
    """Reads what the stores wrote."""

    def __init__(self, tables: MemoryTables) -> None:
        """Read these tables."""
        self._tables = tables

    async def head(self) -> Head:
        """Return the head."""
        self._tables.insist()
        tree = self._tables.tree
        return Head(size=tree.size, root=tree.root(), frontier=tree.frontier)

    async def entries(self, selection: Selection) -> list[Record]:
        """Return the selected entries."""
        self._tables.insist()
        chosen = [index for index in range(len(self._tables.leaves)) if self._matches(index, selection)]
        return [self._record(index) for index in chosen[: selection.limit]]

    def _matches(self, index: int, selection: Selection) -> bool:
        body, at = self._tables.bodies[index], self._tables.at[index]
        held = {(item.field, item.mac) for item in self._tables.writings[index].lookups}
        return (
            index > selection.after
            and selection.kind in (None, body["kind"])
            and selection.agency in (None, body.get("agency"))
            and selection.purpose in (None, body.get("purpose"))
            and (selection.from_ is None or at >= selection.from_)
            and (selection.to is None or at < selection.to)
            and held >= {(item.field, item.mac) for item in selection.lookups}
        )

    def _record(self, index: int) -> Record:
        tables = self._tables
        writing, end = tables.writings[index], tables.ended.get(index)
        return Record(
            index=index,
            at=tables.at[index],
            leaf=writing.leaf,
            data_key=writing.data_key,
            wrapped=tables.data_keys.get(writing.data_key) if writing.data_key else None,
            sealed=writing.sealed,
            end=end,
            end_kind=None if end is None else tables.bodies[end]["kind"],
        )

    async def unended(self, start: int, older_than_s: float, limit: int) -> list[Unended]:
        """Return intents and pages without an end."""
        tables = self._tables
        tables.insist()
        before = tables.clock() - timedelta(seconds=older_than_s)
        found = [
            Unended(index=index, agency=body.get("agency", ""), due=tables.at[index] < before)
            for index, body in enumerate(tables.bodies)
            if index >= start and body["kind"] in OPENING and index not in tables.ended
        ]
        return found[:limit]


class MemoryLog:
    """A `Log` in memory, without batches; it seals if it is given a sealer. For tests of what writes to the log.

    `entries` is what was recorded, in order; `tables.down = True` makes every append raise LogUnavailable.
    """

    def __init__(self, tables: MemoryTables | None = None, sealer: Sealer | None = None) -> None:
        """Use these tables, or new ones."""
        self.tables = tables or MemoryTables()
        self.entries: list[Entry] = []
        self._sealer = sealer

    async def append(self, entry: Entry) -> Appended:
        """Record an entry at once."""
        store, leaf = MemoryStore(self.tables), entry.leaf()
        writing = Writing(leaf=leaf, lookups=entry.lookups)
        if self._sealer is not None:
            key = self._sealer.current()
            await store.put_data_key(key.id, key.wrapped)
            writing = key.writing(entry, leaf)
        span = await store.append([writing])
        self.entries.append(entry)
        return Appended(index=span.first, leaf=leaf, size=span.size, root=span.root)
