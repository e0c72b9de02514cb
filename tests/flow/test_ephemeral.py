"""Reads that the law wants matched and gone: in one topic alone, for as long as stated, on Apache Kafka and PostgreSQL.

The broker is one of this module's own: it looks for what is to go twice a second instead of every ten, and its topic
keeps reads a second instead of a minute, so that going takes seconds.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.topics import check_interval_ms
from ingest.match import Tally
from ingest.stage import TooManyFailures
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection, event_id
from services import enricher, indexer, matcher
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support import leaks, samples, stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection
from tests.support.http import serving
from tests.support.topics import Tail, make_topics, set_configs, tail, write
from tests.support.wait import until, until_async

MATCHER: Final = "platetrail-matcher"
PLATE: Final = "EPH0042"
SHORT: Final = {"retention.ms": "1000", "segment.ms": "500", "file.delete.delay.ms": "100"}
INTERVAL_MS: Final = 500
NO_READS: Final = (topics.CAMERAS, topics.CAMERA_HEALTH)
OTHERS: Final = tuple(name for name in topics.ALL if name not in (topics.EPHEMERAL, *NO_READS))


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    extra = {"log.retention.check.interval.ms": str(INTERVAL_MS), "log.initial.task.delay.ms": "100"}
    broker = kafka_starter.start(tmp_path_factory.mktemp("ephemeral-kafka"), extra=extra)
    yield broker
    broker.stop()


class Flow(NamedTuple):
    """The servers, an ephemeral camera with a client of its gateway, and tails of every topic that holds reads."""

    kafka: Kafka
    database: Database
    publisher: KafkaPublisher
    camera: Camera
    client: httpx.AsyncClient
    tails: dict[str, Tail]

    async def push(self, content: Any, path: str = "/v1/detections") -> httpx.Response:
        return await self.client.post(path, content=json.dumps(content))

    async def records(self, topic: str) -> list[tuple[bytes, bytes]]:
        return await self.tails[topic].records()

    async def put(self, *items: Detection) -> None:
        """Put reads into the topic as the gateway does."""
        records = [(item.camera_id.encode(), wire.encode(item)) for item in items]
        assert not any(await self.publisher.publish(topics.EPHEMERAL, records))

    def detection(self, number: int = 0, **changes: Any) -> Detection:
        own, now = self.camera.camera_id, datetime.now(UTC)
        values = {"captured_at": now - timedelta(seconds=2), "received_at": now, "plate_raw": f"EPH {number:04}"}
        return detection(number, **{**values, "camera_id": own, "event_id": event_id(own, str(number)), **changes})

    async def matched(self) -> Tally:
        """Run a matcher until it has worked everything off; return what it counted."""
        tally = Tally()
        async with stages.running(matcher.build(stages.settings(self.kafka.bootstrap), tally)):
            await stages.until_worked_off(self.kafka.bootstrap, MATCHER)
        return tally

    async def gone(self) -> bool:
        """Tell whether no record can be read from the topic any more."""
        starts, ends = await bounds(self.kafka)
        return starts == ends

    def on_disk(self) -> list[str]:
        """Return the broker's files that hold the plate. Files come and go meanwhile."""
        files = [path for path in (self.kafka.folder / "data").rglob("*") if path.is_file()]
        assert files
        return sorted(path.name for path in files if PLATE.encode() in _content(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


async def bounds(kafka: Kafka) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    parts = [TopicPartition(topics.EPHEMERAL, n) for n in range(topics.load(topics.EPHEMERAL).partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None)
    await consumer.start()
    try:
        consumer.assign(parts)
        return await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    finally:
        await consumer.stop()


def read(**changes: Any) -> dict[str, Any]:
    return {"captured_at": (datetime.now(UTC) - timedelta(seconds=2)).isoformat(), "plate": PLATE, **changes}


@pytest_asyncio.fixture
async def flow(own_kafka: Kafka, database: Database) -> AsyncIterator[Flow]:
    await make_topics(own_kafka.bootstrap)
    own, key = camera(handling="ephemeral")
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(KafkaPublisher(own_kafka.bootstrap, timeout_s=30))
        await stages.put_cameras(publisher, own)
        watched = (*OTHERS, topics.EPHEMERAL)
        tails = {name: await stack.enter_async_context(tail(own_kafka.bootstrap, name)) for name in watched}
        app = build(Settings(kafka_bootstrap=own_kafka.bootstrap))
        client = await stack.enter_async_context(serving(app))
        client.headers.update({"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        yield Flow(own_kafka, database, publisher, own, client, tails)


async def everything_in(database: Database) -> bytes:
    """Return the text of every row of every table of ours."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        tables = await connection.fetch(
            "select format('%I.%I', table_schema, table_name) as name from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        )
        rows = [await connection.fetch(f"select t::text as row from {table['name']} t") for table in tables]
    finally:
        await connection.close()
    assert len(tables) > 5
    return "\n".join(row["row"] for some in rows for row in some).encode()


async def test_such_reads_are_in_their_own_topic_and_nowhere_else(
    flow: Flow, capfd: pytest.CaptureFixture[str]
) -> None:
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    old = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    taken = await flow.push([read(), read(captured_at=future), read(captured_at=old), read(plate=7)])
    assert taken.status_code == 202
    assert [(item["status"], item.get("reason")) for item in taken.json()["items"]] == [
        ("accepted", None),
        ("dropped", "clock_future"),
        ("dropped", "past_retention"),
        ("rejected", "shape"),
    ]
    alone = await flow.push(read(captured_at=future))
    assert (alone.status_code, alone.json()["accepted"]) == (202, 0)
    [(key, value)] = await flow.records(topics.EPHEMERAL)
    assert key == flow.camera.camera_id.encode()
    assert wire.decode(value, Detection).plate_raw == PLATE

    settings = stages.settings(flow.kafka.bootstrap, flow.database)
    async with (
        KafkaRegistry(flow.kafka.bootstrap, timeout_s=30) as registry,
        stages.running(enricher.build(settings, registry)),
        stages.running(indexer.build(settings)),
    ):
        tally = await flow.matched()
    assert (tally.seen, tally.of["discarded"], tally.lost) == (1, 1, 0)
    assert {name: await flow.records(name) for name in OTHERS} == {name: [] for name in OTHERS}
    metrics = (await flow.client.get("/metrics")).text
    assert 'items_total{format="native",reason="clock_future",status="dropped"} 2.0' in metrics
    places = {
        "tables": await everything_in(flow.database),
        "logs": "".join(capfd.readouterr()).encode() + flow.kafka.log_file.read_bytes(),
        "answers": taken.content + alone.content,
        "metrics": metrics.encode(),
    }
    assert leaks.in_texts(places.items(), [PLATE], []) == []


async def test_each_camera_is_answered_as_its_format_expects(flow: Flow) -> None:
    name = "dahua_itsapi/TollgateInfo.json"
    claimed = datetime(2024, 1, 30, 13, 35, 10, tzinfo=UTC)
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1) - claimed
    path = "/v1/webhooks/dahua/NotificationInfo/TollgateInfo"
    answer = await flow.client.post(path, content=samples.moved(name, ahead))
    assert (answer.status_code, answer.json()) == (200, {"Result": True})
    assert {name: await flow.records(name) for name in flow.tails} == {name: [] for name in flow.tails}


async def test_a_read_is_gone_within_the_sum_even_while_others_come(flow: Flow) -> None:
    await flow.push(read())
    assert flow.on_disk() != [], "what is looked for can be found"
    await set_configs(flow.kafka.bootstrap, topics.EPHEMERAL, topics.load(topics.EPHEMERAL).configs() | SHORT)

    async def off_the_disk() -> bool:
        await flow.put(flow.detection(1))
        return flow.on_disk() == []

    await until_async(off_the_disk, "no file of the broker holds the read")

    await flow.push(read())
    await until_async(flow.gone, "nothing can be read any more, though nothing came after it")
    until(lambda: flow.on_disk() == [], "no file of the broker holds the read")


async def test_reads_are_lost_and_counted_while_the_matcher_is_down(flow: Flow) -> None:
    await set_configs(flow.kafka.bootstrap, topics.EPHEMERAL, topics.load(topics.EPHEMERAL).configs() | SHORT)
    before = await flow.matched()
    await flow.put(*(flow.detection(number) for number in range(7)))
    await until_async(flow.gone, "all are gone, unread")
    await flow.put(flow.detection(8, received_at=datetime.now(UTC) - timedelta(seconds=61)))
    tally = await flow.matched()
    assert tally.of["expired"] + tally.of["late"] == 8, dict(before.of)
    assert (tally.lost, tally.of["discarded"]) == (8, 0)
    assert (await flow.matched()).lost == 0, "each is counted once"


async def test_what_is_no_read_is_counted_and_skipped_until_there_is_too_much_of_it(flow: Flow) -> None:
    await flow.matched()
    await set_configs(flow.kafka.bootstrap, topics.EPHEMERAL, topics.load(topics.EPHEMERAL).configs())
    await write(flow.kafka.bootstrap, topics.EPHEMERAL, *((b"k", f'{{"plate":"{PLATE}"'.encode()) for _ in range(5)))
    await flow.put(flow.detection(0))
    tally = await flow.matched()
    assert (tally.of["unusable"], tally.of["discarded"]) == (5, 1)

    await write(flow.kafka.bootstrap, topics.EPHEMERAL, *((b"k", b"{") for _ in range(201)))
    stage = matcher.build(stages.settings(flow.kafka.bootstrap), Tally())
    with pytest.raises(TooManyFailures):
        async with stages.running(stage) as task:
            await task
    assert await flow.records(topics.DEAD_LETTERS) == []
    await stages.move(flow.kafka.bootstrap, MATCHER)


async def test_a_matcher_of_its_own_says_how_many_and_no_plate(flow: Flow, tmp_path: Path) -> None:
    worker = stages.Worker("matcher", stages.settings(flow.kafka.bootstrap), tmp_path)
    try:
        worker.wait_until_ready()
        await flow.push([read(key=str(number)) for number in range(20)])
        await write(flow.kafka.bootstrap, topics.EPHEMERAL, (b"k", f'{{"plate":"{PLATE}"'.encode()))
        await stages.until_worked_off(flow.kafka.bootstrap, MATCHER)
        address = f"http://127.0.0.1:{worker.said('listening')[0]['port']}"
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200
            counted = (await client.get("/metrics")).text
        assert 'platetrail_matcher_reads_total{outcome="discarded"} 20.0' in counted
        assert 'platetrail_matcher_reads_total{outcome="unusable"} 1.0' in counted
    finally:
        worker.stop()
    assert worker.returncode == 0
    last = worker.said("reads")[-1]
    assert (last["discarded"], last["unusable"], last["lost"]) == (20, 1, 0)
    assert leaks.in_texts([("log", worker.output().encode())], [PLATE], [flow.camera.camera_id]) == []


async def test_a_camera_that_becomes_ephemeral_while_its_reads_are_under_way(
    flow: Flow, capfd: pytest.CaptureFixture[str]
) -> None:
    """They were taken as reads that may be kept; from the change on they may not."""
    await stages.put_detections(flow.publisher, [flow.detection(number, plate_raw=PLATE) for number in range(3)])
    settings = stages.settings(flow.kafka.bootstrap)
    async with KafkaRegistry(flow.kafka.bootstrap, timeout_s=30) as registry:
        stage = enricher.build(settings, registry)
        async with stages.running(stage):
            await stages.until_worked_off(flow.kafka.bootstrap, "platetrail-enricher")
    assert stage.counts.dropped >= 3
    assert await flow.records(topics.SIGHTINGS) == await flow.records(topics.DEAD_LETTERS) == []
    assert PLATE not in "".join(capfd.readouterr())


async def test_a_broker_that_keeps_such_reads_too_long_is_given_none(
    flow: Flow, own_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await check_interval_ms(own_kafka.bootstrap) == INTERVAL_MS

    async def kafkas_default(_: object) -> int:
        return 300_000

    monkeypatch.setattr("services.gateway.check_interval_ms", kafkas_default)
    async with serving(build(Settings(kafka_bootstrap=own_kafka.bootstrap))) as client:
        answer = await client.post("/v1/detections", json=read(), headers=flow.client.headers)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert await flow.records(topics.EPHEMERAL) == []
