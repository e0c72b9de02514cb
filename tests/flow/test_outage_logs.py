"""What workers log while a server is away: little, each line of it JSON, and no plate in any."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from ingest.adapters.kafka import KafkaPublisher
from services.demo.kafka import Kafka
from services.observe.logs import Forward
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection, sighting
from tests.support.flow import ENRICHER, INDEXER, lately
from tests.support.topics import make_topics
from tests.support.wait import until

GONE_S: Final = 12.0
"""Longer than a library's line is held back, and than dozens of a client's attempts to connect."""

PLATE: Final = "HANU7E"

WORKERS: Final = ("enricher", "indexer")


async def admitting(database: Database, anybody: bool) -> None:
    """Let clients into the database, or let none in and throw those out that are."""
    statements = [f"alter database {database.name} connection limit {-1 if anybody else 0}"]
    if not anybody:
        statements.append(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'")
    await asyncio.to_thread(database.postgres.administer, statements)


def busiest(lines: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Return how often each line of code spoke: what a library says by its place, our own words by the event."""
    return Counter((line["event"], str(line.get("where", ""))) for line in lines)


async def test_a_broker_that_is_away_fills_no_log(own_kafka: Kafka, database: Database, tmp_path: Path) -> None:
    await make_topics(own_kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    settings = stages.settings(own_kafka.bootstrap, database)
    workers = [stages.Worker(name, settings, tmp_path) for name in WORKERS]
    items = [
        detection(number, **lately(number), camera_id="away", plate_raw=f"{PLATE}{number:04d}")
        for number in range(40)
    ]  # fmt: skip
    try:
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=60) as publisher:
            await stages.put_cameras(publisher, camera("away")[0])
            for worker in workers:
                await asyncio.to_thread(worker.wait_until_ready)
            await stages.put_detections(publisher, items[:20])
            for group in (ENRICHER, INDEXER):
                await stages.until_worked_off(own_kafka.bootstrap, group)
            await stages.put_detections(publisher, items[20:30])  # some are in hand, or have just been written
        before = [len(worker.lines()) for worker in workers]
        own_kafka.kill()
        await asyncio.sleep(GONE_S)
        said = [worker.lines()[number:] for worker, number in zip(workers, before, strict=True)]
        await asyncio.to_thread(own_kafka.restart)
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=60) as publisher:
            await stages.put_detections(publisher, items[30:])
            for group in (ENRICHER, INDEXER):
                await stages.until_worked_off(own_kafka.bootstrap, group)
    finally:
        for worker in workers:
            worker.stop()
    assert len(await stages.rows_of(database, "away")) == 40
    for worker, lines in zip(workers, said, strict=True):
        assert worker.returncode == 0
        assert lines, "an outage is told"
        # Each line of code once, and once more when the time for which it is held back is over.
        assert max(busiest(lines).values()) <= 1 + GONE_S // Forward.QUIET_S, busiest(lines)
        _holds_json_and_no_plate(worker)


async def test_a_database_that_is_away_is_told_of_once(own_kafka: Kafka, database: Database, tmp_path: Path) -> None:
    await make_topics(own_kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    worker = stages.Worker("indexer", stages.settings(own_kafka.bootstrap, database), tmp_path)
    items = [
        sighting(number, **lately(number), camera_id="away-too", plate=f"{PLATE}{number:02d}") for number in range(20)
    ]
    try:
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=60) as publisher:
            await asyncio.to_thread(worker.wait_until_ready)
            before = len(worker.lines())
            await admitting(database, False)
            await stages.put_sightings(publisher, items)
            await asyncio.to_thread(until, lambda: bool(worker.said("waiting")), "it waits")
            await asyncio.sleep(GONE_S)
            said = worker.lines()[before:]
            await admitting(database, True)
            await stages.until_worked_off(own_kafka.bootstrap, INDEXER)
    finally:
        await admitting(database, True)
        worker.stop()
    assert busiest(said)["waiting", ""] == 1
    assert len(said) <= 3, busiest(said)
    assert len(worker.said("back")) == 1
    _holds_json_and_no_plate(worker)


def _holds_json_and_no_plate(worker: stages.Worker) -> None:
    for line in worker.output().splitlines():
        assert isinstance(json.loads(line), dict)
        assert PLATE not in line
