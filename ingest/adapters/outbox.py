"""The outbox in PostgreSQL, as the relaying role: what changes of the registry left for the stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from ingest.adapters import sql
from ingest.adapters.outages import connect, is_outage
from ingest.errors import Misconfigured, Unavailable
from schemas.cameras import Camera

TIMEOUT_S: Final = 10.0
SETTINGS: Final = {"application_name": "platetrail-relay", "lock_timeout": "5s", "statement_timeout": "8s"}

_GONE: Final = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A record in the outbox. Ids grow in the order of the changes."""

    id: int
    topic: str
    key: bytes
    value: bytes


class Outbox:
    """The outbox over one connection, made anew when it was lost. Nothing here is logged with its text."""

    def __init__(self, url: str) -> None:
        """Know the database."""
        self._url = url
        self._connection: Any = None

    async def waiting(self, limit: int) -> list[Waiting]:
        """Return the oldest records, in order. Raises Unavailable or Misconfigured, as all methods do."""
        async with self._connected() as connection:
            return [Waiting(**row) for row in await connection.fetch(sql.OUTBOX_WAITING, limit)]

    async def done(self, ids: Sequence[int]) -> None:
        """Forget records that the broker has acknowledged."""
        async with self._connected() as connection:
            await connection.fetch(sql.OUTBOX_DONE, list(ids))

    async def cameras(self) -> list[Camera]:
        """Return every camera as the table has it now."""
        async with self._connected() as connection:
            return [Camera(**row) for row in await connection.fetch(sql.OUTBOX_CAMERAS)]

    async def stop(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, server_settings=SETTINGS
                )
            yield self._connection
        except asyncpg.PostgresError as error:
            await self.stop()
            state = error.sqlstate or ""
            if is_outage(state):
                raise Unavailable(f"the database cannot serve: SQLSTATE {state}") from None
            raise Misconfigured(f"the database refuses us: SQLSTATE {state}") from None
        except _GONE as error:
            await self.stop()
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from None
