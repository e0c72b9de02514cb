"""An enricher with transactions that is killed, or frozen until another one has its partitions: nothing is double."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest_asyncio

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics, wire
from schemas.detections import Detection, event_id
from schemas.sightings import Sighting
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.detections import detection
from tests.support.flow import ENRICHER, lately
from tests.support.topics import Tail, make_topics, tail
from tests.support.wait import until, until_async

CAMERAS = 12
LOAD = 6000
SESSION_S = 6.0


class Ground(NamedTuple):
    """A broker of this test's own, since its sessions end, and the load in it."""

    kafka: Kafka
    publisher: KafkaPublisher
    sightings: Tail

    def settings(self, instance: str) -> Settings:
        return stages.settings(
            self.kafka.bootstrap,
            instance=instance,
            batch_records=100,
            session_timeout_s=SESSION_S,
            enricher_transactions=True,
            log_level="debug",
        )

    async def passes(self) -> Counter[str]:
        """Return how often each pass stands in the topic, in committed transactions."""
        return Counter(str(wire.decode(value, Sighting).pass_id) for _, value in await self.sightings.records())


@pytest_asyncio.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    kafka = await asyncio.to_thread(kafka_starter.start, tmp_path / "kafka")
    try:
        await make_topics(kafka.bootstrap)
        async with (
            KafkaPublisher(kafka.bootstrap, timeout_s=60) as publisher,
            tail(kafka.bootstrap, topics.SIGHTINGS) as sightings,
        ):
            await stages.put_cameras(publisher, *(camera(name(number))[0] for number in range(CAMERAS)))
            yield Ground(kafka, publisher, sightings)
    finally:
        await asyncio.to_thread(kafka.stop)


def name(number: int) -> str:
    return f"zombie-{number % CAMERAS}"


def make_load() -> list[Detection]:
    return [
        detection(
            number,
            **lately(number // 10),
            camera_id=name(number),
            event_id=event_id(name(number), str(number)),
            plate_raw=f"ZMB{number:05d}",
        )
        for number in range(LOAD)
    ]


async def frozen_in_a_batch(worker: stages.Worker, ground: Ground) -> None:
    """Freeze a worker at a moment at which it has fetched what it has not committed."""
    seen = 0
    while True:
        await asyncio.to_thread(until, lambda seen=seen: len(worker.said("fetched")) > seen, "it works")  # type: ignore[misc]
        os.kill(worker.pid, signal.SIGSTOP)
        if await in_hand(worker, ground):
            return
        seen = len(worker.said("fetched"))
        os.kill(worker.pid, signal.SIGCONT)


async def in_hand(worker: stages.Worker, ground: Ground) -> int:
    committed = await stages.committed(ground.kafka.bootstrap, ENRICHER)
    fetched: dict[int, int] = {}
    for line in worker.said("fetched"):
        fetched.update({int(place.split("/")[1]): offset for place, offset in line["positions"].items()})
    return sum(max(0, offset - committed.get(partition, 0)) for partition, offset in fetched.items())


async def test_a_worker_that_thaws_after_its_session_writes_nothing_twice(ground: Ground, tmp_path: Path) -> None:
    load = make_load()
    await stages.put_detections(ground.publisher, load)
    zombie = stages.Worker("enricher", ground.settings("1"), tmp_path / "zombie")
    workers = [zombie]
    try:
        await frozen_in_a_batch(zombie, ground)
        workers.append(stages.Worker("enricher", ground.settings("2"), tmp_path / "successor"))
        await asyncio.to_thread(workers[1].wait_until_ready)
        await asyncio.to_thread(
            until, lambda: any(len(line["partitions"]) == 8 for line in workers[1].said("assigned")), "it has them all"
        )
        os.kill(zombie.pid, signal.SIGCONT)
        # One that was frozen before its write had begun hears of its group first, and lets go of the batch.
        await asyncio.to_thread(
            until,
            lambda: zombie.returncode is not None or len(zombie.said("assigned")) > 1,
            "the zombie has ended, or is a member like any other",
            120,
        )
        await stages.until_worked_off(ground.kafka.bootstrap, ENRICHER)
    finally:
        os.kill(zombie.pid, signal.SIGCONT) if zombie.returncode is None else None
        for worker in workers:
            worker.stop()
    refusals = zombie.said("failed")
    assert zombie.returncode == len(refusals), "it ends with 1 if it is refused, and with 0 if it is told to"
    for line in refusals:
        assert line["error"].partition(" ")[0] == "Fenced"
        assert "another worker" in line["reason"]
    found = await ground.passes()
    assert found.keys() == {str(item.event_id) for item in load}, "none is lost"
    assert set(found.values()) == {1}, "none is there twice"


async def test_kills_leave_nothing_twice_in_the_topic(ground: Ground, tmp_path: Path) -> None:
    load = make_load()
    await stages.put_detections(ground.publisher, load)
    for life in range(4):
        worker = stages.Worker("enricher", ground.settings("1"), tmp_path / str(life))
        await frozen_in_a_batch(worker, ground)
        worker.kill()
    last = stages.Worker("enricher", ground.settings("1"), tmp_path / "last")
    try:

        async def whole() -> bool:
            return len(await ground.passes()) == LOAD

        await until_async(whole, "every pass is there", 120)
        await stages.until_worked_off(ground.kafka.bootstrap, ENRICHER)
    finally:
        last.stop()
    found = await ground.passes()
    assert found.keys() == {str(item.event_id) for item in load}, "none is lost"
    assert set(found.values()) == {1}, "none is there twice"
