"""What is seen of workers as processes of their own: metrics, and whether they work, on a listener of theirs."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from schemas import metrics, topics, wire
from schemas.problems import MEDIA_TYPE
from tests.support import stages
from tests.support.flow import INDEXER, Flow
from tests.support.wait import until


def get(worker: stages.Worker, path: str) -> httpx.Response:
    """Ask a worker's own listener."""
    port = worker.said("listening")[0]["port"]
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30)


def shown(worker: stages.Worker, metric: metrics.Metric, suffix: str = "", **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    text = get(worker, "/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric.name + suffix and labels.items() <= sample.labels.items()
    )


async def test_workers_show_what_they_do_and_say_that_they_work(flow: Flow, tmp_path: Path) -> None:
    workers = {name: stages.Worker(name, flow.settings, tmp_path) for name in ("enricher", "indexer")}
    enricher, indexer = workers.values()
    try:
        for worker in workers.values():
            worker.wait_until_ready()
        items: list[Any] = [flow.detection(number) for number in range(300)]
        await stages.put_detections(flow.publisher, [*items, flow.detection(301, owner="west")])
        await asyncio.to_thread(
            until, lambda: shown(indexer, metrics.WORKER_RECORDS, outcome="written") >= 300, "all are indexed"
        )
        for worker in workers.values():
            assert get(worker, "/healthz").status_code == 200
            assert get(worker, "/readyz").status_code == 200
        assert shown(enricher, metrics.WORKER_RECORDS, outcome="fetched") == 301
        assert shown(enricher, metrics.WORKER_LETTERS, reason="wrong_owner") == 1
        assert shown(enricher, metrics.WORKER_BATCH_RECORDS, "_sum") == 301
        for step in ("fetch", "decode", "function", "memory", "write", "letters", "commit"):
            assert shown(enricher, metrics.WORKER_STEP_SECONDS, "_count", step=step) > 0, step
        assert shown(enricher, metrics.WORKER_LAG, topic=topics.DETECTIONS) == 0
        assert shown(indexer, metrics.WORKER_LAG, topic=topics.SIGHTINGS) == 0
        assert 0 <= shown(indexer, metrics.WORKER_COMMIT_AGE_SECONDS) < 60
    finally:
        for worker in workers.values():
            worker.stop()


async def test_an_indexer_without_its_database_lives_and_is_not_ready(flow: Flow, tmp_path: Path) -> None:
    nowhere = stages.settings(flow.kafka.bootstrap, database_url="postgresql://x@127.0.0.1:9/x")
    worker = stages.Worker("indexer", nowhere, tmp_path)
    try:
        await asyncio.to_thread(until, lambda: bool(worker.said("waiting")), "it waits for the database")
        answer = get(worker, "/readyz")
        assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE)
        assert answer.json()["status"] == 503
        assert get(worker, "/healthz").status_code == 200
        assert shown(worker, metrics.WORKER_WAITING) == 1
    finally:
        worker.stop()
    assert worker.lines()[-1]["event"] == "stopped"


async def test_an_indexer_that_a_transaction_without_an_end_holds_back_is_not_ready(flow: Flow, tmp_path: Path) -> None:
    worker = stages.Worker("indexer", flow.settings, tmp_path, STUCK_AFTER_S="1")
    producer = AIOKafkaProducer(bootstrap_servers=flow.kafka.bootstrap, transactional_id="of nobody")
    await producer.start()
    try:
        worker.wait_until_ready()
        await stages.put_sightings(flow.publisher, [flow.sighting(number) for number in range(100)])
        await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
        await asyncio.to_thread(until, lambda: get(worker, "/readyz").status_code == 200, "it works")
        await producer.begin_transaction()
        for partition in range(topics.load(topics.SIGHTINGS).partitions):
            sent = await producer.send(topics.SIGHTINGS, wire.encode(flow.sighting(200)), partition=partition)
            await sent
        await stages.put_sightings(flow.publisher, [flow.sighting(number) for number in range(100, 200)])
        await asyncio.to_thread(
            until, lambda: get(worker, "/readyz").status_code == 503, "it says that it is held back"
        )
        await producer.abort_transaction()
        await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
        await asyncio.to_thread(until, lambda: get(worker, "/readyz").status_code == 200, "it works again")
    finally:
        await producer.stop()
        worker.stop()
    assert len(await flow.rows()) == 200
