"""Enricher and indexer in tests: inside the test's process, or as processes of their own as users run them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest import deadletter
from ingest.adapters.coordinators import offsets_of
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.sinks import sighting_key
from ingest.stage import Stage
from schemas import offsets, topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from schemas.offsets import Written
from schemas.sightings import Sighting
from services.demo.places import ROOT
from services.demo.process import Child
from services.settings import Settings
from tests.support.database import Database
from tests.support.topics import Tail, admin
from tests.support.wait import until_async

SOURCES: Mapping[str, str] = {
    "platetrail-enricher": topics.DETECTIONS,
    "platetrail-indexer": topics.SIGHTINGS,
    "platetrail-matcher": topics.EPHEMERAL,
    "platetrail-counting": topics.DEAD_LETTERS,
}
"""Each stage's group, and the topic it reads."""


def settings(bootstrap: str, database: Database | None = None, **changes: Any) -> Settings:
    """Return the settings of a stage on these servers."""
    url = database.url("platetrail_ingest") if database is not None else ""
    return Settings(**{"kafka_bootstrap": bootstrap, "database_url": url, "session_timeout_s": 6.0, **changes})


class Worker(Child):
    """A stage as a process: `python -m services.<name>`, or what `module` names."""

    def __init__(self, name: str, of: Settings, folder: Path, *, module: str = "", **more: str) -> None:
        """Start it; its log is in the folder. `more` are variables of its environment, without the prefix."""
        env = {
            "PLATETRAIL_KAFKA_BOOTSTRAP": of.kafka_bootstrap,
            "PLATETRAIL_DATABASE_URL": of.database_url,
            "PLATETRAIL_INSTANCE": of.instance,
            "PLATETRAIL_BATCH_RECORDS": str(of.batch_records),
            "PLATETRAIL_SESSION_TIMEOUT_S": str(of.session_timeout_s),
            "PLATETRAIL_OUTAGE_LIMIT_S": str(of.outage_limit_s),
            "PLATETRAIL_DRAIN_S": str(of.drain_s),
            "PLATETRAIL_LOG_LEVEL": of.log_level,
            "PLATETRAIL_ENRICHER_TRANSACTIONS": str(of.enricher_transactions).lower(),
            "PLATETRAIL_TRACES_ENDPOINT": of.traces_endpoint,
            "PLATETRAIL_KAFKA_SECURITY": of.kafka_security,
            "PLATETRAIL_KAFKA_USER": of.kafka_user,
        }
        if of.networks:
            env |= {"PLATETRAIL_NETWORKS": json.dumps(of.networks), "PLATETRAIL_LISTEN_PORT": str(of.listen_port)}
        files = {"PASSWORD": of.kafka_password_file, "CA": of.kafka_ca_file}
        env |= {f"PLATETRAIL_KAFKA_{name}_FILE": str(file) for name, file in files.items() if file is not None}
        env |= {f"PLATETRAIL_{variable}": value for variable, value in more.items()}
        argv = [sys.executable, "-m", *(module or f"services.{name}").split()]
        super().__init__(name, argv, log_file=folder / f"{name}.log", env=env, cwd=ROOT)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged since this start."""
        whole = self.output().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return its log lines of one event."""
        return [line for line in self.lines() if line["event"] == event]

    def failure(self) -> tuple[str, str]:
        """Return which error has ended it, and its reason; it must have failed, and have said so last."""
        assert self.returncode == 1, self.output()
        last = self.lines()[-1]
        assert last["event"] == "failed"
        return last["error"].partition(" ")[0], last["reason"]

    def wait_until_ready(self) -> None:
        """Wait for its own word. Raises ChildError if it ends first."""
        self.wait_ready(lambda: bool(self.said("ready")), 60)


def json_line(line: bytes) -> dict[str, Any]:
    """Return what a line of a log says; nothing if it is none of ours."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@asynccontextmanager
async def running(stage: Stage[Any, Any, Any]) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a stage while the block runs, then stop it as a signal would. Raises what it raised."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(stage.run(stop, ready.set))
    await asyncio.wait({task, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield task
    finally:
        ready.set()
        stop.set()
        await asyncio.wait({task})
    await task


async def from_now_on(bootstrap: str) -> None:
    """Move enricher and indexer to the end of their topics: what other tests have written is passed over."""
    for group in ("platetrail-enricher", "platetrail-indexer"):
        await move(bootstrap, group)


async def move(bootstrap: str, group: str, *, beyond: int = 0, topic: str = "", bare: bool = False) -> None:
    """Move a group to the end of its topic, or beyond it; `bare`: with nothing of ours beside the offsets.

    As its member `1`: a worker that stopped is still a member (a static one) until its session ends, and a group with
    members takes offsets from nobody else.
    """
    topic = topic or SOURCES[group]
    await _commit_as_member(
        bootstrap, group, topic, lambda ends: {at: end + beyond for at, end in ends.items()}, bare=bare
    )


async def _commit_as_member(
    bootstrap: str, group: str, topic: str, marks: Callable[[dict[int, int]], dict[int, int]], *, bare: bool = False
) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, group_instance_id=f"{group}-1", enable_auto_commit=False
    )
    consumer.subscribe([topic])
    await consumer.start()

    async def whole() -> bool:
        return len(consumer.assignment()) == topics.load(topic).partitions

    try:
        await until_async(whole, "one member has all partitions")
        ends = await consumer.end_offsets(list(consumer.assignment()))
        marked = marks({at.partition: end for at, end in ends.items()})
        await consumer.commit(
            {TopicPartition(topic, partition): offset if bare else mark(offset) for partition, offset in marked.items()}
        )
    finally:
        await consumer.stop()


def mark(offset: int) -> tuple[int, str]:
    """Return what a group commits that has written everything before an offset, and has no pass open."""
    return offset, offsets.encode(Written(done=offset))


async def rewind(bootstrap: str, group: str, offsets_: Mapping[int, int]) -> None:
    """Move a group back to these offsets of its topic, as its member `1` (see `move`)."""
    await _commit_as_member(bootstrap, group, SOURCES[group], lambda ends: {**dict.fromkeys(ends, 0), **offsets_})


async def committed(bootstrap: str, group: str) -> dict[int, int]:
    """Return partition -> the offset before which all is written, by the broker's word on a group.

    Partitions without one are left out.
    """
    async with admin(bootstrap) as client:
        found = await offsets_of(client, group)
    return {
        at.partition: offsets.done(one.offset, one.metadata) for at, one in found.items() if at.topic == SOURCES[group]
    }


async def lag(bootstrap: str, group: str) -> int:
    """Return how many messages a group has not written."""
    done = await committed(bootstrap, group)
    starts, ends = await _bounds(bootstrap, SOURCES[group])
    return sum(end - done.get(number, starts[number]) for number, end in ends.items())


async def ends(bootstrap: str, topic: str) -> int:
    """Return how many messages were ever appended to a topic."""
    return sum((await _bounds(bootstrap, topic))[1].values())


async def _bounds(bootstrap: str, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first offset of each partition that can be read, and the one after the last."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
    await consumer.start()
    try:
        # Nothing is assigned: a fetch would go first, and wait for records before these are answered.
        parts = [TopicPartition(topic, number) for number in range(topics.load(topic).partitions)]
        starts, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    finally:
        await consumer.stop()
    return {at.partition: one for at, one in starts.items()}, {at.partition: one for at, one in ends.items()}


async def until_worked_off(bootstrap: str, group: str, limit_s: float = 120.0) -> None:
    """Wait until a group has written everything, and said so."""

    async def done() -> bool:
        return await lag(bootstrap, group) == 0

    await until_async(done, f"{group} has no lag", limit_s)


async def put_detections(publisher: KafkaPublisher, items: Iterable[Detection]) -> None:
    """Publish detections as the gateway does."""
    records = [(item.camera_id.encode(), wire.encode(item)) for item in items]
    assert not any(await publisher.publish(topics.DETECTIONS, records))


async def put_sightings(publisher: KafkaPublisher, items: Iterable[Sighting]) -> None:
    """Publish sightings as the enricher does."""
    assert not any(
        await publisher.publish(topics.SIGHTINGS, [(sighting_key(item), wire.encode(item)) for item in items])
    )


async def put_cameras(publisher: KafkaPublisher, *cameras: Camera) -> None:
    """Publish cameras as the relay does."""
    records = [(camera.camera_id.encode(), wire.encode(camera)) for camera in cameras]
    assert not any(await publisher.publish(topics.CAMERAS, records))


async def letters(since: Tail, stage: str) -> list[DeadLetter]:
    """Return the dead letters of a stage in a tail of their topic, each checked to stand under its key."""
    found = [(key, wire.decode(value, DeadLetter)) for key, value in await since.records()]
    assert all(key == deadletter.key(letter) for key, letter in found)
    return [letter for _, letter in found if letter.stage == stage]


async def make_days(database: Database, days: Iterable[date]) -> None:
    """Make days of the index, as maintain does."""
    connection = await asyncpg.connect(database.url("platetrail_maintain"))
    for day in days:
        await connection.execute("select reads.make_day($1)", day)
    await connection.close()


def around_today() -> Sequence[date]:
    """Return yesterday, today and tomorrow."""
    today = datetime.now(UTC).date()
    return [today + timedelta(days=shift) for shift in (-1, 0, 1)]


async def rows_of(database: Database, camera_id: str) -> list[asyncpg.Record]:
    """Return a camera's rows of the index, in order of capture, as a superuser sees them."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(
            "select * from reads.sighting where camera_id = $1 order by captured_at, pass_id, plate_key", camera_id
        )
    finally:
        await connection.close()
    return found
