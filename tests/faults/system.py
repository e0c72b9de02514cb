"""A whole running system whose parts are there to be broken: servers of its own, and every process on them."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg
import httpx
import psutil

from ingest.adapters.coordinators import offsets_of
from schemas import offsets, topics
from schemas.owners import Grant, OwnerRules
from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.fleet import ROLES
from services.demo.kafka import Kafka
from services.demo.postgres import Postgres
from services.demo.process import ChildError, free_port
from services.settings import Settings
from tests.support import stages
from tests.support.database import Database, fresh, make_roles, new_passwords
from tests.support.searching import ISSUER, Keys
from tests.support.topics import admin, make_topics
from tests.support.wait import until_async

NETWORK: Final = "faults-net"
OWNER: Final = "north"
SESSION_S: Final = 6.0
WINDOW_S: Final = 90.0
BATCH: Final = 200
READY_S: Final = 120.0
TRIES_S: Final = 30.0
"""How long a moment is looked for at which something is in hand; after that the fault comes all the same."""
BACKLOG_S: Final = 0.4
"""How long what had nothing in hand stays frozen, so that it has something to do when it goes on, and is met at it."""
AT_WORK_S: Final = 0.08
"""How soon after that, or after it says that it has something, it is frozen again, at the latest."""
QUIET_S: Final = 3.0
"""How long it may say nothing of the kind before it is frozen again all the same."""

ORDER: Final = (
    "maintain", "relay", "gateway", "inbox", "enricher", "indexer", "matcher", "health", "deadletters", "counting",
)  # fmt: skip
HTTP: Final = ("gateway", "deadletters")

GROUPS: Final[Mapping[str, str]] = {
    "enricher": "platetrail-enricher",
    "indexer": "platetrail-indexer",
    "matcher": "platetrail-matcher",
    "health": "platetrail-health",
    "inbox": f"platetrail-inbox.{NETWORK}",
    "counting": "platetrail-counting",
}
"""The consumer group of each process that has one."""

READS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "enricher": (topics.DETECTIONS,),
    "indexer": (topics.SIGHTINGS,),
    "matcher": (topics.EPHEMERAL,),
    "health": (topics.CAMERA_HEALTH, topics.DEAD_LETTERS),
    "inbox": (topics.inbox(NETWORK),),
    "counting": (topics.DEAD_LETTERS,),
}

Place = tuple[str, int]
T = TypeVar("T")


class Ended(NamedTuple):
    """A process that ended by itself, and the last line that it logged."""

    name: str
    returncode: int
    last: str


class Running:
    """One process of the system, through all its lives, and how far its log says that it has fetched."""

    def __init__(self, worker: stages.Worker, port: int | None) -> None:
        """Know its present life."""
        self.worker = worker
        self.port = port
        self.expected = False
        self._read = worker.log_offset
        self._rest = b""
        self.fetched: dict[Place, int] = {}
        self.committed: dict[Place, int] = {}
        self.assigned = 0
        self.said: Counter[str] = Counter()
        self.began: dict[Place, int] = {}
        """From where on its counts are compared, and what it had counted before: of `counting` alone."""
        self.counted_before: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Read what it has logged since the last time."""
        with self.worker.log_file.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._heed(line)

    def in_hand(self, done: Mapping[Place, int]) -> int:
        """Return how many records it has fetched that neither it nor the broker (`done`) says are worked off.

        What one that began anew reads once more, for the passes that were open, is not in hand.
        """
        self.listen()
        said = self.committed
        return sum(
            max(0, offset - max(said.get(place, 0), done.get(place, 0))) for place, offset in self.fetched.items()
        )

    def _heed(self, line: bytes) -> None:
        if b'"event"' not in line:
            return
        said = stages.json_line(line)
        event = said.get("event", "")
        self.said[event] += 1
        if event == "assigned":
            self.assigned = len(said["partitions"])
            self.fetched.clear()  # what it had of them is thrown away, and fetched again
        elif event in ("fetched", "committed"):
            known = self.fetched if event == "fetched" else self.committed
            for place, offset in said["positions"].items():
                topic, _, partition = place.rpartition("/")
                known[topic, int(partition)] = offset


class System:
    """The servers, and the processes by name: `enricher`, and `enricher-2` for the second of a kind."""

    def __init__(self, folder: Path, kafka: Kafka, postgres: Postgres, database: Database, outage_s: float) -> None:
        """Know the servers. Made by `running`."""
        self.folder = folder
        self.kafka = kafka
        self.postgres = postgres
        self.database = database
        self.outage_s = outage_s
        self.keys = Keys(folder, OwnerRules(owners={OWNER: Grant()}))
        self.processes: dict[str, Running] = {}
        self.unreachable_s = 60.0
        self.ended: list[Ended] = []
        self.notes: set[str] = set()
        self.days_used = 0
        self.broker_kills = 0
        self.transactional = False
        self._ports = {name: free_port() for name in (*HTTP, "inbox", "matcher", "counting")}

    async def start(self, name: str, *, module: str = "", **more: str) -> Running:
        """Start a process and wait until it is ready. Raises ChildError, with its last lines, if it does not get so."""
        kind, _, instance = name.partition("-")
        url = self.database.url(ROLES[kind]) if kind in ROLES else ""
        of = Settings(
            kafka_bootstrap=self.kafka.bootstrap,
            database_url=url,
            instance=instance or "1",
            batch_records=BATCH,
            session_timeout_s=SESSION_S,
            outage_limit_s=self.outage_s,
            enricher_transactions=self.transactional,
            log_level="debug",
        )
        port = self._ports.get(kind) if not instance else None
        listening = {"LISTEN_PORT": str(port)} if port is not None else {}
        env = {**self._environment(), **listening, **more}
        folder = self.folder / "logs" / name
        began = await self._until_told(kind) if kind == "counting" else {}
        worker = await asyncio.to_thread(stages.Worker, kind, of, folder, module=module, **env)
        one = self.processes[name] = Running(worker, port)
        one.began = began
        await self._until_ready(name, one)
        return one

    async def transact(self, on: bool) -> None:
        """Let the enricher write in transactions from now on, or no longer."""
        if on != self.transactional:
            await self.stop("enricher")
            self.transactional = on
            await self.start("enricher")

    async def stop(self, name: str) -> None:
        """Stop a process as an operator would."""
        one = self.processes.pop(name)
        one.expected = True
        await asyncio.to_thread(one.worker.stop)

    async def watch(self) -> None:
        """Start what ended by itself again, as a supervisor does, and remember it. Runs until cancelled."""
        while True:
            await asyncio.sleep(0.3)
            for name, one in list(self.processes.items()):
                if one.worker.returncode is None or one.expected:
                    continue
                one.expected = True
                last = one.worker.output().strip().rpartition("\n")[2][:300]
                self.ended.append(Ended(name, one.worker.returncode, last))
                try:
                    await self.start(name)
                except ChildError as error:
                    self.ended.append(Ended(name, -1, str(error)[-300:]))

    async def committed(self, kind: str) -> dict[Place, int]:
        """Return up to where a kind of process has worked everything off, by the broker's word."""
        async with admin(self.kafka.bootstrap) as client:
            found = await offsets_of(client, GROUPS[kind])
        return {
            (at.topic, at.partition): offsets.done(one.offset, one.metadata)
            for at, one in found.items()
            if at.topic in READS_OF[kind]
        }

    async def in_hand(self, name: str) -> int:
        """Return how much a process has in hand, by its own word and the broker's."""
        return self.processes[name].in_hand(await self.committed(name))

    async def _until_told(self, kind: str) -> dict[Place, int]:
        """Return what is committed, once there is a broker to say it."""
        found: dict[Place, int] = {}

        async def told() -> bool:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):  # KafkaError is a RuntimeError
                found.update(await self.committed(kind))
                return True
            return False

        await until_async(told, f"the broker says where {kind} stands", READY_S)
        return found

    async def ask(self, statement: str, *arguments: Any) -> list[Any]:
        """Return rows, asked for by the superuser."""
        connection = await asyncpg.connect(self.database.superuser_url, timeout=30)
        try:
            return list(await connection.fetch(statement, *arguments, timeout=120))
        finally:
            await connection.close()

    async def _until_ready(self, name: str, one: Running) -> None:
        async def ready() -> bool:
            if one.worker.returncode is not None:
                raise ChildError(f"{name} ended with {one.worker.returncode} at its start.\n{one.worker.tail()}")
            if one.worker.name in HTTP:
                return await _answers(one.url)
            one.listen()
            return one.said["ready"] > 0

        await until_async(ready, f"{name} is ready", READY_S)

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PASS_WINDOW_S": str(WINDOW_S),
            "HEALTH_REPORT_S": "0.5",
            "NETWORKS": f'["{NETWORK}"]',
            "OWNERS_FILE": str(folder / "owners.json"),
            "TOKEN_ISSUER": ISSUER,
            "TOKEN_PUBLIC_KEY_FILE": str(folder / "token.pub"),
            "AUDIT_PUBLIC_KEY_FILE": str(folder / "audit.pub"),
            "LOOKUP_KEY_FILE": str(folder / "lookup.key"),
            "CURSOR_KEY_FILE": str(folder / "cursor.key"),
        }


@asynccontextmanager
async def running(folder: Path, *, outage_s: float = 120.0) -> AsyncIterator[System]:
    """Start servers and all processes; stop every one of them at the end, whatever has become of it."""
    passwords = new_passwords()
    kafka = await asyncio.to_thread(kafka_starter.start, folder / "kafka")
    postgres: Postgres | None = None
    system: System | None = None
    try:
        postgres = await asyncio.to_thread(postgres_starter.start, folder / "postgres", passwords=passwords)
        await asyncio.to_thread(make_roles, postgres, passwords)
        database = await asyncio.to_thread(fresh, postgres)
        await make_topics(kafka.bootstrap)
        system = System(folder, kafka, postgres, database, outage_s)
        await system.start("maintain")
        await system.start("relay")
        await asyncio.gather(*(system.start(name) for name in ORDER if name not in system.processes))
        watching = asyncio.create_task(system.watch())
        try:
            yield system
        finally:
            watching.cancel()
            await asyncio.wait({watching})
    finally:
        for one in system.processes.values() if system is not None else ():
            _thaw(one.worker.pid)
        workers = [one.worker.stop for one in system.processes.values()] if system is not None else []
        await asyncio.gather(*(asyncio.to_thread(stop) for stop in workers))
        for server in (postgres, kafka):
            if server is not None and server.alive:
                _thaw(server.pid)
                await asyncio.to_thread(server.stop)


def _thaw(pid: int) -> None:
    """Let a process go on that may have been left frozen: it would not hear that it is to stop."""
    with contextlib.suppress(psutil.NoSuchProcess):
        resume([psutil.Process(pid), *psutil.Process(pid).children(recursive=True)])


def freeze(pid: int) -> None:
    """Stop a process where it is (SIGSTOP)."""
    os.kill(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let a frozen process go on (SIGCONT)."""
    os.kill(pid, signal.SIGCONT)


def freeze_postgres(system: System) -> list[psutil.Process]:
    """Stop all of PostgreSQL's processes where they are; return them."""
    postmaster = psutil.Process(system.postgres.pid)
    postmaster.suspend()  # first: it makes the others
    frozen = [postmaster]
    for one in postmaster.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.suspend()
            frozen.append(one)
    return frozen


def resume(processes: Iterable[psutil.Process]) -> None:
    """Let processes go on that were frozen; those that have ended meanwhile are let be."""
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.resume()


async def met_in_hand(
    system: System,
    names: Sequence[str],
    rng: Random,
    stop: Callable[[], T],
    go_on: Callable[[T], None],
    *,
    broker: bool = True,
) -> tuple[int, T]:
    """Freeze something while processes have something in hand; return how much, and what `stop` returned.

    How much is their own word, and the broker's on what is worked off; where the broker is what freezes, it is the
    broker's of before. After `TRIES_S` it is left frozen all the same, with nothing in hand.
    """
    said = await own_word(system, names)

    async def in_hand() -> int:
        held = said()
        return min(held, sum([await system.in_hand(name) for name in names])) if held and broker else held

    return await met(rng, stop, in_hand, go_on, said)


async def own_word(system: System, names: Sequence[str]) -> Callable[[], int]:
    """Return what tells how much processes have in hand, by what they log and what the broker says is done by now."""
    done = {name: await system.committed(name) for name in names}
    return lambda: sum(system.processes[name].in_hand(done[name]) for name in names)


async def met(
    rng: Random,
    stop: Callable[[], T],
    in_hand: Callable[[], Awaitable[int]],
    go_on: Callable[[T], None],
    said: Callable[[], int] | None = None,
) -> tuple[int, T]:
    """Freeze something at a moment at which there is something in hand; return how much, and what `stop` returned.

    What was met with nothing goes on until it says (`said`) that it has something, and a little longer: one that began
    anew must get through what it reads once more. After `TRIES_S` it is left frozen all the same, with nothing in hand.
    """
    end_s = time.monotonic() + TRIES_S
    await asyncio.sleep(rng.uniform(0.05, 0.8))
    while True:
        stopped = stop()
        held = await in_hand()
        if held > 0 or time.monotonic() > end_s:
            return held, stopped
        await asyncio.sleep(BACKLOG_S)
        go_on(stopped)
        quiet_s = time.monotonic() + QUIET_S
        while said is not None and not said() and time.monotonic() < quiet_s:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.001)
        if said is None or rng.random() < 0.5:  # else at once: light work is soon done
            await asyncio.sleep(rng.uniform(0, AT_WORK_S))


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            return (await client.get(f"{url}/readyz")).is_success
    except httpx.HTTPError:
        return False
