"""Whatever PostgreSQL has against a batch at the moment: the indexer waits for it, and every row is there once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from ingest.adapters import postgres
from ingest.adapters.days import PostgresDays
from ingest.adapters.outbox import Outbox
from ingest.adapters.postgres import SightingIndex
from ingest.errors import Misconfigured, Unavailable
from ingest.rows import Row, rows
from tests.support.database import Database, index_locked
from tests.support.detections import NOW, sighting
from tests.support.stages import make_days
from tests.support.wait import until_async

FIRST = rows([sighting(number, plate_confidence=0.5) for number in range(500)])
LATER = rows([sighting(number, revision=1, plate_confidence=0.75) for number in range(500, 700)])
BATCH = [*FIRST, *LATER]
INSERT = "insert into reads.sighting values (" + ", ".join(f"${at + 1}" for at in range(len(Row._fields))) + ")"


@pytest_asyncio.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection]:
    await make_days(database, [NOW.date()])
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("delete from reads.sighting")
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def aside(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to another database: to this one there may be none."""
    connection = await asyncpg.connect(database.postgres.superuser_url())
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def index(database: Database) -> AsyncIterator[SightingIndex]:
    index = SightingIndex(database.url("platetrail_ingest"))
    yield index
    await index.stop()


async def is_whole(superuser: asyncpg.Connection) -> bool:
    """Say whether the index holds what the batch says, each row once, and nothing else."""
    found = await superuser.fetch("select pass_id, revision, plate_confidence from reads.sighting")
    want = {row.pass_id: (row.revision, row.plate_confidence) for row in BATCH}
    return len(found) == len(want) and {row[0]: (row[1], row[2]) for row in found} == want


async def waits_for_a_lock(superuser: asyncpg.Connection) -> int:
    """Wait until the indexer waits for a lock; return its process id."""

    async def waits() -> int | None:
        found: int | None = await superuser.fetchval(
            "select pid from pg_stat_activity where application_name = 'platetrail-indexer'"
            " and datname = current_database() and wait_event_type = 'Lock'"
        )
        return found

    async def does() -> bool:
        return await waits() is not None

    await until_async(does, "the indexer waits for a lock")
    return await waits() or 0


async def test_a_locked_index_is_waited_for(
    database: Database, superuser: asyncpg.Connection, index: SightingIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOCK_S", 1)
    async with index_locked(database):
        with pytest.raises(Unavailable, match="55P03"):
            await index.write(BATCH)
    await index.write(BATCH)
    assert await is_whole(superuser)


async def test_the_victim_of_a_deadlock_writes_again(
    database: Database, superuser: asyncpg.Connection, index: SightingIndex
) -> None:
    await superuser.execute("alter role platetrail_ingest set deadlock_timeout = '5s'")
    other = await asyncpg.connect(database.superuser_url)
    try:
        await other.execute("set deadlock_timeout = '1h'")  # the one who looks is the victim
        taking = other.transaction()
        await taking.start()
        await other.execute(INSERT, *FIRST[400])
        writing = asyncio.create_task(index.write(BATCH))
        await waits_for_a_lock(superuser)
        # The indexer has written the row that is asked for now, and waits for the other one.
        crossing = asyncio.create_task(other.execute(INSERT, *FIRST[100]))
        with pytest.raises(Unavailable, match="40P01"):
            await writing
        await crossing
        await taking.rollback()
    finally:
        await superuser.execute("alter role platetrail_ingest reset deadlock_timeout")
        await other.close()
    await index.write(BATCH)
    assert await is_whole(superuser)


async def test_a_backend_that_is_ended_in_the_middle_of_a_batch(
    database: Database, superuser: asyncpg.Connection, index: SightingIndex
) -> None:
    other = await asyncpg.connect(database.superuser_url)
    taking = other.transaction()
    await taking.start()
    await other.execute(INSERT, *FIRST[400])
    writing = asyncio.create_task(index.write(BATCH))
    await superuser.execute("select pg_terminate_backend($1)", await waits_for_a_lock(superuser))
    with pytest.raises(Unavailable):
        await writing
    await taking.rollback()
    await other.close()
    await index.write(BATCH)
    assert await is_whole(superuser)


class Cutting:
    """A way to the server that ends at a sign: when it has carried so many bytes there, or such bytes back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.after_bytes: int | None = None
        self.before: bytes | None = None

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [asyncio.create_task(one) for one in (self._there(reader, there), self._back(back, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, there):
            end.transport.abort()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if self.after_bytes is not None:
                    self.after_bytes -= len(data)
                    if self.after_bytes < 0:
                        self.after_bytes = None
                        return
                writer.write(data)
                await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if self.before is not None and self.before in data:
                    self.before = None
                    return
                writer.write(data)


@pytest.mark.parametrize(
    ("after_bytes", "before"), [(30_000, None), (120_000, None), (None, b"COPY 500"), (None, b"COMMIT")]
)
async def test_a_connection_that_is_cut_in_the_middle_or_before_the_servers_word_of_the_end(
    database: Database, superuser: asyncpg.Connection, after_bytes: int | None, before: bytes | None
) -> None:
    cutting = Cutting(database.postgres.port)
    async with await asyncio.start_server(cutting.carry, "127.0.0.1") as server:
        url = database.url("platetrail_ingest").replace(
            f":{database.postgres.port}/", f":{server.sockets[0].getsockname()[1]}/"
        )
        index = SightingIndex(url)
        await index.write(rows([sighting(9999)]))  # all new: the next ones go straight into the index
        await superuser.execute("delete from reads.sighting")
        cutting.after_bytes, cutting.before = after_bytes, before
        with pytest.raises(Unavailable):
            await index.write(BATCH)
        assert (cutting.after_bytes, cutting.before) == (None, None)
        await index.write(BATCH)
        await index.stop()
    assert await is_whole(superuser)


@pytest.mark.parametrize(
    ("state", "broken", "mended"),
    [
        (
            "53300",
            "alter role platetrail_ingest connection limit 0",
            "alter role platetrail_ingest connection limit -1",
        ),
        (
            "25006",
            "alter role platetrail_ingest set default_transaction_read_only = on",
            "alter role platetrail_ingest reset default_transaction_read_only",
        ),
        ("55000", "alter database {} allow_connections false", "alter database {} allow_connections true"),
    ],
)
async def test_a_server_that_does_not_take_it_now_is_waited_for(
    database: Database, superuser: asyncpg.Connection, aside: asyncpg.Connection, state: str, broken: str, mended: str
) -> None:
    index = SightingIndex(database.url("platetrail_ingest"))
    await aside.execute(broken.format(database.name))
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match=f"SQLSTATE {state}$"):
                await index.write(BATCH)
    finally:
        await aside.execute(mended.format(database.name))
    await index.write(BATCH)
    await index.stop()
    assert await is_whole(superuser)


async def test_others_wait_for_a_server_that_is_read_only_too(
    database: Database, superuser: asyncpg.Connection, aside: asyncpg.Connection
) -> None:
    async def record(*_: Any) -> None:
        raise AssertionError("nothing is destroyed here")

    outbox = Outbox(database.url("platetrail_relay"))
    await aside.execute(f"alter database {database.name} set default_transaction_read_only = on")
    try:
        async with PostgresDays(database.url("platetrail_maintain"), record) as days:
            with pytest.raises(Unavailable, match="25006"):
                await days.make(date(2031, 1, 1))
        with pytest.raises(Unavailable, match="25006"):
            await outbox.done([1])
    finally:
        await aside.execute(f"alter database {database.name} reset default_transaction_read_only")
        await outbox.stop()


async def test_what_is_written_is_on_disk_whatever_the_servers_default(
    database: Database, superuser: asyncpg.Connection, index: SightingIndex
) -> None:
    """Offsets move after it: what a crash of the server took away would not come again."""
    await superuser.execute("alter role platetrail_ingest set synchronous_commit = off")
    try:
        await index.write(BATCH)
        # As a trigger of that very connection sees it.
        await superuser.execute(
            "create function pg_temp.tell() returns trigger language plpgsql as $$ begin"
            " new.region := current_setting('synchronous_commit'); return new; end $$"
        )
        await superuser.execute(
            "create trigger tell before insert on reads.sighting for each row execute function pg_temp.tell()"
        )
        await index.write(rows([sighting(2000)]))
    finally:
        await superuser.execute("drop trigger if exists tell on reads.sighting")
        await superuser.execute("alter role platetrail_ingest reset synchronous_commit")
    assert await superuser.fetchval("select region from reads.sighting where plate_key = $1", "A8C2000") == "on"


@pytest.mark.parametrize("url", ["postgresql://one:se/cret@127.0.0.1/x", "mysql://x", "{}?sslmode=secretly"])
async def test_a_url_that_cannot_be_used_is_not_quoted(database: Database, url: str) -> None:
    index = SightingIndex(url.format(database.url("platetrail_ingest")))
    with pytest.raises(Misconfigured, match=r"^the URL of the database cannot be used$") as caught:
        await index.start()
    assert caught.value.__cause__ is None
