"""One request as a trace: through gateway, enricher and indexer as processes of their own, to a collector."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from ingest.gateway import DETECTIONS_PATH
from schemas import topics, traces, wire
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.collector import Collector, Seen, collecting
from tests.support.flow import ENRICHER, Flow
from tests.support.wait import until, until_async

NAMES = ("gateway", "enricher", "indexer")
FORCED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""What a camera says of a trace that it wants to be in."""


@contextmanager
def processes(settings: Settings, folder: Path, **more: str) -> Iterator[dict[str, stages.Worker]]:
    """Run the whole path while the block runs."""
    workers = {name: stages.Worker(name, settings, folder, **more) for name in NAMES}
    try:
        for worker in workers.values():
            worker.wait_until_ready()
        yield workers
    finally:
        for worker in workers.values():
            worker.stop()


def traced(flow: Flow, endpoint: str, **changes: Any) -> Settings:
    return stages.settings(flow.kafka.bootstrap, flow.database, traces_endpoint=endpoint, **changes)


async def push(flow: Flow, gateway: stages.Worker, *plates: str) -> str:
    """Push reads in one request, as a new camera; return the camera."""
    own, key = camera(f"{flow.camera.camera_id}-traced-{plates[0]}".lower())
    await stages.put_cameras(flow.publisher, own)
    port = gateway.said("ready")[0]["port"]
    now = datetime.now(UTC) - timedelta(seconds=60)
    items: list[Any] = [
        {"captured_at": (now + timedelta(seconds=number)).isoformat(), "plate": plate, "plate_confidence": 0.9}
        for number, plate in enumerate(plates)
    ]
    headers = {"Authorization": f"Bearer {key}", "traceparent": FORCED, "tracestate": "camera=here"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def taken() -> bool:  # once the gateway has heard of the camera
            answer = await client.post(f"{DETECTIONS_PATH}?plate={plates[0]}", json=items, headers=headers)
            return answer.status_code == 202

        await until_async(taken, "the push is taken")

    async def indexed() -> bool:
        return len(await stages.rows_of(flow.database, own.camera_id)) == len(plates)

    await until_async(indexed, "all reads are indexed")
    return own.camera_id


def of_accepted(collector: Collector) -> dict[str, list[Seen]]:
    """Return the spans of the trace in which reads were taken, by service."""
    [taken] = [one for one in collector.spans if one.attributes.get(traces.STATUS) == 202]
    found = [one for one in collector.spans if one.trace_id == taken.trace_id]
    return {name: [one for one in found if one.service == f"platetrail-{name}"] for name in NAMES}


@pytest.mark.parametrize("in_transactions", [False, True])
async def test_a_request_is_one_trace_from_the_gateway_to_the_index(
    flow: Flow, tmp_path: Path, in_transactions: bool
) -> None:
    with collecting() as collector:
        settings = traced(flow, collector.endpoint, enricher_transactions=in_transactions)
        with processes(settings, tmp_path, TRACES_SAMPLE="1") as workers:
            camera_id = await push(flow, workers["gateway"], "TRC 0101", "TRC 0102", "TRC 0103")
        found = of_accepted(collector)  # all have ended, and handed over what they had

    [request] = found["gateway"]
    assert (request.name, request.kind, request.parent_id) == (f"POST {DETECTIONS_PATH}", 2, b"")
    assert request.trace_id.hex() not in FORCED
    assert {one.parent_id for one in found["enricher"]} == {request.span_id}
    parents = {one.parent_id for one in found["indexer"]}
    assert parents
    assert parents <= {one.span_id for one in found["enricher"]}
    for name, topic in (("enricher", "detections"), ("indexer", "sightings")):
        assert {one.name for one in found[name]} == {f"process {topic}"}
        assert {one.kind for one in found[name]} == {5}
        assert {one.attributes[traces.DESTINATION] for one in found[name]} == {topic}
        assert sum(int(one.attributes[f"{traces.FATE}written"]) for one in found[name]) == 3
        assert all(request.began < one.began < one.ended for one in found[name])
    for span in collector.spans:
        assert span.attributes.keys() <= traces.ATTRIBUTES
        assert span.resource.keys() <= traces.RESOURCE
        assert span.others == 0
    sent = b"".join(collector.bodies).lower()
    assert not [word for word in (b"trc", b"010", camera_id.encode(), b"plate=", b"4bf92f") if word in sent]


async def test_a_request_that_is_not_sampled_leaves_nothing_though_its_camera_says_so(
    flow: Flow, tmp_path: Path
) -> None:
    with collecting() as collector:
        with processes(traced(flow, collector.endpoint), tmp_path, TRACES_SAMPLE="0") as workers:
            await push(flow, workers["gateway"], "TRC 0201")
        assert not collector.bodies


async def test_a_collector_that_is_away_holds_nobody_up(flow: Flow, tmp_path: Path) -> None:
    with processes(traced(flow, "http://127.0.0.1:9/v1/traces"), tmp_path, TRACES_SAMPLE="1") as workers:
        await push(flow, workers["gateway"], *(f"TRC {number:04d}" for number in range(300, 320)))
        about = {name: worker.said for name, worker in workers.items()}
        await asyncio.to_thread(
            until, lambda: all(_complaints(said("library")) for said in about.values()), "each has tried"
        )
    assert [workers[name].lines()[-1]["event"] for name in ("enricher", "indexer")] == ["stopped", "stopped"]
    for worker in workers.values():
        assert worker.returncode == 0, "they end as they do without one"
        complaints = _complaints(worker.said("library"))
        assert len(complaints) <= 6, "once for each place in the code, and not again for a while"
        assert "127.0.0.1:9" not in str(complaints)


def _complaints(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["logger"].startswith("opentelemetry")]


async def test_what_a_record_says_of_traces_stops_no_stage(flow: Flow, tmp_path: Path) -> None:
    many = [("traceparent", b"00-%032x-%016x-01" % (number, number)) for number in range(1, 1000)]
    said: list[list[tuple[str, Any]]] = [
        [("traceparent", None)],
        [("traceparent", b"\xff" * 100_000)],
        [("", b"")],
        many,
    ]
    with collecting() as collector:
        worker = stages.Worker("enricher", traced(flow, collector.endpoint), tmp_path)
        try:
            worker.wait_until_ready()
            async with AIOKafkaProducer(bootstrap_servers=flow.kafka.bootstrap) as producer:
                for number, headers in enumerate(said):
                    value = wire.encode(flow.detection(number))
                    await producer.send_and_wait(topics.DETECTIONS, value, key=b"any", headers=headers)
            await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
        finally:
            worker.stop()
    assert worker.returncode == 0
    assert len(await flow.sightings.records()) == len(said)
    assert len(collector.spans) == 1, "one record is in one trace"
