"""Topics that are given more partitions, as docs/scaling.md says: no pass is lost, or there twice."""

import asyncio
from collections import Counter
from typing import Final

import msgspec
import pytest
from aiokafka.admin import NewPartitions

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics
from schemas.detections import Detection, event_id
from services import indexer
from services.demo.kafka import Kafka
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection
from tests.support.flow import ENRICHER, INDEXER, Flow, flowing, lately
from tests.support.topics import admin, make_topics

BEFORE, AFTER = 8, 12
CAMERAS: Final = [f"parted-{number}" for number in range(24)]
VEHICLES: Final = 10
WINDOW_S: Final = 2.0


def reads(first: int) -> list[Detection]:
    """Return two reads each of vehicles that pass every camera; `first`: the number of the first vehicle."""
    return [
        detection(
            vehicle,
            **lately(vehicle * 60 + again),
            camera_id=own,
            event_id=event_id(own, f"{vehicle} {again}"),
            plate_raw=f"P{position:02d}X{vehicle:03d}",
        )
        for again in range(2)
        for vehicle in range(first, first + VEHICLES)
        for position, own in enumerate(CAMERAS)
    ]


async def worked_off(flow: Flow, items: list[Detection]) -> None:
    """Push reads while both stages run; then do what the page says: no lag, two windows, both stopped."""
    await stages.put_detections(flow.publisher, items)
    async with flow.enriching(pass_window_s=WINDOW_S), stages.running(indexer.build(flow.settings)):
        await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
        await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
        await asyncio.sleep(2 * WINDOW_S)


async def test_more_partitions_lose_and_double_no_pass(
    own_kafka: Kafka, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with flowing(own_kafka, database) as flow:
        await stages.put_cameras(flow.publisher, *(camera(own)[0] for own in CAMERAS))
        await worked_off(flow, reads(0))
        # A static member that is back within its session is given what it had, and none of the new partitions.
        await asyncio.sleep(2 * flow.settings.session_timeout_s)
        await _add_partitions(own_kafka, monkeypatch)
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=30) as publisher:  # as gateways that start again
            flow = flow._replace(publisher=publisher)
            await worked_off(flow, reads(VEHICLES))
            assert min(await _highest_used(flow)) >= BEFORE, "the new partitions are used"
            before = await _passes(database)
            # Everything once more, as a camera sends what was not acknowledged: in part to where none of it was before.
            await worked_off(flow, reads(0) + reads(VEHICLES))
    found = await _passes(database)
    assert len(found) == 2 * VEHICLES * len(CAMERAS)
    assert set(found.values()) == {1}
    assert found == before


async def _add_partitions(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the topics, and the number in their files."""
    async with admin(kafka.bootstrap) as client:
        wanted = {topic: NewPartitions(total_count=AFTER) for topic in (topics.DETECTIONS, topics.SIGHTINGS)}
        await client.create_partitions(wanted)
    load = topics.load

    def changed(name: str) -> topics.Topic:
        topic = load(name)
        return msgspec.structs.replace(topic, partitions=AFTER) if topic.partitions == BEFORE else topic

    monkeypatch.setattr(topics, "load", changed)
    await make_topics(kafka.bootstrap)  # which refuses another number than the file's


async def _passes(database: Database) -> Counter[tuple[str, str]]:
    """Return how often each vehicle is in the index at each camera."""
    rows = [row for own in CAMERAS for row in await stages.rows_of(database, own)]
    return Counter((row["camera_id"], row["plate_key"]) for row in rows)


async def _highest_used(flow: Flow) -> list[int]:
    """Return the highest partition of each topic of which its group has read something."""
    done = [await stages.committed(flow.kafka.bootstrap, group) for group in (ENRICHER, INDEXER)]
    return [max(number for number, offset in offsets.items() if offset > 0) for offsets in done]
