"""The log as the auditing process reads it from PostgreSQL, and its verification as it stands there."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from schemas.queries import Receipt
from search.audit.adapters import sql
from search.audit.adapters.postgres import connect, log_errors
from search.audit.ports import Head, Record, Selection, Unended
from search.audit.verify import END_LIMIT_S, Report, Row, Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READ_TIMEOUT_S: Final = 10.0
_SETTINGS: Final = {"lock_timeout": "2000", "statement_timeout": "9000", "application_name": "platetrail auditing"}
_CHUNK: Final = 5000


class PostgresReader:
    """A `Reader` on one connection, as the auditing role; it connects when first used, and again when that is lost."""

    def __init__(self, url: str) -> None:
        """Know where to connect to."""
        self._url = url
        self._connection: Any = None
        self._lock = asyncio.Lock()

    async def head(self) -> Head:
        """Return the head."""
        async with self._connected() as connection:
            return _head(await connection.fetchrow(sql.HEAD))

    async def entries(self, selection: Selection) -> list[Record]:
        """Return the selected entries in order of their indexes."""
        async with self._connected() as connection:
            rows = await connection.fetch(
                sql.ENTRIES,
                selection.after,
                selection.kind,
                selection.agency,
                selection.purpose,
                selection.from_,
                selection.to,
                [item.field for item in selection.lookups],
                [item.mac for item in selection.lookups],
                selection.limit,
            )
        return [_record(row) for row in rows]

    async def unended(self, start: int, older_than_s: float, limit: int) -> list[Unended]:
        """Return intents and pages without an end from index `start` on."""
        async with self._connected() as connection:
            rows = await connection.fetch(sql.UNENDED, start, older_than_s, limit)
        return [Unended(index=row["idx"], agency=row["agency"], due=row["due"]) for row in rows]

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            self._drop()

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[Any]":
        """Hold the connection, one caller at a time; drop it on any error."""
        async with self._lock:
            try:
                async with log_errors(), asyncio.timeout(READ_TIMEOUT_S):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await connect(self._url, _SETTINGS)
                    yield self._connection
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None


async def verify_database(
    url: str, against: Sequence[Receipt] = (), *, now: datetime | None = None, end_limit_s: float = END_LIMIT_S
) -> Report:
    """Verify the log in the database at a URL of the auditing role, as it stands in one snapshot.

    `against` are older receipts: they expose a cut tail, and a rewrite of leaf, stored hash and head together.
    Raises LogUnavailable if the database does not answer, ValueError if a receipt contradicts itself. What is wrong
    with the log is in the report: see `Report.raise_for_findings`.
    """
    connection = await connect(url, {"application_name": "platetrail audit verify"})
    try:
        async with log_errors():
            await connection.execute(sql.SNAPSHOT)
            head = _head(await connection.fetchrow(sql.HEAD))
            cursor = await connection.cursor(sql.ROWS)
        verifier = Verifier(head, against, now=now or datetime.now(UTC), end_limit_s=end_limit_s)
        while chunk := await _next(cursor):
            verifier.feed(map(Row._make, chunk))
        return verifier.finish()
    finally:
        connection.terminate()


async def _next(cursor: Any) -> list[Any]:
    async with log_errors():
        return cast("list[Any]", await cursor.fetch(_CHUNK))


def _head(row: Any) -> Head:
    """Return the head, or an empty one if somebody has removed the row: the leaves then stand beyond it."""
    if row is None:
        return Head(size=0, root=b"", frontier=())
    return Head(size=row["size"], root=row["root"], frontier=tuple(row["frontier"]))


def _record(row: Any) -> Record:
    return Record(
        index=row["idx"],
        at=row["at"],
        leaf=row["leaf"],
        data_key=row["data_key"],
        wrapped=row["wrapped"],
        sealed=row["sealed"],
        end=row["end_idx"],
        end_kind=row["end_kind"],
    )
