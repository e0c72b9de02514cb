"""The log in PostgreSQL, over asyncpg: the connection that appends, and appending inside somebody's transaction."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from schemas.entries import Entry
from search.audit.adapters import sql
from search.audit.errors import AlreadyEnded, LogError, LogRefused, LogUnavailable, LogUnfit
from search.audit.merkle import Tree
from search.audit.ports import Appended, Span, Writing
from search.audit.secrets import Sealer

SERVER_SETTINGS: Final = {
    "lock_timeout": "1000",
    "statement_timeout": "1500",
    "idle_in_transaction_session_timeout": "10000",
    "default_transaction_isolation": "read committed",
}
"""In milliseconds. They make the server itself give up before the client does (2 s): what is not committed by then is
rolled back, so that no entry appears later for a caller who was told that there is none. In a stricter isolation,
whoever has waited for the head would find it changed, and be refused."""

CONNECT_TIMEOUT_S: Final = 2.0

_REFUSALS: Final = frozenset({"PT400", "PT409", "23502", "23514", "22P02", "22P05", "22021"})
"""SQLSTATEs that speak of the entry rather than of the server: a value that no retry will mend."""


@asynccontextmanager
async def log_errors() -> AsyncIterator[None]:
    """Turn what asyncpg raises into errors of the log, which carry an SQLSTATE or a class's name and nothing else."""
    try:
        yield
    except LogError:
        raise
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "leaf_ends":
            raise AlreadyEnded("23505") from None
        raise LogUnavailable("23505") from None
    except asyncpg.PostgresError as error:
        code = error.sqlstate or type(error).__name__
        raise (LogRefused(code) if code in _REFUSALS else LogUnavailable(code)) from None
    except Exception as error:  # noqa: BLE001 - asyncpg.InternalClientError is a plain Exception
        raise LogUnavailable(type(error).__name__) from None


class PostgresConnect:
    """Opens connections that append, as the role which the URL names."""

    def __init__(self, url: str, application: str = "platetrail audit log") -> None:
        """Know where to connect to, and the name to show in pg_stat_activity."""
        self._url = url
        self._settings = {**SERVER_SETTINGS, "application_name": application}

    async def __call__(self) -> "PostgresStore":
        """Connect. Raises LogUnavailable."""
        return PostgresStore(await connect(self._url, self._settings))


async def connect(url: str, settings: dict[str, str]) -> Any:
    """Open an asyncpg connection with these server settings. Raises LogUnavailable."""
    async with log_errors():
        return await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, server_settings=settings, max_cached_statement_lifetime=0
        )


class PostgresStore:
    """One connection that appends, in autocommit: a batch is one statement, and so one transaction."""

    def __init__(self, connection: Any) -> None:
        """Use this asyncpg connection, alone."""
        self._connection = connection

    @property
    def closed(self) -> bool:
        """Tell whether the connection is known to be gone."""
        return bool(self._connection.is_closed())

    async def check(self) -> None:
        """Raise LogUnfit unless commits are durable and size, frontier and root of the head agree."""
        async with log_errors():
            durable = {row["name"]: row["setting"] for row in await self._connection.fetch(sql.DURABLE)}
            state = await self._connection.fetchrow(sql.STATE)
        if durable.get("fsync") != "on" or durable.get("full_page_writes") != "on":
            raise LogUnfit("fsync or full_page_writes is off")
        if durable.get("synchronous_commit") in (None, "off", "local"):
            raise LogUnfit("synchronous_commit is off or local")
        if state is None or state["size"] is None:
            raise LogUnfit("there is no head")
        try:
            tree = Tree(state["size"], state["frontier"])
        except ValueError:
            raise LogUnfit("size and frontier of the head disagree") from None
        if tree.root() != state["root"]:
            raise LogUnfit("frontier and root of the head disagree")

    async def put_data_key(self, key: uuid.UUID, wrapped: bytes) -> None:
        """Keep a wrapped data key. Raises LogUnavailable."""
        async with log_errors():
            await self._connection.fetchrow(sql.PUT_DATA_KEY, key, wrapped)

    async def append(self, batch: Sequence[Writing]) -> Span:
        """Append a batch in one transaction, durable when this returns. Raises LogError's kinds: see `Store`."""
        async with log_errors():
            return await _append(self._connection, batch)

    def terminate(self) -> None:
        """Drop the connection at once."""
        self._connection.terminate()


async def append_within(connection: Any, sealer: Sealer, entries: Sequence[Entry]) -> list[Appended]:
    """Append entries inside the caller's open asyncpg transaction: they are recorded if, and when, it commits.

    This comes last in the transaction, since it locks the log's head until the end. The receipts speak of a log that
    holds these entries: they are worth nothing before the commit. The caller's role must be one that appends, and its
    connection should have lock and statement timeouts, and its transactions should read what is committed. Raises
    LogUnavailable, LogRefused, AlreadyEnded; the transaction is then broken and must be rolled back.
    """
    key = sealer.fresh()
    leaves = [entry.leaf() for entry in entries]
    batch = [key.writing(entry, leaf) for entry, leaf in zip(entries, leaves, strict=True)]
    async with log_errors():
        if any(writing.sealed is not None for writing in batch):
            await connection.fetchrow(sql.PUT_DATA_KEY, key.id, key.wrapped)
        span = await _append(connection, batch)
    return [
        Appended(index=index, leaf=leaf, size=span.size, root=span.root)
        for index, leaf in enumerate(leaves, start=span.first)
    ]


async def _append(connection: Any, batch: Sequence[Writing]) -> Span:
    lookups = [(ordinal, item) for ordinal, writing in enumerate(batch, start=1) for item in writing.lookups]
    row = await connection.fetchrow(
        sql.APPEND,
        [writing.leaf for writing in batch],
        [writing.sealed for writing in batch],
        [writing.data_key for writing in batch],
        [ordinal for ordinal, _ in lookups],
        [item.field for _, item in lookups],
        [item.mac for _, item in lookups],
    )
    return Span(first=row["first"], size=row["size"], root=row["root"])
