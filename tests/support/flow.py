"""Enricher and indexer on real servers, with a camera of the test's own."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from schemas import topics
from schemas.cameras import Camera
from schemas.detections import Detection, event_id
from schemas.sightings import Sighting
from services import enricher, indexer
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection, sighting
from tests.support.topics import Tail, make_topics, tail

INDEXER, ENRICHER = "platetrail-indexer", "platetrail-enricher"
_numbers = itertools.count(1)


class Flow(NamedTuple):
    """Servers, a publisher, and a camera of this test's own."""

    kafka: Kafka
    database: Database
    publisher: KafkaPublisher
    camera: Camera
    dead_letters: Tail
    sightings: Tail

    @property
    def settings(self) -> Settings:
        return stages.settings(self.kafka.bootstrap, self.database)

    def detection(self, number: int = 0, **changes: Any) -> Detection:
        own = self.camera.camera_id
        return detection(
            number, **{**lately(number), "camera_id": own, "event_id": event_id(own, str(number)), **changes}
        )

    def sighting(self, number: int = 0, **changes: Any) -> Sighting:
        own = self.camera.camera_id
        return sighting(
            number, **{**lately(number), "camera_id": own, "pass_id": event_id(own, str(number)), **changes}
        )

    async def rows(self) -> list[Any]:
        return await stages.rows_of(self.database, self.camera.camera_id)

    async def indexed(self) -> list[Any]:
        """Run an indexer until it has worked everything off; return this camera's rows."""
        async with stages.running(indexer.build(self.settings)):
            await stages.until_worked_off(self.kafka.bootstrap, INDEXER)
        return await self.rows()

    @asynccontextmanager
    async def enriching(self, **changes: Any) -> AsyncIterator[None]:
        """Run an enricher, with these settings changed, while the block runs."""
        settings = stages.settings(self.kafka.bootstrap, self.database, **changes)
        async with (
            KafkaRegistry(self.kafka.bootstrap, timeout_s=30) as registry,
            stages.running(enricher.build(settings, registry)),
        ):
            yield

    async def enriched(self, **changes: Any) -> None:
        """Run an enricher until it has worked everything off."""
        async with self.enriching(**changes):
            await stages.until_worked_off(self.kafka.bootstrap, ENRICHER)


def lately(number: int) -> dict[str, datetime]:
    """Return the time of a read in the last hour of yesterday, for which there is a day."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"captured_at": today - timedelta(hours=1) + timedelta(seconds=number)}


@asynccontextmanager
async def flowing(kafka: Kafka, database: Database) -> AsyncIterator[Flow]:
    """Yield a flow whose workers begin at what is written from now on."""
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    own, _ = camera(f"flow-{next(_numbers)}")
    async with (
        KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher,
        tail(kafka.bootstrap, topics.DEAD_LETTERS) as dead_letters,
        tail(kafka.bootstrap, topics.SIGHTINGS) as sightings,
    ):
        await stages.put_cameras(publisher, own)
        yield Flow(kafka, database, publisher, own, dead_letters, sightings)
