"""The index as ingest sees it: rows are written, never read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg

from ingest.adapters import copying, sql
from ingest.adapters.outages import connect, is_of_values, is_outage
from ingest.errors import IngestError, Misconfigured, Unavailable, Unwritable
from ingest.rows import COLUMNS, Row, newest, ordered

CONNECT_S: Final = 10.0
STATEMENT_S: Final = 60.0
LOCK_S: Final = 10.0

_NO_PARTITION: Final = "23514"
"""PostgreSQL gives a row without a partition the code of a failed check, and no constraint's name."""


class SightingIndex:
    """A Sink of rows: first revisions of a batch, then later ones, over one connection that is made anew when lost.

    A first revision (0) never replaces a row. While every one is new, they are copied straight into the index; as soon
    as one is not, as in a replay, they go through a temporary table until a whole batch is new again. Each transaction
    writes its rows in one order, so that two indexers with the same rows wait for one another and never both.
    """

    def __init__(self, url: str) -> None:
        """Know the database, as the role that may write sightings; `start` connects."""
        self._url = url
        self._connection: Any = None
        self._all_new = False

    async def start(self) -> None:
        """Connect. Raises Unavailable, or Misconfigured if the database refuses us."""
        await self._guarded(self._connected())

    async def write(self, items: Sequence[Row]) -> None:
        """Write rows, durable when this returns; a row gives way to no lower revision.

        Raises Unavailable if the database is gone (nothing, some or all is written then: write them again), and
        Misconfigured if it refuses us: above all a row whose day has no partition. Raises Unwritable if it refuses the
        values of a row: then some may be written.
        """
        await self._guarded(self._write(ordered(newest(items))))

    async def stop(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)

    async def _write(self, rows: list[Row]) -> None:
        connection = await self._connected()
        first = [row for row in rows if not row.revision]
        if first and not (self._all_new and await _copied(connection, first)):
            self._all_new = await _inserted(connection, first) == len(first)
        if len(first) < len(rows):
            await _upsert(connection, [row for row in rows if row.revision])

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
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
            await self._connection.execute(sql.WAIT_FOR_DISK)
            await self._connection.execute(sql.CREATE_INCOMING)
            await self._connection.execute(sql.CREATE_FRESH)
        return self._connection

    async def _guarded(self, doing: Any) -> None:
        """Await something; what fails becomes an error of ours, without the database's text: it may quote a row."""
        failure: IngestError
        try:
            await doing
            return
        except asyncpg.PostgresError as error:
            failure = sorted_error(error)
            if isinstance(failure, Unwritable):  # it was undone, and the connection is as good as before
                raise failure from None
        except copying.DoesNotFit as error:
            failure = Unwritable(str(error))
        except asyncpg.InterfaceError:
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


async def _copy(connection: Any, schema: str, table: str, rows: Sequence[Row]) -> None:
    """Copy rows into a table with the columns of a row. Raises DoesNotFit, and what the database says."""
    await connection.copy_to_table(table, schema_name=schema, columns=COLUMNS, source=_pieces(rows), format="binary")


async def _pieces(rows: Sequence[Row]) -> AsyncIterator[bytes]:
    for piece in copying.chunks(rows):
        yield piece


async def _copied(connection: Any, rows: list[Row]) -> bool:
    """Copy rows into the index; False, and nothing is written, if one of them was there."""
    try:
        await _copy(connection, "reads", "sighting", rows)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def _inserted(connection: Any, rows: list[Row]) -> int:
    """Insert the rows that are not there yet; return how many."""
    async with connection.transaction():
        await _copy(connection, "pg_temp", "fresh", rows)
        status: str = await connection.execute(sql.INSERT_FRESH)
    return int(status.rpartition(" ")[2])


async def _upsert(connection: Any, rows: list[Row]) -> None:
    """Insert rows, or replace those of a lower revision."""
    async with connection.transaction():
        await _copy(connection, "pg_temp", "incoming", rows)
        await connection.fetch(sql.UPSERT)


def sorted_error(error: asyncpg.PostgresError) -> IngestError:
    """Return an error of ours for what the database says, by what its caller must do."""
    state = error.sqlstate or ""
    if is_outage(state):
        return Unavailable(f"the database cannot serve: SQLSTATE {state}")
    if state == _NO_PARTITION and error.constraint_name is None:
        return Misconfigured("the index has no day for a read of this batch: is the maintain service running?")
    if is_of_values(state):
        return Unwritable(f"the database refuses a row: SQLSTATE {state}")
    return Misconfigured(f"the database refuses us: SQLSTATE {state}")
