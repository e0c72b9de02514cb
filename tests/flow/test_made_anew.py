"""Topics that are deleted and made anew, with the same name, while somebody reads them, on Apache Kafka."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from schemas import topics, wire
from schemas.detections import Detection
from schemas.sightings import Sighting
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.detections import detection
from tests.support.flow import ENRICHER, lately
from tests.support.topics import Tail, delete, make_topics, tail, write
from tests.support.wait import until, until_async


def reads(first: int, count: int) -> list[Detection]:
    return [detection(number, **lately(number), camera_id="anew") for number in range(first, first + count)]


@pytest.mark.parametrize("transactions", [False, True])
async def test_an_enricher_that_has_not_seen_that_its_topic_was_made_anew_misses_nothing_of_it(
    own_kafka: Kafka, tmp_path: Path, transactions: bool
) -> None:
    """It was frozen; the new topic has grown past what was read of the former one by then."""
    settings = stages.settings(own_kafka.bootstrap, enricher_transactions=transactions, session_timeout_s=60.0)
    first = await at_work(own_kafka, settings, tmp_path)
    second = None
    try:
        os.kill(first.pid, signal.SIGSTOP)
        async with made_anew(own_kafka) as (publisher, written):
            await stages.put_detections(publisher, reads(100, 50))
            os.kill(first.pid, signal.SIGCONT)
            await asyncio.to_thread(until, lambda: first.returncode is not None, "it has ended")
            second = stages.Worker("enricher", settings, tmp_path / "second")
            await all_enriched(written, reads(100, 50))
    finally:
        first.kill()
        if second is not None:
            second.stop()
    error, why = first.failure()
    assert error == "MadeAnew"
    assert "detections was deleted and made anew" in why
    # Nothing, where the broker has forgotten the group's offsets with the topic by then.
    assert [line["topic"] for line in second.said("made_anew")] in ([topics.DETECTIONS], [])


@pytest.mark.parametrize("killed", [False, True])
async def test_an_enricher_whose_topic_was_away_reads_it_once_it_is_there_again(
    own_kafka: Kafka, tmp_path: Path, killed: bool
) -> None:
    """One that is killed meanwhile, and back within its session, is given no partitions at first, as it had none."""
    settings = stages.settings(own_kafka.bootstrap, session_timeout_s=300.0)
    worker = await at_work(own_kafka, settings, tmp_path)
    try:
        await delete(own_kafka.bootstrap, topics.DETECTIONS)

        def has_none() -> bool:
            return not worker.said("assigned")[-1]["partitions"]

        await asyncio.to_thread(until, has_none, "it has no partitions")
        if killed:
            worker.kill()
        async with made_anew(own_kafka, deleted=True) as (publisher, written):
            await stages.put_detections(publisher, reads(100, 50))
            if killed:
                worker = stages.Worker("enricher", settings, tmp_path / "second")
            await all_enriched(written, reads(100, 50))
        assert worker.returncode is None
    finally:
        worker.stop()


async def at_work(kafka: Kafka, settings: Settings, folder: Path) -> stages.Worker:
    """Start an enricher, and let it work off some reads."""
    await make_topics(kafka.bootstrap)
    worker = stages.Worker("enricher", settings, folder / "first")
    async with KafkaPublisher(kafka.bootstrap, timeout_s=60) as publisher:
        await stages.put_cameras(publisher, camera("anew")[0])
        await asyncio.to_thread(worker.wait_until_ready)
        await stages.put_detections(publisher, reads(0, 20))
        await stages.until_worked_off(kafka.bootstrap, ENRICHER)
    return worker


@asynccontextmanager
async def made_anew(kafka: Kafka, *, deleted: bool = False) -> AsyncIterator[tuple[KafkaPublisher, Tail]]:
    """Make the topic of detections anew; yield what writes to it, and what is written of it from now on."""
    if not deleted:
        await delete(kafka.bootstrap, topics.DETECTIONS)
    await make_topics(kafka.bootstrap)
    async with (
        KafkaPublisher(kafka.bootstrap, timeout_s=60) as publisher,
        tail(kafka.bootstrap, topics.SIGHTINGS) as written,
    ):
        yield publisher, written


async def all_enriched(written: Tail, items: list[Detection]) -> None:
    """Wait until each of these reads is a pass of its own, and there is no other."""
    wanted = {one.event_id for one in items}

    async def done() -> bool:
        found = {wire.decode(value, Sighting).pass_id for _, value in await written.records()}
        assert found <= wanted
        return found == wanted

    await until_async(done, "all reads of the new topic are enriched", 120)


async def test_a_registry_whose_topic_was_made_anew_reads_it_again(own_kafka: Kafka) -> None:
    await make_topics(own_kafka.bootstrap)
    one, _ = camera("anew")
    first, newest, older = (msgspec.structs.replace(one, revision=revision) for revision in (1, 9, 8))
    await write(own_kafka.bootstrap, topics.CAMERAS, *([(b"anew", wire.encode(first))] * 3))

    async def grown_anew() -> None:
        await delete(own_kafka.bootstrap, topics.CAMERAS)
        await make_topics(own_kafka.bootstrap, [topics.CAMERAS])
        await write(
            own_kafka.bootstrap, topics.CAMERAS, (b"anew", wire.encode(newest)), *([(b"anew", wire.encode(older))] * 4)
        )

    async with KafkaRegistry(own_kafka.bootstrap, timeout_s=30) as registry:
        assert registry.get("anew") == first
        with ThreadPoolExecutor() as elsewhere:  # so that the registry's own loop stands still meanwhile
            elsewhere.submit(asyncio.run, grown_anew()).result()

        async def known() -> bool:
            return registry.get("anew") == newest

        await until_async(known, "what was written where the former topic had been read already is known")
        assert not registry.following.done()
