"""The enricher that writes and commits in transactions, on Apache Kafka: nothing is in the topic twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ingest.adapters.kafka import Record
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.transactions import Transactions
from ingest.errors import Fenced
from ingest.stage import Stage
from schemas import topics, wire
from schemas.detections import Candidate, Detection
from schemas.sightings import Sighting
from services import enricher
from tests.flow.test_passes import DOUBTFUL, SURE
from tests.support import stages
from tests.support.flow import ENRICHER, Flow
from tests.support.topics import Tail, make_topics, set_configs, tail

ON: dict[str, Any] = {"enricher_transactions": True}


@pytest_asyncio.fixture
async def registry(flow: Flow) -> AsyncIterator[KafkaRegistry]:
    async with KafkaRegistry(flow.kafka.bootstrap, timeout_s=30) as registry:
        yield registry


def build(
    flow: Flow, registry: KafkaRegistry, **changes: Any
) -> tuple[Stage[Detection, Sighting, Record], Transactions]:
    """Return an enricher with transactions, and what it writes with."""
    stage = enricher.build(stages.settings(flow.kafka.bootstrap, flow.database, **ON, **changes), registry)
    atomic = stage._atomic
    assert isinstance(atomic, Transactions)
    return stage, atomic


async def passes(written: Tail) -> Counter[tuple[str, int, str]]:
    """Return how often each revision of each pass stands in the topic, by its plate key."""
    found = [wire.decode(value, Sighting) for _, value in await written.records()]
    return Counter((str(one.pass_id), one.revision, one.plate_key) for one in found)


async def test_passes_and_graves_come_out_the_same_in_transactions(flow: Flow) -> None:
    first, later = flow.detection(0, **DOUBTFUL), flow.detection(1, **SURE)
    for one in (first, later):  # another worker each: what is written beside the offset is what the next begins with
        await stages.put_detections(flow.publisher, [one])
        await flow.enriched(**ON)
    rows = await flow.indexed()
    assert sorted((row["plate_key"], row["superseded_by"], row["revision"]) for row in rows) == [
        ("XYC3471", "XYC3477", 1), ("XYC3477", None, 1),
    ]  # fmt: skip
    assert set((await passes(flow.sightings)).values()) == {1}


async def test_a_kill_between_write_and_commit_leaves_nothing_twice(flow: Flow, registry: KafkaRegistry) -> None:
    items = [flow.detection(number) for number in range(60)]
    await stages.put_detections(flow.publisher, items)
    stage, atomic = build(flow, registry)
    taken = atomic.take

    async def take_and_die_later(places: Any) -> None:
        await taken(places)

        async def killed(*_: Any) -> None:
            raise asyncio.CancelledError

        for producer in atomic._producers.values():
            assert producer._producer is not None
            producer._producer.commit_transaction = killed

    stage._source._beginnings._taking = take_and_die_later  # type: ignore[attr-defined]
    async with tail(flow.kafka.bootstrap, topics.SIGHTINGS, committed_only=False) as everything:
        before = await stages.committed(flow.kafka.bootstrap, ENRICHER)
        with pytest.raises(asyncio.CancelledError):
            await stage.run(asyncio.Event())
        assert await stages.committed(flow.kafka.bootstrap, ENRICHER) == before
        await flow.enriched(**ON)
        assert set((await passes(everything)).values()) == {2}, "both writes are in the log, and one is undone"
    found = await passes(flow.sightings)
    assert len(found) == 60
    assert set(found.values()) == {1}
    assert len(await flow.indexed()) == 60


async def test_a_worker_whose_partition_was_given_away_is_refused(flow: Flow, registry: KafkaRegistry) -> None:
    await stages.put_detections(flow.publisher, [flow.detection(number) for number in range(20)])
    stage, atomic = build(flow, registry)
    entered, thawed = asyncio.Event(), asyncio.Event()
    write = atomic.write

    async def frozen(*of: Any) -> None:
        entered.set()
        await thawed.wait()
        await write(*of)

    atomic.write = frozen  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(stage.run(asyncio.Event()))
    await entered.wait()
    _, successor = build(flow, registry)
    await successor.take(list(atomic._producers))
    thawed.set()
    with pytest.raises(Fenced, match="another worker"):
        await running
    await successor.stop()
    assert await passes(flow.sightings) == Counter()
    await flow.enriched(**ON)
    assert set((await passes(flow.sightings)).values()) == {1}
    assert len(await passes(flow.sightings)) == 20


async def test_a_read_too_large_is_set_aside_in_a_transaction_too(flow: Flow) -> None:
    large = flow.detection(3, candidates=tuple(Candidate(plate="A" * 2000, confidence=0.5) for _ in range(8)))
    items = [large if number == 3 else flow.detection(number) for number in range(30)]
    await stages.put_detections(flow.publisher, items)
    for topic in (topics.SIGHTINGS, topics.DEAD_LETTERS):
        await set_configs(flow.kafka.bootstrap, topic, {"max.message.bytes": "4000"})
    try:
        await flow.enriched(**ON)
    finally:
        await make_topics(flow.kafka.bootstrap)
    found = await passes(flow.sightings)
    assert {one for one, _, _ in found} == {str(item.event_id) for item in items} - {str(large.event_id)}
    assert set(found.values()) == {1}
    [letter] = await stages.letters(flow.dead_letters, "enricher")
    assert (letter.reason, letter.camera_id, letter.detection) == ("too_large", flow.camera.camera_id, None)
