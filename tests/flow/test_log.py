"""The log on PostgreSQL: gap-free under load, closed when the database does not answer, and back by itself."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, disclose
from schemas.migrations import roles
from schemas.migrations.run import upgrade
from search.audit.adapters.postgres import PostgresConnect, append_within
from search.audit.adapters.reader import PostgresReader, verify_database
from search.audit.errors import AlreadyEnded, LogUnavailable, LogUnfit
from search.audit.log import GreedyLog
from search.audit.ports import Appended, Selection
from search.audit.secrets import Opener, Sealer
from services.demo import postgres as postgres_starter
from tests.support.database import Database, make_roles, new_passwords
from tests.support.wait import until_async

PRIVATE = X25519PrivateKey.generate()


@pytest.fixture
def database(fresh_database: Callable[[], Database]) -> Database:
    """An empty log."""
    return fresh_database()


@asynccontextmanager
async def running(database: Database, role: str = "platetrail_search") -> AsyncIterator[GreedyLog]:
    """Run a log of a process of its own."""
    log = GreedyLog(PostgresConnect(database.url(role)), Sealer(PRIVATE.public_key()))
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


@pytest.fixture
async def log(database: Database) -> AsyncIterator[GreedyLog]:
    """A log that runs."""
    async with running(database) as made:
        yield made


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[Any]:
    """A connection that may do anything."""
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    connection.terminate()


def intent(person: str = "ana") -> Entry:
    """Return an intent with something to seal."""
    return Entry(
        kind="intent",
        public={"at": datetime.now(UTC).isoformat(), "agency": "aurora-pd"},
        disclosures=(disclose("person", person),),
    )


async def ask(log: GreedyLog, questions: int) -> list[Appended]:
    """Ask some questions one after another, each an intent and its outcome."""
    receipts = []
    for _ in range(questions):
        opened = await log.append(intent())
        ended = await log.append(Entry(kind="outcome", public={}, ends=opened.index))
        receipts += [opened, ended]
    return receipts


async def test_64_clients_leave_no_gap_and_cost_few_flushes(log: GreedyLog, database: Database, superuser: Any) -> None:
    before = await superuser.fetchval("select count(distinct tx) from audit.leaf")
    receipts = [item for client in await asyncio.gather(*(ask(log, 8) for _ in range(64))) for item in client]
    assert sorted(item.index for item in receipts) == list(range(1024))
    transactions = await superuser.fetchval("select count(distinct tx) from audit.leaf") - before
    assert transactions < len(receipts) / 4
    report = await verify_database(database.url("platetrail_auditing"))
    assert (report.findings, report.size, report.kinds) == ((), 1024, {"intent": 512, "outcome": 512})
    assert report.root == max(receipts, key=lambda item: item.size).root


async def test_four_processes_append_to_one_log_without_gap_or_fork(database: Database) -> None:
    names: Sequence[str] = ["platetrail_search", "platetrail_search", "platetrail_auditing", "platetrail_maintain"]
    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(running(database, name)) for name in names]
        found = await asyncio.gather(*(ask(logs[number % 4], 5) for number in range(64)))
    receipts = [item for client in found for item in client]
    assert sorted(item.index for item in receipts) == list(range(640))
    roots = {item.size: item.root for item in receipts}
    assert all(roots[item.size] == item.root for item in receipts)
    report = await verify_database(database.url("platetrail_auditing"))
    assert (report.findings, report.size, report.open) == ((), 640, ())
    assert report.root == roots[640]


async def test_processes_wait_for_one_another_whatever_the_servers_default_isolation(
    database: Database, superuser: Any
) -> None:
    await superuser.execute(f"alter database {database.name} set default_transaction_isolation = 'repeatable read'")
    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(running(database)) for _ in range(4)]
        found = await asyncio.gather(*(ask(logs[number % 4], 5) for number in range(64)))
    assert sorted(item.index for client in found for item in client) == list(range(640))


@pytest.mark.parametrize(
    ("broken", "mended", "state"),
    [
        ("set default_transaction_read_only = on", "reset default_transaction_read_only", "25006"),
        ("allow_connections false", "allow_connections true", "55000"),
    ],
)
async def test_a_database_that_takes_nothing_now_fails_the_append_and_heals(
    log: GreedyLog, database: Database, superuser: Any, broken: str, mended: str, state: str
) -> None:
    await ask(log, 1)
    aside = await asyncpg.connect(database.postgres.superuser_url())
    cut = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'platetrail audit log' and datname = $1"
    )
    try:
        await aside.execute(f"alter database {database.name} {broken}")
        await aside.fetch(cut, database.name)

        async def refused() -> bool:
            with pytest.raises(LogUnavailable) as caught:
                await log.append(intent())
            return caught.value.code == state

        await until_async(refused, "the server says why")
        await aside.execute(f"alter database {database.name} {mended}")
        await aside.fetch(cut, database.name)
    finally:
        await aside.execute(f"alter database {database.name} {mended}")
        await aside.close()

    async def healed() -> bool:
        return not await fails(log)

    await until_async(healed, "the log takes entries again")
    assert await superuser.fetchval("select count(*) from audit.leaf") == 3
    assert (await verify_database(database.url("platetrail_auditing"))).findings == ()


async def test_a_locked_head_fails_the_append_in_time_and_heals(log: GreedyLog, superuser: Any) -> None:
    await ask(log, 1)
    async with superuser.transaction():
        await superuser.execute("select * from audit.head for update")
        async with asyncio.timeout(60):  # without limits of its own the append would wait for us, and we for it
            results = await asyncio.gather(*(log.append(intent()) for _ in range(10)), return_exceptions=True)
    assert all(isinstance(result, LogUnavailable) for result in results)
    assert (await log.append(intent())).index == 2
    # Nothing of what was given up appears later.
    assert await superuser.fetchval("select count(*) from audit.leaf") == 3


async def test_a_backend_that_dies_fails_the_append_and_heals(log: GreedyLog, superuser: Any) -> None:
    await ask(log, 1)
    assert await superuser.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'platetrail audit log'"
    )

    async def healed() -> bool:
        try:
            await log.append(intent())
        except LogUnavailable:
            return False
        return True

    await until_async(healed, "the log has connected anew")


async def test_a_stopped_database_fails_the_append_and_heals(tmp_path: Path) -> None:
    cluster, database = await asyncio.to_thread(own_cluster, tmp_path)
    try:
        await upgrade(database.url(roles.MIGRATE))
        async with running(database) as log:
            receipts = await ask(log, 2)
            waiting = asyncio.gather(*(ask(log, 50) for _ in range(8)), return_exceptions=True)
            await asyncio.to_thread(cluster.kill)
            results = await waiting
            assert all(isinstance(result, LogUnavailable) for result in results)
            with pytest.raises(LogUnavailable):
                await log.append(intent())
            assert not log.ready
            await asyncio.to_thread(cluster.restart)

            async def ready() -> bool:
                return log.ready

            await until_async(ready, "the log has connected anew, without being asked for an entry")
            last = await log.append(intent())
            assert last.index >= 4
        report = await verify_database(database.url("platetrail_auditing"))
        assert report.findings == ()
        assert report.size == last.size
        assert receipts[-1].size < report.size
    finally:
        await asyncio.to_thread(cluster.stop)


def own_cluster(folder: Path) -> tuple[postgres_starter.Postgres, Database]:
    """Start a cluster that the test may kill, with roles and a database without schema."""
    passwords = new_passwords()
    cluster = postgres_starter.start(folder, passwords=passwords)
    make_roles(cluster, passwords)
    cluster.administer(roles.database("own"))
    return cluster, Database("own", cluster)


async def test_a_server_that_does_not_flush_gets_no_entry(tmp_path: Path) -> None:
    cluster, database = await asyncio.to_thread(own_cluster, tmp_path)
    try:
        await upgrade(database.url(roles.MIGRATE))
        superuser = await asyncpg.connect(database.superuser_url)
        async with running(database) as log:
            for setting in ("fsync", "full_page_writes"):
                await log.append(intent())
                await superuser.execute(f"alter system set {setting} = off")
                await superuser.execute("select pg_reload_conf()")
                await until_async(lambda: fails(log), f"the log has seen that {setting} is off")
                with pytest.raises(LogUnfit, match="fsync or full_page_writes"):
                    async with running(database):
                        pass
                await superuser.execute(f"alter system reset {setting}")
                await superuser.execute("select pg_reload_conf()")

                async def ready(log: GreedyLog = log) -> bool:
                    return log.ready

                await until_async(ready, "the log has connected anew")
        superuser.terminate()
        assert (await verify_database(database.url("platetrail_auditing"))).findings == ()
    finally:
        await asyncio.to_thread(cluster.stop)


async def test_commits_that_are_not_durable_are_refused_at_start_and_later(
    log: GreedyLog, database: Database, superuser: Any
) -> None:
    await log.append(intent())
    await superuser.execute(f"alter role platetrail_search in database {database.name} set synchronous_commit = off")
    try:
        with pytest.raises(LogUnfit, match="synchronous_commit"):
            async with running(database):
                pass
        await superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'platetrail audit log'"
        )
        await until_async(lambda: fails(log), "the connection's end was noticed")
        with pytest.raises(LogUnavailable):
            await log.append(intent())
    finally:
        await superuser.execute(f"alter role platetrail_search in database {database.name} reset synchronous_commit")


async def fails(log: GreedyLog) -> bool:
    try:
        await log.append(intent())
    except LogUnavailable:
        return True
    return False


@pytest.mark.parametrize(
    "damage",
    ["frontier = frontier[2:]", "size = size + 1", "root = sha256('x'::bytea)", "frontier = array[root] || frontier"],
)
async def test_a_head_that_contradicts_itself_is_refused_at_start(
    log: GreedyLog, database: Database, superuser: Any, damage: str
) -> None:
    await ask(log, 3)
    await superuser.execute("set session_replication_role = replica")
    await superuser.execute(f"update audit.head set {damage}")
    with pytest.raises(LogUnfit, match="head"):
        async with running(database):
            pass


async def test_an_entry_in_a_transaction_stands_or_falls_with_it(database: Database, superuser: Any) -> None:
    connection = await asyncpg.connect(database.url("platetrail_search"))
    sealer = Sealer(PRIVATE.public_key())
    camera = Entry(kind="camera", public={"agency": "aurora-pd"}, disclosures=(disclose("person", "otto"),))
    outbox = "insert into registry.outbox (topic, key, value) values ('t', 'k', 'v')"
    try:
        rolled_back = connection.transaction()
        await rolled_back.start()
        await connection.execute(outbox)
        await append_within(connection, sealer, [camera])
        await rolled_back.rollback()
        assert await superuser.fetchval("select count(*) from audit.data_key") == 0
        async with connection.transaction():
            await connection.execute(outbox)
            (receipt,) = await append_within(connection, sealer, [camera])
        broken = connection.transaction()
        await broken.start()
        await append_within(connection, sealer, [intent()])
        with pytest.raises(AlreadyEnded):
            await append_within(connection, sealer, [end_of_one(), end_of_one()])
        await broken.rollback()
    finally:
        connection.terminate()
    assert (receipt.index, receipt.size) == (0, 1)
    assert await superuser.fetchval("select count(*) from registry.outbox") == 1
    reader = PostgresReader(database.url("platetrail_auditing"))
    (record,) = await reader.entries(Selection(limit=10))
    await reader.close()
    assert record.data_key is not None
    assert record.wrapped is not None
    assert record.sealed is not None
    (opened,) = Opener(PRIVATE).open(record.data_key, record.wrapped, record.sealed, record.leaf)
    assert opened.value == "otto"


def end_of_one() -> Entry:
    return Entry(kind="failure", public={}, ends=1)


async def test_no_password_opens_another_role(database: Database) -> None:
    for role in roles.LOGINS:
        for other in roles.LOGINS:
            if other == role:
                continue
            password = re.sub(r"//[^:]+:", f"//{other}:", database.url(role))
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(password)
