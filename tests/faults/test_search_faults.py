"""Faults of the read side: whatever breaks, nothing is read without a durable record, and it recovers by itself."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from fastapi import FastAPI

from schemas.owners import Grant, OwnerRules
from schemas.queries import TravelLimits
from search.adapters.postgres import PostgresClaims, PostgresIndex, PostgresOwners, PostgresScopes, Readers
from search.api import trajectories
from search.api.common import install_errors
from search.ask import Door, Parts
from search.audit import keys as key_files
from search.audit.adapters.postgres import PostgresConnect
from search.audit.adapters.reader import PostgresReader
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.secrets import Sealer
from search.audit.sweeper import Sweeper
from search.cursor import Cursors
from search.idempotency import Keys as IdempotencyKeys
from search.identity import Verifier
from search.policy import Policy
from search.ports import Row
from services.demo import postgres as postgres_starter
from services.demo.postgres import Postgres
from services.demo.process import ChildError
from tests.support.database import Database, fresh, make_roles, new_passwords
from tests.support.reads import put, register
from tests.support.rows import row
from tests.support.searching import ISSUER, Keys, Process, in_process, open_questions, recorded
from tests.support.wait import until_async

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(days=1)
PLATE = "FLT4711"
RULES = OwnerRules(owners={"north": Grant()})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of this module's own: its tests kill it."""
    passwords = new_passwords()
    own = postgres_starter.start(tmp_path_factory.mktemp("postgres"), passwords=passwords)
    make_roles(own, passwords)
    yield own
    own.stop()


@pytest.fixture
def database(cluster: Postgres) -> Database:
    """A database with one read of `PLATE` in it, in which calls of functions are counted."""
    made = fresh(cluster)
    cluster.administer([f"alter database {made.name} set track_functions = 'all'"])

    async def fill() -> None:
        await register(made, "north")
        await put(made, [row(plate=PLATE, captured_at=BEGIN)])

    asyncio.run(fill())
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, RULES)


@pytest.fixture
async def client(keys: Keys, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(keys.settings(database)) as running:
        running.headers.update(keys.bearer())
        yield running


@pytest.fixture
def process(keys: Keys, database: Database, tmp_path: Path) -> Iterator[Process]:
    started = Process(keys, database, tmp_path / "search.log")
    yield started
    started.child.stop()


def question() -> dict[str, Any]:
    return {
        "plate": PLATE,
        "match": "exact",
        "window": {"from": (NOW - timedelta(days=7)).isoformat(), "to": NOW.isoformat()},
        "purpose": {"code": "stolen_vehicle", "case_number": "2026-004711", "authority": {"kind": "none"}},
    }


async def ask(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/v1/trajectories", json=question(), headers=headers)


def unavailable(response: httpx.Response) -> bool:
    """Tell whether an answer is a 503 that says when to come back, and nothing of any read."""
    return (
        response.status_code == 503
        and response.headers["content-type"] == "application/problem+json"
        and int(response.headers["retry-after"]) >= 1
        and "points" not in response.text
    )


@contextlib.asynccontextmanager
async def locked(database: Database, statement: str) -> AsyncIterator[None]:
    """Hold what a statement locks, in another session."""
    session = await asyncpg.connect(database.superuser_url)
    transaction = session.transaction()
    await transaction.start()
    await session.execute(statement)
    try:
        yield
    finally:
        await transaction.rollback()
        await session.close()


LOCK_HEAD = "select from audit.head for update"
LOCK_LEAVES = "lock table audit.leaf in access exclusive mode"
LOCK_INDEX = "lock table reads.sighting in access exclusive mode"


async def index_reads(database: Database) -> tuple[int, int]:
    """Return how often the gate has answered, and how many scans of the index were begun, by PostgreSQL's own count.

    A scan is counted when it begins, in a transaction that fails, too. Sessions hand in their counts when they end:
    the caller has stopped the service.
    """
    await until_async(sessions_gone(database), "search's sessions have ended")
    superuser = await asyncpg.connect(database.superuser_url)
    calls = await superuser.fetchval(
        "select coalesce(sum(calls), 0)::int from pg_stat_user_functions"
        " where schemaname = 'gate' and funcname = 'trajectory'"
    )
    scans = await superuser.fetchval(
        "select coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::int from pg_stat_user_tables"
        " where schemaname = 'reads'"
    )
    await superuser.close()
    return calls, scans


@pytest.mark.parametrize("lock", [LOCK_HEAD, LOCK_LEAVES])
async def test_the_log_is_locked(keys: Keys, database: Database, lock: str) -> None:
    before = await index_reads(database)
    async with in_process(keys.settings(database)) as client:
        client.headers.update(keys.bearer())
        async with locked(database, lock):
            answers = await asyncio.gather(*(ask(client) for _ in range(5)))
            answers.append(await ask(client, **{"Idempotency-Key": "once"}))
        assert all(map(unavailable, answers))
    assert await index_reads(database) == before
    assert await recorded(database, keys.folder) == []  # nor was any of them recorded later

    # The count is not blind: one answer, and both numbers move.
    async with in_process(keys.settings(database)) as client:
        client.headers.update(keys.bearer())
        assert (await ask(client)).status_code == 200
    calls, scans = await index_reads(database)
    assert calls == before[0] + 1
    assert scans > before[1]


async def test_it_answers_as_soon_as_the_lock_is_gone(client: httpx.AsyncClient, database: Database) -> None:
    async with locked(database, LOCK_HEAD):
        assert unavailable(await ask(client))
    assert (await ask(client)).status_code == 200


async def test_the_index_is_locked(client: httpx.AsyncClient, database: Database, keys: Keys) -> None:
    async with locked(database, LOCK_INDEX):
        assert unavailable(await ask(client))
    intent, failure = await recorded(database, keys.folder)
    assert (failure.kind, failure.ends, failure.body["reason"]) == ("failure", intent.index, "index_unavailable")
    assert (await ask(client)).status_code == 200


class KillsFirst:
    """The index behind a server that is killed after the intent was recorded and before the gate is called."""

    def __init__(self, index: PostgresIndex, cluster: Postgres) -> None:
        self._index = index
        self._cluster = cluster
        self.armed = True
        self.returned = 0

    async def trajectory(self, entry: int, disclosure: bytes) -> list[Row]:
        if self.armed:
            self.armed = False
            await asyncio.to_thread(self._cluster.kill)
        rows = await self._index.trajectory(entry, disclosure)
        self.returned += 1
        return rows


async def test_the_server_dies_between_intent_and_read(keys: Keys, database: Database, cluster: Postgres) -> None:
    url = database.url("platetrail_search")
    lookups = Lookups(key_files.read_secret(keys.folder / "lookup.key"))
    log = GreedyLog(PostgresConnect(url), Sealer(key_files.read_public(keys.folder / "audit.pub")))
    readers = Readers(url)
    index = KillsFirst(PostgresIndex(readers), cluster)
    door = Door(
        Parts(
            log=log,
            index=index,
            scopes=PostgresScopes(readers),
            owners=PostgresOwners(readers),
            keys=IdempotencyKeys(PostgresClaims(readers), lookups),
            lookups=lookups,
            cursors=Cursors(key_files.read_secret(keys.folder / "cursor.key")),
            policy=Policy(RULES),
            travel=TravelLimits(),
            pass_window_s=30,
        )
    )
    app = FastAPI()
    install_errors(app)
    verifier = Verifier((keys.folder / "token.pub").read_bytes(), issuer=ISSUER, audience="platetrail")
    app.router.routes.extend(trajectories.routes(door, verifier))
    await log.start()
    await readers.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://search") as client:
        client.headers.update(keys.bearer())
        assert unavailable(await ask(client))
        assert (index.armed, index.returned) == (False, 0)
        assert unavailable(await ask(client))  # the server is still gone: nothing is recorded, nothing is read
        assert index.returned == 0

        await asyncio.to_thread(cluster.restart)

        async def answers() -> bool:
            return (await ask(client)).status_code == 200

        await until_async(answers, "the service answers again")
    await door.drain()
    await log.stop()
    await readers.stop()
    entries = await recorded(database, keys.folder)
    assert entries[0].kind == "intent"  # durable before the read: it survived the crash
    assert open_questions(entries) == [0]
    assert [entry.kind for entry in entries[-2:]] == ["intent", "outcome"]
    assert index.returned == len([entry for entry in entries if entry.kind == "outcome"])


async def test_the_server_is_stopped_and_started(
    client: httpx.AsyncClient, database: Database, keys: Keys, cluster: Postgres
) -> None:
    assert (await ask(client)).status_code == 200
    await asyncio.to_thread(cluster.stop)
    assert unavailable(await ask(client))
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 503
    await asyncio.to_thread(cluster.restart)

    async def answers() -> bool:
        return (await ask(client)).status_code == 200

    await until_async(answers, "the service answers again")
    assert (await client.get("/readyz")).status_code == 200
    assert open_questions(await recorded(database, keys.folder)) == []


@pytest.mark.parametrize(
    ("lock", "application", "kinds"),
    [(LOCK_INDEX, "platetrail-search-read", ["intent", "failure"]), (LOCK_HEAD, "platetrail-search-log", [])],
)
async def test_a_backend_is_terminated(
    client: httpx.AsyncClient, database: Database, keys: Keys, lock: str, application: str, kinds: list[str]
) -> None:
    superuser = await asyncpg.connect(database.superuser_url)

    async def terminated() -> bool:
        """Terminate the backends of an application that wait for a lock; tell whether there were any."""
        return bool(
            await superuser.fetchval(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = $1 and application_name = $2 and wait_event_type = 'Lock'",
                database.name,
                application,
            )
        )

    async with locked(database, lock):
        asking = asyncio.create_task(ask(client))
        await until_async(terminated, "a backend waits, and is terminated")
        assert unavailable(await asking)
    await superuser.close()
    assert [entry.kind for entry in await recorded(database, keys.folder)] == kinds
    assert (await ask(client)).status_code == 200


async def test_a_client_that_goes_leaves_an_end(process: Process, keys: Keys, database: Database) -> None:
    async with locked(database, LOCK_INDEX):
        with send(process.port, keys) as connection:
            await until_async(recorded_kinds(database, keys, ["intent"]), "the intent is recorded")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, no farewell

    async def ended() -> bool:
        entries = await recorded(database, keys.folder)
        return [entry.kind for entry in entries[1:]] in (["outcome"], ["failure"])

    await until_async(ended, "the question has its end")
    assert open_questions(await recorded(database, keys.folder)) == []
    assert process.ready()
    for word in (PLATE, "alex", "4711"):
        assert word not in process.child.output()


@pytest.mark.parametrize("at", ["intent", "read", "end"])
async def test_the_service_is_killed(keys: Keys, database: Database, tmp_path: Path, at: str) -> None:
    """Killed while it waits to record, to read, or to record the end: the log says what is known, no byte leaves."""
    process = Process(keys, database, tmp_path / "search.log")
    locks = contextlib.AsyncExitStack()
    head = contextlib.AsyncExitStack()
    if at == "intent":
        await head.enter_async_context(locked(database, LOCK_HEAD))
    else:
        await locks.enter_async_context(locked(database, LOCK_INDEX))
    with send(process.port, keys, key="once") as connection:
        if at == "intent":
            await until_async(waiting(database, "platetrail-search-log"), "the log waits for its head")
        else:
            await until_async(waiting(database, "platetrail-search-read"), "the gate waits for the index")
        if at == "end":
            await head.enter_async_context(locked(database, LOCK_HEAD))
            await locks.aclose()
            await until_async(waiting(database, "platetrail-search-log"), "the log waits for its head")
        process.child.kill()
        received = await asyncio.to_thread(receive, connection)
    # What waits for a lock gives up by itself: only then is it settled what was recorded.
    await until_async(sessions_gone(database), "search's sessions have ended")
    await locks.aclose()
    await head.aclose()
    assert received == b""
    entries = await recorded(database, keys.folder)
    assert [entry.kind for entry in entries] == ([] if at == "intent" else ["intent"])
    assert open_questions(entries) == ([] if at == "intent" else [0])

    if at == "read":
        await the_same_request_again(keys, database, tmp_path)
    if at == "end":
        await the_sweeper_ends_it(keys, database)


async def the_same_request_again(keys: Keys, database: Database, tmp_path: Path) -> None:
    """Its idempotency key is held until it is stale; then the request is answered under the intent that was left."""
    process = Process(keys, database, tmp_path / "search-again.log")
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(base_url=process.url, headers=keys.bearer(), trust_env=False) as client:

        async def answered() -> bool:
            answers.append(await ask(client, **{"Idempotency-Key": "once"}))
            return answers[-1].status_code != 409

        await until_async(answered, "the lost claim is stale")
    process.child.stop()
    assert {answer.status_code for answer in answers[:-1]} == {409}
    assert (answers[-1].status_code, answers[-1].json()["intent"]) == (200, 0)
    kinds = [entry.kind for entry in await recorded(database, keys.folder)]
    assert kinds == ["intent", "page", "outcome"]


async def the_sweeper_ends_it(keys: Keys, database: Database) -> None:
    url = database.url("platetrail_auditing")
    log = GreedyLog(PostgresConnect(url), Sealer(key_files.read_public(keys.folder / "audit.pub")))
    await log.start()
    reader = PostgresReader(url)
    assert await Sweeper(log, reader, after_s=0).sweep() == 1
    await reader.close()
    await log.stop()
    intent, abandoned = await recorded(database, keys.folder)
    assert (abandoned.kind, abandoned.ends) == ("abandoned", intent.index)


def test_it_does_not_start_on_commits_that_are_not_durable(
    keys: Keys, database: Database, cluster: Postgres, tmp_path: Path
) -> None:
    cluster.administer([f"alter role platetrail_search in database {database.name} set synchronous_commit = off"])
    log_file = tmp_path / "refused.log"
    with pytest.raises(ChildError):
        Process(keys, database, log_file)
    events = [msgspec.json.decode(line) for line in log_file.read_text().splitlines()]
    assert [event["error"] for event in events if event["event"] == "refused to start"] == ["LogUnfit"]


def test_it_says_at_which_level_it_releases(process: Process) -> None:
    events = [msgspec.json.decode(line) for line in process.child.output().splitlines()]
    assert [event["event"] for event in events if "release level" in event["event"]] == ["release level L0"]


@contextlib.contextmanager
def send(port: int, keys: Keys, key: str = "") -> Iterator[socket.socket]:
    """Send a question over a plain socket, and close it at the end."""
    body = msgspec.json.encode(question())
    lines = [
        "POST /v1/trajectories HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in keys.bearer().items()),
        *([f"Idempotency-Key: {key}"] if key else []),
    ]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        yield connection


def receive(connection: socket.socket) -> bytes:
    """Return what comes until the other side is gone."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def waiting(database: Database, application: str) -> Any:
    """Return a probe: does a session of this application wait for a lock?"""

    async def probe() -> bool:
        superuser = await asyncpg.connect(database.superuser_url)
        found = await superuser.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = $1 and application_name = $2 and wait_event_type = 'Lock'",
            database.name,
            application,
        )
        await superuser.close()
        return bool(found)

    return probe


def sessions_gone(database: Database) -> Any:
    """Return a probe: has the search role no session any more?"""

    async def probe() -> bool:
        superuser = await asyncpg.connect(database.superuser_url)
        found = await superuser.fetchval(
            "select count(*) from pg_stat_activity where datname = $1 and usename = 'platetrail_search'", database.name
        )
        await superuser.close()
        return not found

    return probe


def recorded_kinds(database: Database, keys: Keys, kinds: list[str]) -> Any:
    """Return a probe: are these the log's entries?"""

    async def probe() -> bool:
        return [entry.kind for entry in await recorded(database, keys.folder)] == kinds

    return probe
