"""Kafka or PostgreSQL dies in the middle of the work and comes back: the workers wait, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest_asyncio

from ingest.adapters.kafka import KafkaPublisher
from schemas.detections import Detection, event_id
from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.kafka import Kafka
from services.demo.postgres import Postgres
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database, fresh, make_roles, new_passwords
from tests.support.detections import detection
from tests.support.topics import make_topics
from tests.support.wait import until, until_async

LOAD = 5000
OWN = "outage-1"


class Servers(NamedTuple):
    """Servers of this test's own, since it kills them, and the workers on them."""

    kafka: Kafka
    postgres: Postgres
    database: Database
    enricher: stages.Worker
    indexer: stages.Worker


@pytest_asyncio.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    passwords = new_passwords()
    kafka = await asyncio.to_thread(kafka_starter.start, tmp_path / "kafka")
    postgres = await asyncio.to_thread(postgres_starter.start, tmp_path / "postgres", passwords=passwords)
    workers: list[stages.Worker] = []
    try:
        await asyncio.to_thread(make_roles, postgres, passwords)
        database = await asyncio.to_thread(fresh, postgres)
        await make_topics(kafka.bootstrap)
        await stages.make_days(database, stages.around_today())
        of = stages.settings(kafka.bootstrap, database, batch_records=50, log_level="debug")
        workers += [stages.Worker(name, of, tmp_path) for name in ("enricher", "indexer")]
        for worker in workers:
            await asyncio.to_thread(worker.wait_until_ready)
        yield Servers(kafka, postgres, database, *workers)
    finally:
        for stop in (*(worker.stop for worker in workers), postgres.stop, kafka.stop):
            await asyncio.to_thread(stop)


async def test_postgres_is_killed_and_comes_back(servers: Servers) -> None:
    load = await begin(servers)
    await asyncio.to_thread(until, lambda: len(servers.indexer.said("committed")) > 5, "some batches are in")
    servers.postgres.kill()
    await asyncio.to_thread(until, lambda: bool(servers.indexer.said("waiting")), "the indexer has seen it")
    before = await stages.committed(servers.kafka.bootstrap, "platetrail-indexer")
    await asyncio.sleep(1)
    assert await stages.committed(servers.kafka.bootstrap, "platetrail-indexer") == before
    assert sum(before.values()) < LOAD, "it was killed in the middle"
    await asyncio.to_thread(servers.postgres.restart)
    await nothing_is_lost(servers, load)


async def test_kafka_is_killed_and_comes_back(servers: Servers) -> None:
    load = await begin(servers)
    await asyncio.to_thread(until, lambda: len(servers.indexer.said("committed")) > 5, "some batches are in")
    servers.kafka.kill()
    assert len(await stages.rows_of(servers.database, OWN)) < LOAD, "it was killed in the middle"
    await asyncio.sleep(2)
    await asyncio.to_thread(servers.kafka.restart)
    await nothing_is_lost(servers, load)


async def begin(servers: Servers) -> list[Detection]:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=5)
    load = [
        detection(
            number, camera_id=OWN, event_id=event_id(OWN, str(number)), captured_at=start + timedelta(seconds=number)
        )
        for number in range(LOAD)
    ]
    async with KafkaPublisher(servers.kafka.bootstrap, timeout_s=60) as publisher:
        await stages.put_cameras(publisher, camera(OWN)[0])
        await stages.put_detections(publisher, load)
    return load


async def nothing_is_lost(servers: Servers, load: list[Detection]) -> None:
    async def whole() -> bool:
        assert [servers.enricher.returncode, servers.indexer.returncode] == [None, None], "the workers live on"
        return len(await stages.rows_of(servers.database, OWN)) >= len(load)

    await until_async(whole, "every pass is in the index", 120)
    found = [row["pass_id"] for row in await stages.rows_of(servers.database, OWN)]
    assert sorted(found) == sorted(item.event_id for item in load)
    logged = servers.enricher.output() + servers.indexer.output()
    assert "ABC" not in logged
