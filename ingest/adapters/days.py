"""The index's days in PostgreSQL, as the maintaining role: what destroys reads leaves an entry, in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final, cast

import asyncpg

from ingest.adapters import sql
from ingest.adapters.outages import connect, is_outage
from ingest.errors import IngestError, Misconfigured, Unavailable
from ingest.retention import dropped_entry, purged_entry
from schemas.entries import Entry

Record = Callable[[Any, Entry], Awaitable[None]]
"""Appends an entry to the audit log inside the transaction that is open on a connection."""

CONNECT_S: Final = 10.0
SETTINGS: Final = {
    "application_name": "platetrail-maintain",
    "lock_timeout": "5s",
    "statement_timeout": "15min",
    "default_transaction_isolation": "read committed",  # as appending to the audit log needs it
}

_GONE: Final = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_MADE_BY_ANOTHER: Final = frozenset({"42P07", "23505"})
"""Duplicate table, and what its catalogue says when two make one at once."""


class PostgresDays:
    """`Days` over one connection. Use it as an asynchronous context manager."""

    def __init__(self, url: str, record: Record) -> None:
        """Know the database, and how what is destroyed gets recorded."""
        self._url = url
        self._record = record
        self._connection: Any = None

    async def __aenter__(self) -> "PostgresDays":
        """Connect. Raises Unavailable, or Misconfigured if the database refuses us."""
        async with _errors():
            self._connection = await connect(self._url, timeout=CONNECT_S, server_settings=SETTINGS)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop the connection."""
        self._connection.terminate()

    async def now(self) -> datetime:
        """Return the database's time."""
        return cast(datetime, await self._value(sql.NOW))

    async def make(self, day: date) -> bool:
        """Make a day; False if it exists, or another process was faster."""
        try:
            async with _errors():
                return bool(await self._connection.fetchval(sql.MAKE_DAY, day))
        except Refused as refused:
            if refused.state in _MADE_BY_ANOTHER:
                return False
            raise

    async def existing(self) -> list[date]:
        """Return the days that exist."""
        async with _errors():
            return [row["day"] for row in await self._connection.fetch(sql.DAYS)]

    async def owners(self, before: datetime) -> dict[str, int]:
        """Return how many reads each owner has from before a time."""
        async with _errors():
            rows = await self._connection.fetch(sql.OWNERS_BEFORE, before)
        return {row["owner"]: row["reads"] for row in rows}

    async def drop(self, day: date) -> int:
        """Drop a day and record it, in one transaction."""
        async with _errors(), self._connection.transaction():
            counts = {row["owner"]: row["reads"] for row in await self._connection.fetch(sql.OWNERS_OF_DAY, day)}
            if not await self._connection.fetchval(sql.DROP_DAY, day):
                return 0
            now = await self._connection.fetchval(sql.NOW)
            await self._record(self._connection, dropped_entry(day, counts, now))
        return sum(counts.values())

    async def purge(self, owner: str, before: datetime) -> int:
        """Delete an owner's reads from before a time and record it, in one transaction."""
        async with _errors(), self._connection.transaction():
            gone: int = await self._connection.fetchval(sql.PURGE, owner, before)
            if gone:
                now = await self._connection.fetchval(sql.NOW)
                await self._record(self._connection, purged_entry(owner, before, gone, now))
        return gone

    async def forget_claims(self) -> int:
        """Delete idempotency keys older than 24 hours."""
        async with _errors():
            return len(await self._connection.fetch(sql.FORGET_CLAIMS))

    async def _value(self, statement: str) -> Any:
        async with _errors():
            return await self._connection.fetchval(statement)


class Refused(Misconfigured):
    """The database refuses what was asked; `state` is the SQLSTATE."""

    def __init__(self, state: str) -> None:
        """Know the SQLSTATE: an error's text may quote a row."""
        super().__init__(f"the database refuses: SQLSTATE {state}")
        self.state: Final = state


@asynccontextmanager
async def _errors() -> AsyncIterator[None]:
    try:
        yield
    except IngestError:
        raise
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if is_outage(state):
            raise Unavailable(f"the database cannot serve: SQLSTATE {state}") from None
        raise Refused(state) from None
    except _GONE as error:
        raise Unavailable(f"the database does not answer: {type(error).__name__}") from None
