"""What the audit log offers (`Log`), and what it needs: a store that appends and a reader for auditors."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from schemas.entries import Entry, Kind, Lookup


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt's content: where the entry stands, its bytes, and size and root (SHA-256) of the log with it."""

    index: int
    leaf: bytes
    size: int
    root: bytes


class Log(Protocol):
    """The record of who looked."""

    async def append(self, entry: Entry) -> Appended:
        """Record an entry; it is durable when this returns.

        Raises LogUnavailable (whether it was recorded is not known), LogBusy (it was not: too many wait), LogRefused
        (it was not, and never will be), AlreadyEnded (its intent or page has another end). An entry that nobody waits
        for any more is not recorded, unless it is already on its way: callers shield what must not be lost.
        """
        ...


# What the log needs of a database.


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as it is stored: the leaf's bytes, and the private part sealed under a data key."""

    leaf: bytes
    data_key: uuid.UUID | None = None
    sealed: bytes | None = None
    lookups: tuple[Lookup, ...] = ()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was appended: the first entry's index, and the head after the last."""

    first: int
    size: int
    root: bytes


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The log's head: how many leaves, their RFC 6962 root, and the roots of the perfect subtrees, largest first."""

    size: int
    root: bytes
    frontier: tuple[bytes, ...]


class Store(Protocol):
    """One connection that appends. Every method raises LogUnavailable when the database does not do it in time."""

    @property
    def closed(self) -> bool:
        """Tell whether the connection is known to be gone."""
        ...

    async def check(self) -> None:
        """Raise LogUnfit unless commits are durable and the head agrees with itself."""
        ...

    async def put_data_key(self, key: uuid.UUID, wrapped: bytes) -> None:
        """Keep a data key, wrapped to the auditing process."""
        ...

    async def append(self, batch: Sequence[Writing]) -> Span:
        """Append a batch in one durable transaction. Raises LogRefused, AlreadyEnded: then none of it was stored."""
        ...

    def terminate(self) -> None:
        """Drop the connection at once, without a farewell that could hang."""
        ...


class Connect(Protocol):
    """Opens a connection that appends. Raises LogUnavailable."""

    async def __call__(self) -> Store:
        """Open it."""
        ...


# What auditors read.


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries, in order of their indexes: those after `after`, at most `limit`, matching all that is set.

    `from_` is inside and `to` is not; both speak of the time at which the database stored the entry.
    """

    limit: int
    after: int = -1
    kind: Kind | None = None
    agency: str | None = None
    purpose: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    lookups: tuple[Lookup, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One stored entry, its private part still sealed. `end` is the entry that ended it, if it is a question."""

    index: int
    at: datetime
    leaf: bytes
    data_key: uuid.UUID | None
    wrapped: bytes | None
    sealed: bytes | None
    end: int | None
    end_kind: str | None


class Unended(msgspec.Struct, frozen=True, kw_only=True):
    """An intent or page without an end; `due` once it is older than asked for."""

    index: int
    agency: str
    due: bool


class Reader(Protocol):
    """The log as the auditing process reads it. Every method raises LogUnavailable."""

    async def head(self) -> Head:
        """Return the head."""
        ...

    async def entries(self, selection: Selection) -> list[Record]:
        """Return the selected entries in order of their indexes."""
        ...

    async def unended(self, start: int, older_than_s: float, limit: int) -> list[Unended]:
        """Return intents and pages without an end from index `start` on, the oldest first, at most `limit`."""
        ...
