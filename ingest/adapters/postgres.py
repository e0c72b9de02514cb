"""The index as ingest sees it: rows are written, never read."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from ingest.adapters import sql
from ingest.errors import IngestError, Misconfigured, Unavailable
from ingest.rows import COLUMNS, Row, newest

CONNECT_S: Final = 10.0
STATEMENT_S: Final = 60.0
LOCK_S: Final = 10.0

_OUTAGE_CLASSES: Final = ("08", "53", "57")
"""SQLSTATE classes of a server that is gone, has no room, or is being stopped."""

_OUTAGES: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialisation failure, deadlock, lock not available: the same transaction may succeed a moment later."""

_NO_PARTITION: Final = "23514"
"""PostgreSQL gives a row without a partition the code of a failed check, and no constraint's name."""


class SightingIndex:
    """A Sink of rows: each batch is one transaction over one connection, made anew when it is lost."""

    def __init__(self, url: str) -> None:
        """Know the database, as the role that may write sightings; `start` connects."""
        self._url = url
        self._connection: Any = None

    async def start(self) -> None:
        """Connect. Raises Unavailable, or Misconfigured if the database refuses us."""
        await self._guarded(self._connected())

    async def write(self, items: Sequence[Row]) -> None:
        """Write rows in one transaction, durable when this returns; a row gives way to no lower revision.

        Raises Unavailable if the database is gone (nothing, or all, is written then), and Misconfigured if it
        refuses: above all a row whose day has no partition.
        """
        await self._guarded(self._write(newest(items)))

    async def stop(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)

    async def _write(self, rows: list[Row]) -> None:
        connection = await self._connected()
        async with connection.transaction():
            await connection.copy_records_to_table(
                "incoming", schema_name="pg_temp", columns=COLUMNS, records=[row.values for row in rows]
            )
            await connection.fetch(sql.UPSERT)

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_S,
                command_timeout=STATEMENT_S + 5,
                server_settings={
                    "application_name": "platetrail-indexer",
                    "statement_timeout": f"{STATEMENT_S:.0f}s",
                    "lock_timeout": f"{LOCK_S:.0f}s",
                    "timezone": "UTC",
                },
            )
            await self._connection.execute(sql.CREATE_INCOMING)
        return self._connection

    async def _guarded(self, doing: Any) -> None:
        """Await something; what fails becomes an error of ours, without the database's text: it may quote a row."""
        failure: IngestError
        try:
            await doing
            return
        except asyncpg.PostgresError as error:
            failure = sorted_error(error)
        except asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):  # a value that does not fit its column, found on our side
                failure = Misconfigured("a row does not fit the index")
            else:
                failure = Unavailable("the connection to the database is gone")
        except asyncpg.InternalClientError:
            # What asyncpg makes of a server's farewell that comes while nothing is asked of it.
            failure = Unavailable("the connection to the database was cut")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            failure = Unavailable("the database does not answer")
        self._drop_connection()
        raise failure

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def sorted_error(error: asyncpg.PostgresError) -> IngestError:
    """Return an error of ours for what the database says, by what its caller must do."""
    state = error.sqlstate or ""
    if state[:2] in _OUTAGE_CLASSES or state in _OUTAGES:
        return Unavailable(f"the database cannot serve: SQLSTATE {state}")
    if state == _NO_PARTITION and error.constraint_name is None:
        return Misconfigured("the index has no day for a read of this batch: is the maintain service running?")
    return Misconfigured(f"the database refuses us: SQLSTATE {state}")
