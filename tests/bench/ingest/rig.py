"""What the benchmark stands on: a broker, a database, the workers as users run them, and what each takes of the CPU."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import psutil

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.migrations import roles
from schemas.migrations.run import upgrade
from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.kafka import Kafka
from services.demo.postgres import Postgres
from services.settings import Settings
from tests.bench.ingest import load
from tests.bench.ingest.children import Failed
from tests.support.database import Database, make_roles, new_passwords
from tests.support.stages import Worker, around_today, make_days
from tests.support.topics import make_topics

POSTGRES: Final = {"shared_buffers": "4GB", "max_wal_size": "16GB", "checkpoint_timeout": "15min"}
"""What the benchmark sets of PostgreSQL besides `deploy/postgres/postgresql.conf`: see docs/operating.md."""

DATABASE: Final = "bench"


class Usage(NamedTuple):
    """CPU seconds of each part, and the most memory (bytes) that each process of ours ever had."""

    cpu_s: dict[str, float]
    peak: dict[str, int]

    def since(self, before: "Usage") -> "Usage":
        """Return what was used since another look."""
        return Usage({name: s - before.cpu_s.get(name, 0.0) for name, s in self.cpu_s.items()}, self.peak)


class Rig:
    """Servers that run, and a connection to the index as its superuser."""

    def __init__(self, folder: Path, kafka: Kafka, postgres: Postgres, database: Database) -> None:
        """Know the parts; `open` connects."""
        self.folder = folder
        self.kafka = kafka
        self.postgres = postgres
        self.database = database
        self.cameras = load.cameras()
        self._connection: Any = None

    @property
    def bootstrap(self) -> str:
        """Where the broker is."""
        return self.kafka.bootstrap

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Make topics, days and cameras, and stay connected while the block runs."""
        await make_topics(self.bootstrap)
        await make_days(self.database, around_today())
        await _register(self.bootstrap, self.cameras)
        self._connection = await asyncpg.connect(self.database.superuser_url, command_timeout=600)
        try:
            yield
        finally:
            await self._connection.close()

    def worker(self, name: str) -> Worker:
        """Start a stage as a process, with default settings."""
        settings = Settings(kafka_bootstrap=self.bootstrap, database_url=self.database.url("platetrail_ingest"))
        return Worker(name, settings, self.folder)

    async def empty(self) -> None:
        """Take every row out of the index, and let the disk come to rest."""
        await self._connection.execute("truncate reads.sighting")
        await self._connection.execute("checkpoint")

    async def rest(self) -> None:
        """Let what was written before come to the disk, so that it costs the next case nothing."""
        await self._connection.execute("checkpoint")

    async def visible(self) -> int:
        """Return how many passes of the load are in the index; the rows of plates that were voted out are none."""
        found: int = await self._connection.fetchval(
            "select count(*) from reads.sighting where superseded_by is null "
            "and camera_id between $1 and $2 and captured_at > now() - interval '1 day'",
            *(self.cameras[0].camera_id, self.cameras[-1].camera_id),
        )
        return found

    def usage(self, pids: Mapping[str, int]) -> Usage:
        """Return what broker, database, these processes and we ourselves have used so far."""
        ours = self._connection.get_server_pid()  # looking on is no work of the index's
        every = {"broker": self.kafka.pid, **pids}
        cpu_s = {name: _cpu_s(pid) for name, pid in every.items()}
        cpu_s["postgres"] = _cpu_s(self.postgres.pid, without=ours)
        cpu_s["load"] = cpu_s.get("load", 0.0) + sum(psutil.Process().cpu_times()[:2])
        return Usage(cpu_s, {name: _peak(pid) for name, pid in pids.items()})


def _cpu_s(pid: int, without: int = 0) -> float:
    """Return the CPU seconds of a process and all that it started, those that have ended too."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        if one.pid != without:
            with suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])
    return total


def _peak(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return psutil.Process(pid).memory_info().rss


async def _register(bootstrap: str, cameras: list[Camera]) -> None:
    async with KafkaPublisher(bootstrap, timeout_s=60) as publisher:
        records = [(one.camera_id.encode(), wire.encode(one)) for one in cameras]
        refused = [result for result in await publisher.publish(topics.CAMERAS, records) if result is not None]
    if refused:
        raise Failed(f"the broker refuses cameras: {refused[0]}")


@contextmanager
def servers(folder: Path, keep: Path | None = None) -> Iterator[Rig]:
    """Start a broker and a database in a folder, the database in `keep` if that is given; stop them at the end.

    A database that was left there is found again. Raises ChildError if one does not start.
    """
    passwords = new_passwords()
    kafka = kafka_starter.start(folder / "kafka", for_long=True)
    try:
        postgres = postgres_starter.start((keep or folder) / "postgres", passwords=passwords, options=POSTGRES)
        try:
            make_roles(postgres, passwords)
            database = Database(DATABASE, postgres)
            asyncio.run(_prepare(postgres, database))
            yield Rig(folder, kafka, postgres, database)
        finally:
            postgres.stop()
    finally:
        kafka.stop()


async def _prepare(postgres: Postgres, database: Database) -> None:
    connection = await asyncpg.connect(postgres.superuser_url())
    try:
        there = await connection.fetchval("select true from pg_database where datname = $1", DATABASE)
        for statement in () if there else roles.database(DATABASE):
            await connection.execute(statement)
    finally:
        await connection.close()
    await upgrade(database.url(roles.MIGRATE))
