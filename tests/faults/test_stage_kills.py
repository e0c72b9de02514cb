"""20,000 detections, and workers killed with -9 in the middle of them: none is lost, and none is there twice."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics
from schemas.detections import Detection, event_id
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection
from tests.support.topics import make_topics, tail
from tests.support.wait import until

LOAD = 20_000
CAMERAS = 40
BATCH = 200
KILLS_EACH = 2
BATCHES_BEFORE_A_KILL = 8


@pytest_asyncio.fixture
async def publisher(kafka: Kafka, database: Database) -> AsyncIterator[KafkaPublisher]:
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    async with KafkaPublisher(kafka.bootstrap, timeout_s=60) as publisher:
        yield publisher


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return a function that prints past pytest's capture: what was killed, and when, is part of the result."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)  # noqa: T201

    return say


async def test_a_kill_loses_nothing_and_doubles_nothing(
    kafka: Kafka, database: Database, publisher: KafkaPublisher, tmp_path: Path, say: Callable[[str], None]
) -> None:
    load = make_load()
    await stages.put_cameras(publisher, *(camera(f"kills-{number}")[0] for number in range(CAMERAS)))
    async with tail(kafka.bootstrap, topics.SIGHTINGS) as sightings:
        await stages.put_detections(publisher, load)
        of = stages.settings(kafka.bootstrap, database, batch_records=BATCH, log_level="debug")
        workers = await asyncio.gather(*(mauled(name, of, tmp_path, say) for name in ("enricher", "indexer")))
        try:
            for worker in workers:
                await stages.until_worked_off(kafka.bootstrap, f"platetrail-{worker.name}")
        finally:
            for worker in workers:
                worker.stop()
        published = len(await sightings.records())

    found = Counter([row["pass_id"] for number in range(CAMERAS) for row in await rows(database, number)])
    say(f"{len(load)} detections, {published} records of sightings, {sum(found.values())} passes in the index")
    pushed = {item.event_id for item in load}
    assert len(pushed) == LOAD
    assert pushed - found.keys() == set(), "none is lost"
    assert found.keys() - pushed == set(), "none is made up"
    assert set(found.values()) == {1}, "none is there twice"
    assert [worker.returncode for worker in workers] == [0, 0]


def make_load() -> list[Detection]:
    """Return the load: the list against which the index is counted."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=10)
    return [
        detection(
            number,
            camera_id=f"kills-{number % CAMERAS}",
            event_id=event_id(f"kills-{number % CAMERAS}", str(number)),
            captured_at=start + timedelta(seconds=number),
            plate_raw=f"KLL{number:05d}",
        )
        for number in range(LOAD)
    ]


async def rows(database: Database, number: int) -> list[dict[str, object]]:
    return [dict(row) for row in await stages.rows_of(database, f"kills-{number}")]


async def mauled(name: str, of: Settings, folder: Path, say: Callable[[str], None]) -> stages.Worker:
    """Run a worker that is killed again and again in the middle of its work; return its last life."""
    for life in range(KILLS_EACH):
        worker = await asyncio.to_thread(stages.Worker, name, of, folder / str(life))
        held, done = await killed_with_records_in_hand(worker, of)
        say(f"{name}: killed with {held} records fetched and not committed, {done} committed so far")
        assert held > 0
    return await asyncio.to_thread(stages.Worker, name, of, folder / "last")


async def killed_with_records_in_hand(worker: stages.Worker, of: Settings) -> tuple[int, int]:
    """Kill a worker with -9 at a moment at which it holds records that it has fetched and not committed.

    It is frozen first: what it has fetched is its own word (its log), what is committed is the broker's, and neither
    moves while they are compared. Return how many records that were, and how many were committed since it started.
    """
    group = f"platetrail-{worker.name}"
    await asyncio.to_thread(worker.wait_until_ready)
    at_start = sum((await stages.committed(of.kafka_bootstrap, group)).values())
    while True:
        await asyncio.to_thread(
            until, lambda: len(worker.said("fetched")) >= BATCHES_BEFORE_A_KILL, f"{worker.name} is in the middle"
        )
        # Anywhere in a batch: before the write, within it, or between write and commit.
        await asyncio.sleep(random.uniform(0, 0.05))
        os.kill(worker.pid, signal.SIGSTOP)
        if await in_hand(worker, of) > 0:
            break
        os.kill(worker.pid, signal.SIGCONT)
    worker.kill()
    assert worker.returncode == -signal.SIGKILL
    # Once more: a commit may have been on its way when the worker froze.
    held = await in_hand(worker, of)
    return held, sum((await stages.committed(of.kafka_bootstrap, group)).values()) - at_start


async def in_hand(worker: stages.Worker, of: Settings) -> int:
    """Return how many records a worker has fetched and not committed."""
    committed = await stages.committed(of.kafka_bootstrap, f"platetrail-{worker.name}")
    fetched: dict[int, int] = {}
    for line in worker.said("fetched"):
        fetched.update({int(place.split("/")[1]): offset for place, offset in line["positions"].items()})
    return sum(max(0, offset - committed.get(partition, 0)) for partition, offset in fetched.items())
