"""The gateway over HTTP, on Apache Kafka: what is answered, and what is in the topics then."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Attribute, Candidate, Detection, Position, default_key, event_id
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child, free_port
from services.gateway import build
from services.settings import Settings
from tests.support.cameras import camera
from tests.support.http import serving
from tests.support.openalpr import sample
from tests.support.topics import Tail, make_topics, tail, write
from tests.support.wait import until, until_async

PLATE = "GWT0042"
PROBLEM = "application/problem+json"


class Pusher(NamedTuple):
    """A gateway as one camera sees it, and the topics behind it."""

    client: httpx.AsyncClient
    camera: Camera
    headers: dict[str, str]
    detections: Tail
    letters: Tail

    async def push(self, content: Any, **headers: str) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.client.post("/v1/detections", content=body, headers=self.headers | headers)

    async def stored(self) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in await self.detections.records()]

    async def set_aside(self) -> list[DeadLetter]:
        return [wire.decode(value, DeadLetter) for _, value in await self.letters.records()]

    async def bytes_in_topics(self) -> bytes:
        return b"".join(value for _, value in [*await self.detections.records(), *await self.letters.records()])


async def _pusher(bootstrap: str, app: FastAPI, **changes: Any) -> AsyncIterator[Pusher]:
    await make_topics(bootstrap)
    one, key = camera(**changes)
    await write(bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    async with (
        tail(bootstrap, topics.DETECTIONS) as detections,
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
        serving(app) as client,
    ):
        yield Pusher(client, one, {"Authorization": f"Bearer {key}"}, detections, letters)


@pytest.fixture
def settings(kafka: Kafka) -> Settings:
    return Settings(kafka_bootstrap=kafka.bootstrap, body_limit_bytes=200_000, batch_limit=500)


@pytest.fixture
async def pusher(kafka: Kafka, settings: Settings) -> AsyncIterator[Pusher]:
    async for one in _pusher(kafka.bootstrap, build(settings)):
        yield one


def read(**changes: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=1)
    return {"captured_at": at.isoformat(), "plate": PLATE, "plate_confidence": 0.9, **changes}


async def test_one_detection_is_in_the_topic_when_it_is_answered(pusher: Pusher) -> None:
    item = read(lane=2, make={"value": "bmw", "confidence": 0.8}, key_of_nobody="x", driver={"age": 40})
    response = await pusher.push(item)
    assert response.status_code == 202
    [stored] = await pusher.stored()
    claimed = datetime.fromisoformat(item["captured_at"])
    assert response.json() == {
        "accepted": 1,
        "items": [{"index": 0, "status": "accepted", "event_id": str(stored.event_id)}],
    }
    assert stored.event_id == event_id(pusher.camera.camera_id, default_key(claimed, PLATE, 2))
    assert (stored.camera_id, stored.owner, stored.format) == (pusher.camera.camera_id, "north", "native")
    assert stored.claimed_at == stored.captured_at == claimed
    assert stored.make == Attribute(value="bmw", confidence=0.8)
    assert [key for key, _ in await pusher.detections.records()] == [pusher.camera.camera_id.encode()]
    assert b"driver" not in await pusher.bytes_in_topics()


async def test_an_array_names_the_items_at_fault_and_takes_the_rest(pusher: Pusher) -> None:
    bad = read(plate_confidence=90)
    response = await pusher.push([read(plate="GWT0001"), bad, "GWT0003", read(plate="GWT0004")])
    assert response.status_code == 202
    answer = response.json()
    assert answer["accepted"] == 2
    assert [item["status"] for item in answer["items"]] == ["accepted", "rejected", "rejected", "accepted"]
    assert answer["items"][1] == {
        "index": 1,
        "status": "rejected",
        "reason": "shape",
        "pointer": "/plate_confidence",
    }
    assert "GWT" not in response.text
    assert [one.plate_raw for one in await pusher.stored()] == ["GWT0001", "GWT0004"]


async def test_lines_are_taken_one_by_one(pusher: Pusher) -> None:
    lines = [json.dumps(read(plate="GWT0001")), "{", "", json.dumps(read(plate="GWT0002")), '{"a":1,"a":2}']
    response = await pusher.push("\n".join(lines).encode(), **{"Content-Type": "application/x-ndjson"})
    assert response.status_code == 202
    reasons = [(item["index"], item.get("reason")) for item in response.json()["items"]]
    assert reasons == [(0, None), (1, "not_json"), (2, None), (3, "duplicate_key")]
    assert [one.plate_raw for one in await pusher.stored()] == ["GWT0001", "GWT0002"]


async def test_the_same_again_has_the_same_id(pusher: Pusher) -> None:
    item = read()
    first = await pusher.push([item, item])
    second = await pusher.push(item)
    ids = {one["event_id"] for answer in (first, second) for one in answer.json()["items"]}
    assert len(ids) == 1


async def test_a_batch_keeps_its_order(pusher: Pusher) -> None:
    response = await pusher.push([read(plate=f"GWT{number:04}") for number in range(500)])
    assert response.json()["accepted"] == 500
    assert [one.plate_raw for one in await pusher.stored()] == [f"GWT{number:04}" for number in range(500)]


async def test_nothing_usable_is_a_problem(pusher: Pusher) -> None:
    response = await pusher.push([read(captured_at="2026-01-01T00:00:00"), 7])
    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
    assert response.json()["errors"] == [
        {"index": 0, "pointer": "/captured_at", "detail": "shape"},
        {"index": 1, "pointer": "", "detail": "shape"},
    ]


async def test_a_read_that_claims_another_networks_camera_is_refused_and_counted_and_kept_nowhere(
    kafka: Kafka, pusher: Pusher
) -> None:
    other, _ = camera(network="south-network")
    await write(kafka.bootstrap, topics.CAMERAS, (other.camera_id.encode(), wire.encode(other)))
    own = read(plate="GWT0007", camera_id=pusher.camera.camera_id)
    response = await pusher.push([read(camera_id=other.camera_id), own])
    assert response.status_code == 202
    refused = {"index": 0, "status": "rejected", "reason": "other_camera", "pointer": "/camera_id"}
    assert response.json()["items"][0] == refused
    assert other.camera_id not in response.text
    alone = await pusher.push(read(camera_id=other.camera_id))
    assert alone.status_code == 422
    assert alone.json()["errors"] == [{"index": 0, "pointer": "/camera_id", "detail": "other_camera"}]
    assert [(one.plate_raw, one.camera_id) for one in await pusher.stored()] == [("GWT0007", pusher.camera.camera_id)]
    assert PLATE.encode() not in await pusher.bytes_in_topics()
    metrics = (await pusher.client.get("/metrics")).text
    line = 'platetrail_gateway_items_total{format="native",reason="other_camera",status="rejected"} 2.0'
    assert line in metrics.splitlines()


async def test_what_lies_ahead_is_set_aside(pusher: Pusher) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    item = read(captured_at=ahead.isoformat(), driver={"age": 40})
    for _ in range(2):
        response = await pusher.push(item)
        assert response.status_code == 202
        [answer] = response.json()["items"]
        assert answer == {"index": 0, "status": "rejected", "reason": "clock_future"}
    first, second = await pusher.set_aside()
    assert (first.reason, first.stage, first.camera_id) == ("clock_future", "gateway", pusher.camera.camera_id)
    assert first.letter_id == second.letter_id
    assert first.detection is not None
    assert first.detection.plate_raw == PLATE
    assert await pusher.stored() == []
    assert b"driver" not in await pusher.bytes_in_topics()


async def test_what_is_too_old_leaves_a_count_and_no_trace(pusher: Pusher) -> None:
    before = await _counted(pusher.client, "past_retention")
    old = datetime.now(UTC) - timedelta(days=30, minutes=1)
    response = await pusher.push([read(captured_at=old.isoformat())])
    assert response.status_code == 202
    assert response.json() == {
        "accepted": 0,
        "items": [{"index": 0, "status": "dropped", "reason": "past_retention"}],
    }
    assert await pusher.bytes_in_topics() == b""
    assert await _counted(pusher.client, "past_retention") == before + 1


async def _counted(client: httpx.AsyncClient, reason: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if f'reason="{reason}"' in line and "_total{" in line)


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x", "Basic eDp5", "key of another", "wrong secret"])
async def test_without_its_own_key_nobody_is_heard(pusher: Pusher, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    if authorization == "key of another":
        headers = {"Authorization": f"Bearer {camera()[1]}"}
    if authorization == "wrong secret":
        headers = {"Authorization": f"Bearer ptk_{pusher.camera.key_prefix}_{'A' * 43}"}
    for path in ("/v1/detections", "/v1/webhooks/openalpr"):
        response = await pusher.client.post(path, json=read(), headers=headers)
        assert (response.status_code, response.headers["content-type"]) == (401, PROBLEM)
        assert "Bearer" in response.headers.get_list("www-authenticate")
    assert await pusher.stored() == []


async def test_a_retired_camera_is_turned_away(kafka: Kafka, settings: Settings) -> None:
    async for pusher in _pusher(kafka.bootstrap, build(settings), active=False):
        response = await pusher.push(read())
        assert (response.status_code, response.headers["content-type"]) == (403, PROBLEM)
        assert await pusher.stored() == []


async def test_a_key_works_as_soon_as_it_is_in_the_registry(pusher: Pusher, kafka: Kafka) -> None:
    """A camera that was registered a moment ago pushes before the registry's record is here."""
    new, key = camera()
    pushing = asyncio.create_task(pusher.push(read(), Authorization=f"Bearer {key}"))
    await asyncio.sleep(0.2)
    await write(kafka.bootstrap, topics.CAMERAS, (new.camera_id.encode(), wire.encode(new)))
    assert (await pushing).status_code == 202
    assert [one.camera_id for one in await pusher.stored()] == [new.camera_id]


async def test_a_body_over_the_limit_is_not_read(pusher: Pusher) -> None:
    """The body's end never comes: whoever wanted all of it before answering would wait for ever."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    declared = {"Content-Length": "200001"}
    for headers, content in ((declared, b" " * 200_001), ({}, endless())):
        try:
            response = await pusher.client.post("/v1/detections", content=content, headers=pusher.headers | headers)
        except httpx.TransportError:
            continue  # the gateway has hung up on a client that goes on sending
        assert (response.status_code, response.headers["content-type"]) == (413, PROBLEM)
    assert (await pusher.push([read()] * 501)).status_code == 413
    assert await pusher.stored() == []
    assert (await pusher.push(read())).status_code == 202


async def test_what_is_not_json_as_we_take_it_is_refused_without_quoting_it(pusher: Pusher) -> None:
    body = json.dumps(read())
    cases: list[tuple[bytes, dict[str, str], int]] = [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe" + body.encode(), {}, 400),
        (body.encode("utf-16"), {}, 400),
        (body.encode(), {"Content-Type": "application/json; charset=utf-16"}, 415),
        (body.encode(), {"Content-Type": "text/plain"}, 415),
        (body.encode(), {"Content-Encoding": "br"}, 415),
        (body.replace("0.9", "NaN").encode(), {}, 400),
        (body.replace("0.9", "1e999").encode(), {}, 400),
        (body.replace("0.9", "9" * 300).encode(), {}, 422),
        (body.replace("0.9", "9" * 5000).encode(), {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"[" * 1000 + b"]" * 1000, {}, 400),
        (body.replace("{", '{"plate":"GWT0043",', 1).encode(), {}, 400),
    ]
    for content, headers, status in cases:
        response = await pusher.push(content, **headers)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), content[:60]
        assert "GWT" not in response.text
    assert await pusher.bytes_in_topics() == b""


async def test_past_the_budget_cameras_are_asked_to_come_again(kafka: Kafka) -> None:
    app = build(Settings(kafka_bootstrap=kafka.bootstrap, in_flight_limit_bytes=10_000))
    async for pusher in _pusher(kafka.bootstrap, app):
        response = await pusher.push([read() for _ in range(100)])
        assert (response.status_code, response.headers["content-type"]) == (503, PROBLEM)
        assert int(response.headers["retry-after"]) > 0
        assert await pusher.bytes_in_topics() == b""
        assert (await pusher.push(read())).status_code == 202, "what was held was given back"
        assert "platetrail_gateway_held_bytes 0.0" in (await pusher.client.get("/metrics")).text


async def test_without_a_broker_it_says_come_again_and_works_when_it_is_back(own_kafka: Kafka) -> None:
    app = build(Settings(kafka_bootstrap=own_kafka.bootstrap, publish_timeout_s=3))
    await make_topics(own_kafka.bootstrap)
    one, key = camera()
    await write(own_kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    items = [read(plate=f"GWT{number:04}") for number in range(20)]
    async with serving(app) as client:

        async def push() -> httpx.Response:
            return await client.post("/v1/detections", json=items, headers={"Authorization": f"Bearer {key}"})

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        assert (await push()).status_code == 202
        await asyncio.to_thread(own_kafka.kill)
        for _ in range(2):
            response = await push()
            assert (response.status_code, response.headers["content-type"]) == (503, PROBLEM)
            assert int(response.headers["retry-after"]) > 0
        assert not await ready()
        await asyncio.to_thread(own_kafka.restart)

        async def works() -> bool:
            return (await push()).status_code == 202

        await until_async(works, "the gateway takes detections again")
        await until_async(ready, "the gateway is ready again")
    async with tail(own_kafka.bootstrap, topics.DETECTIONS) as whole:
        records = await Tail(whole._consumer, dict.fromkeys(whole._marks, 0)).records()
    ids = [wire.decode(value, Detection).event_id for _, value in records]
    assert set(ids) == {event_id(one.camera_id, _key(item)) for item in items}


def _key(item: dict[str, Any]) -> str:
    return default_key(datetime.fromisoformat(item["captured_at"]), item["plate"], None)


async def _openalpr(pusher: Pusher, message: Any) -> httpx.Response:
    return await pusher.client.post("/v1/webhooks/openalpr", json=message, headers=pusher.headers)


async def test_an_openalpr_group_becomes_a_detection(pusher: Pusher) -> None:
    at = (datetime.now(UTC) - timedelta(minutes=5)).replace(microsecond=0)
    response = await _openalpr(pusher, sample("alpr_group", at))
    assert response.status_code == 202
    [item] = response.json()["items"]
    [stored] = await pusher.stored()
    assert item == {"index": 0, "status": "accepted", "event_id": str(stored.event_id)}
    assert stored.claimed_at == stored.captured_at == at
    assert (stored.format, stored.plate_raw, stored.region) == ("openalpr", "10042XX", "us-ma")
    assert stored.plate_confidence == pytest.approx(0.9325465393)
    assert stored.candidates == (Candidate(plate="10042XX", confidence=stored.plate_confidence or 0),)
    for attribute, value, confidence in (
        (stored.make, "bmw", 0.9999908447),
        (stored.model, "bmw_x3", 0.9960665131),
        (stored.colour, "white", 0.9914266968),
        (stored.body, "suv-crossover", 0.9989404297),
    ):
        assert attribute is not None
        assert attribute.value == value
        assert attribute.confidence == pytest.approx(confidence)
    assert stored.position == Position(latitude=39.5, longitude=-78.5)
    everything = await pusher.bytes_in_topics()
    for word in (b"signature", b"1h_0d72cd", b"jpeg", b"JPEG", b"company", b"TESTTEST", b"vehicle_path"):
        assert word not in everything


async def test_an_openalpr_group_of_years_ago_leaves_no_trace(pusher: Pusher) -> None:
    response = await _openalpr(pusher, sample("alpr_group"))
    assert response.status_code == 202
    assert response.json()["items"] == [{"index": 0, "status": "dropped", "reason": "past_retention"}]
    assert await pusher.bytes_in_topics() == b""


async def test_an_agents_other_messages_are_answered_so_that_it_goes_on(pusher: Pusher) -> None:
    now = datetime.now(UTC)
    heartbeat = {"data_type": "heartbeat", "company_id": "x", "timestamp": 1}
    preview = {**sample("alpr_group", now), "is_preview": True}
    for message, reason in (
        (sample("alpr_alert"), "past_retention"),
        (heartbeat, "heartbeat"),
        (preview, "preview"),
    ):
        response = await _openalpr(pusher, message)
        assert response.status_code == 202
        assert response.json()["items"] == [{"index": 0, "status": "dropped", "reason": reason}]
    assert await pusher.bytes_in_topics() == b""


async def test_what_no_agent_sends_is_a_problem(pusher: Pusher) -> None:
    for message in ({"data_type": "weather"}, {"plate": PLATE}, 7):
        response = await _openalpr(pusher, message)
        assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
        assert PLATE not in response.text


async def test_the_documentation_knows_the_routes(pusher: Pusher) -> None:
    document = (await pusher.client.get("/openapi.json")).json()
    assert {"/v1/detections", "/v1/webhooks/openalpr"} <= document["paths"].keys()
    page = (await pusher.client.get("/docs")).text
    assert "/v1/webhooks/openalpr" in page


def test_without_a_broker_the_process_says_once_where_it_looked_for_one(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = {"PLATETRAIL_KAFKA_BOOTSTRAP": f"planted-user:planted-password@{address}"}
    child = Child("gateway", [sys.executable, "-m", "services.gateway"], log_file=tmp_path / "log", env=env, cwd=ROOT)
    until(lambda: child.returncode is not None, "the gateway has ended")
    assert child.returncode not in (None, 0)
    lines = [json.loads(line) for line in child.output().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines].count("failed") == 1
    assert lines[-1]["reason"].startswith(f"no broker at {address}: ")
    assert "planted" not in child.output()
