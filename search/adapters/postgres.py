"""Search on PostgreSQL: a few connections that are used last in, first out, and what is asked over them.

A pool costs a reset a query and spreads the load over connections with cold plans; three are faster than eight. What
bounds a query is set on the server, since a client that gave up does not stop a statement; the client's own limit is
longer, and ends in `terminate()`: a connection in an unknown state is never used again.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg
import structlog

from search.adapters import sql
from search.errors import Unavailable
from search.ports import Claim, Row

T = TypeVar("T")

CONNECTIONS: Final = 3
WARM_UP: Final = 6
"""Executions after which PostgreSQL has settled on its plans for a statement of a connection."""

CONNECT_TIMEOUT_S: Final = 1.5
CLIENT_TIMEOUT_S: Final = 2.0
START_TIMEOUT_S: Final = 10.0
"""How long all connections together may take at the start, when nobody waits for an answer, and everything is cold.

Each statement still has the limit of `SERVER_SETTINGS`. A process that is told to end meanwhile does so after them."""

SERVER_SETTINGS: Final = {
    "application_name": "platetrail-search-read",
    "statement_timeout": "1500",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "5000",
}

_OWNERS_LIVE_S: Final = 3.0
_SCOPES_KEPT: Final = 10_000


class Reader:
    """One connection with the gate's statement prepared on it."""

    def __init__(self, connection: Any, gate: Any) -> None:
        """Hold a connection and its prepared statement."""
        self.connection = connection
        self.gate = gate


class Readers:
    """The read connections of a process. `start` before use, `stop` at the end."""

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        """Know where the database is; nothing is opened yet."""
        self._url = url
        self._count = connections
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Reader] = []

    async def start(self) -> None:
        """Open and warm every connection. Raises Unavailable; none is left open then."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                for _ in range(self._count):
                    self._idle.append(await self._open(START_TIMEOUT_S, START_TIMEOUT_S))
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                _tell("no read connection", error)
                raise Unavailable from None
            raise

    async def stop(self) -> None:
        """Close what is idle; what is in use ends with its use."""
        while self._idle:
            self._idle.pop().connection.terminate()

    async def answer(self) -> bool:
        """Tell whether the database answers over these connections."""
        try:
            await self.run(lambda reader: reader.connection.execute("select 1"))
        except Unavailable:
            return False
        return True

    async def run(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        """Run one piece of work on the connection that was used last, in autocommit.

        Raises Unavailable for whatever goes wrong: a lost connection, a limit of time, a refusal by the database. The
        connection is dropped then; the next call that needs it opens a new one.
        """
        async with self._slots:
            reader = await self._take()
            try:
                async with asyncio.timeout(CLIENT_TIMEOUT_S):
                    result = await work(reader)
            except asyncio.CancelledError:
                reader.connection.terminate()
                raise
            except Exception as error:  # noqa: BLE001 - asyncpg.InternalClientError is a plain Exception
                reader.connection.terminate()
                _tell("read connection dropped", error)
                raise Unavailable from None
            self._idle.append(reader)
            return result

    async def _take(self) -> Reader:
        while self._idle:
            reader = self._idle.pop()
            if not reader.connection.is_closed():
                return reader
        return await self._open()

    async def _open(self, connect_s: float = CONNECT_TIMEOUT_S, warm_s: float = CLIENT_TIMEOUT_S) -> Reader:
        try:
            connection = await asyncpg.connect(self._url, timeout=connect_s, server_settings=SERVER_SETTINGS)
        except Exception as error:  # noqa: BLE001 - whatever keeps us from connecting, the answer is the same
            _tell("no read connection", error)
            raise Unavailable from None
        try:
            async with asyncio.timeout(warm_s):
                gate = await connection.prepare(sql.TRAJECTORY)
                # prepare() sends Flush, not Sync: without a statement right after it the backend stays in a
                # transaction whose statement_timeout runs on.
                await connection.execute("select 1")
                await _warm(gate)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, Exception):
                _tell("no read connection", error)
                raise Unavailable from None
            raise
        return Reader(connection, gate)


async def _warm(gate: Any) -> None:
    """Execute the gate until its checks are planned. No entry has a negative index: each call is refused."""
    for _ in range(WARM_UP):
        try:
            await gate.fetch(-1, b"")
        except asyncpg.PostgresError as error:
            if error.sqlstate != "PT403":
                raise


class PostgresIndex:
    """The index behind its gate."""

    def __init__(self, readers: Readers) -> None:
        """Read over these connections."""
        self._readers = readers

    async def trajectory(self, entry: int, disclosure: bytes) -> list[Row]:
        """Return one page of the question that an entry records (see `search.ports.Index`)."""
        records = await self._readers.run(lambda reader: reader.gate.fetch(entry, disclosure))
        return [Row._make(record) for record in records]


class PostgresScopes:
    """The permitted scopes. What was stored once is not sent again by this process."""

    def __init__(self, readers: Readers) -> None:
        """Write over these connections."""
        self._readers = readers
        self._stored: dict[bytes, None] = {}

    async def put(self, body: bytes) -> bytes:
        """Store a scope if it is new and return its hash (see `search.ports.Scopes`)."""
        name = hashlib.sha256(body).digest()
        if name not in self._stored:
            stored: bytes = await self._readers.run(lambda reader: reader.connection.fetchval(sql.PUT_SCOPE, body))
            if stored != name:
                raise Unavailable
            if len(self._stored) >= _SCOPES_KEPT:
                self._stored.pop(next(iter(self._stored)))
            self._stored[name] = None
        return name


class PostgresOwners:
    """The agencies that own cameras, as they were a few seconds ago at most."""

    def __init__(self, readers: Readers, live_s: float = _OWNERS_LIVE_S) -> None:
        """Keep what was read for `live_s` seconds."""
        self._readers = readers
        self._live_s = live_s
        self._known: frozenset[str] = frozenset()
        self._until = -1.0

    async def known(self) -> frozenset[str]:
        """Return the owners of all cameras (see `search.ports.Owners`)."""
        if time.monotonic() >= self._until:
            records = await self._readers.run(lambda reader: reader.connection.fetch(sql.OWNERS))
            self._known = frozenset(record["owner"] for record in records)
            self._until = time.monotonic() + self._live_s
        return self._known


class PostgresClaims:
    """Idempotency keys of the last 24 hours."""

    def __init__(self, readers: Readers) -> None:
        """Read and write over these connections."""
        self._readers = readers

    async def claim(self, mac: bytes, body_mac: bytes) -> Claim:
        """Claim a key, or say who holds it (see `search.ports.Claims`)."""
        at = await self._readers.run(lambda reader: reader.connection.fetchval(sql.CLAIM, mac, body_mac))
        if at is not None:
            return Claim(state="ours", since=at)
        held = await self._readers.run(lambda reader: reader.connection.fetchrow(sql.HELD_CLAIM, mac))
        if held is None:  # purged between the two statements: the next attempt gets it
            raise Unavailable
        if held["body_mac"] != body_mac:
            return Claim(state="other_body", since=held["at"])
        return Claim(state="settled" if held["settled"] else "running", since=held["at"])

    async def take_over(self, mac: bytes, claim: Claim) -> Claim:
        """Take a settled claim, or say that somebody was faster (see `search.ports.Claims`)."""
        at = await self._readers.run(lambda reader: reader.connection.fetchval(sql.TAKE_OVER, mac, claim.since))
        return Claim(state="running", since=claim.since) if at is None else Claim(state="ours", since=at)

    async def settle(self, mac: bytes, claim: Claim) -> None:
        """Say that nobody works under this claim any more (see `search.ports.Claims`)."""
        await self._readers.run(lambda reader: reader.connection.execute(sql.SETTLE, mac, claim.since))

    async def intent_of(self, mac: bytes) -> int | None:
        """Return the intent that was recorded with this look-up (see `search.ports.Claims`)."""
        found: int | None = await self._readers.run(lambda reader: reader.connection.fetchval(sql.INTENT_OF, mac))
        return found


def _tell(event: str, error: Exception) -> None:
    """Log what happened by the error's type and SQLSTATE alone: its text can hold what was asked."""
    structlog.get_logger().warning(event, error=type(error).__name__, sqlstate=getattr(error, "sqlstate", None))
