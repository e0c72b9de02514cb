"""An agent's group, from its push to an answered question, through every process as users run them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics
from schemas.cameras import Camera
from schemas.owners import OwnerRules
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child, stop_all
from tests.support import leaks, stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import sighting
from tests.support.openalpr import sample
from tests.support.reads import register
from tests.support.searching import Keys, Process
from tests.support.topics import Tail, make_topics, tail
from tests.support.wait import until_async

PLATE = "10042XX"
WINDOW = 10
"""Hexadecimal digits of the signature in a row that would be a part of it, and no accident."""


class Journey(NamedTuple):
    """The processes of the path, a camera of `north`, what is in the topics since, and every log."""

    database: Database
    camera: Camera
    key: str
    gateway_url: str
    search_url: str
    keys: Keys
    tails: dict[str, Tail]
    children: list[Child]
    logs: list[Path]
    publisher: KafkaPublisher

    async def push(self, message: dict[str, Any]) -> httpx.Response:
        url, headers = f"{self.gateway_url}/v1/webhooks/openalpr", {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.post(url, json=message, headers=headers)

    async def metrics(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.gateway_url}/metrics")).text

    async def ask(self, since: datetime) -> httpx.Response:
        body = {
            "plate": PLATE,
            "match": "exact",
            "window": {"from": since.isoformat(), "to": datetime.now(UTC).isoformat()},
            "purpose": {"code": "stolen_vehicle", "case_number": "2026-004711", "authority": {"kind": "none"}},
        }
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.post(f"{self.search_url}/v1/trajectories", json=body, headers=self.keys.bearer())

    async def rows(self) -> list[Any]:
        return await stages.rows_of(self.database, self.camera.camera_id)

    async def in_topics(self) -> dict[str, list[bytes]]:
        return {name: [key + value for key, value in await one.records()] for name, one in self.tails.items()}


@pytest_asyncio.fixture
async def path(kafka: Kafka, database: Database, tmp_path: Path) -> AsyncIterator[Journey]:
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    await register(database, "north")
    own, key = camera()
    keys = Keys(tmp_path, OwnerRules())
    children: list[Child] = []
    try:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(KafkaPublisher(kafka.bootstrap, timeout_s=30))
            await stages.put_cameras(publisher, own)
            watched = (topics.DETECTIONS, topics.SIGHTINGS, topics.DEAD_LETTERS)
            tails = {name: await stack.enter_async_context(tail(kafka.bootstrap, name)) for name in watched}
            ports = await asyncio.to_thread(lambda: dict(_started(kafka, database, keys, tmp_path, children)))
            logs = [*(child.log_file for child in children), kafka.log_file, database.postgres.log_file]
            urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            yield Journey(database, own, key, urls["gateway"], urls["search"], keys, tails, children, logs, publisher)
    finally:
        await asyncio.to_thread(stop_all, children)


def _started(
    kafka: Kafka, database: Database, keys: Keys, folder: Path, children: list[Child]
) -> Iterator[tuple[str, int]]:
    """Start the processes; yield the ports of those that listen."""
    for name in ("enricher", "indexer"):
        worker = stages.Worker(name, stages.settings(kafka.bootstrap, database), folder)
        children.append(worker)
        worker.wait_until_ready()
    env = {"PLATETRAIL_KAFKA_BOOTSTRAP": kafka.bootstrap, "PLATETRAIL_LISTEN_PORT": "0"}
    argv = [sys.executable, "-m", "services.gateway"]
    gateway = Child("gateway", argv, log_file=folder / "gateway.log", env=env, cwd=ROOT)
    children.append(gateway)
    gateway.wait_ready(lambda: _port_said(gateway) is not None, 60)
    yield "gateway", _port_said(gateway) or 0
    search = Process(keys, database, folder / "search.log")
    children.append(search.child)
    yield "search", search.port


def _port_said(child: Child) -> int | None:
    """Return the port that a service says it is ready at."""
    lines = [json.loads(line) for line in child.output().splitlines() if line.startswith("{") and line.endswith("}")]
    ports: list[int] = [line["port"] for line in lines if line["event"] == "ready"]
    return ports[0] if ports else None


def parts_of(signature: str) -> set[bytes]:
    """Return every run of some digits of a signature."""
    return {signature[start : start + WINDOW].encode() for start in range(len(signature) - WINDOW)}


def parts_in(content: bytes, parts: set[bytes]) -> list[bytes]:
    """Return the parts of a signature that stand in some bytes."""
    return [part for part in parts if part in content]


async def test_a_group_of_five_minutes_ago_is_a_point_of_the_trajectory_and_its_signature_is_nowhere(
    path: Journey,
) -> None:
    at = (datetime.now(UTC) - timedelta(minutes=5)).replace(microsecond=0)
    message = sample("alpr_group", at)
    assert len(message["vehicle_signature"]) > 1000
    pushed = await path.push(message)
    assert pushed.status_code == 202, pushed.text
    assert pushed.json()["accepted"] == 1

    async def indexed() -> bool:
        return bool(await path.rows())

    await until_async(indexed, "the read is in the index")
    answer = await path.ask(at - timedelta(hours=1))
    assert answer.status_code == 200, answer.text
    (point,) = answer.json()["points"]
    assert point["captured_at"] == at.isoformat().replace("+00:00", "Z")
    assert (point["camera_id"], point["owner"], point["plate"]) == (path.camera.camera_id, "north", PLATE)
    assert (point["make"]["value"], point["colour"]["value"], point["region"]) == ("bmw", "white", "US-MA")
    assert point["make"]["confidence"] == pytest.approx(0.99999, abs=1e-4)
    assert point["colour"]["confidence"] == pytest.approx(0.99143, abs=1e-4)
    (candidate,) = point["candidates"]
    assert (candidate["plate"], candidate["confidence"]) == (PLATE, pytest.approx(0.932547, abs=1e-5))

    topics_hold = await path.in_topics()
    assert [len(topics_hold[name]) for name in (topics.DETECTIONS, topics.SIGHTINGS, topics.DEAD_LETTERS)] == [1, 1, 0]
    places = {name: b"".join(records) for name, records in topics_hold.items()}
    places["rows"] = repr([dict(row) for row in await path.rows()]).encode()
    places["answers"] = pushed.content + answer.content
    places |= {log.name: log.read_bytes() for log in path.logs}
    assert places.keys() >= {"gateway.log", "enricher.log", "indexer.log", "search.log", "kafka.log", "postgres.log"}
    parts = parts_of(message["vehicle_signature"])
    assert {name: found for name, content in places.items() if (found := parts_in(content, parts))} == {}
    assert {name for name, content in places.items() if b"signature" in content.lower()} == set()
    planted = places["rows"] + message["vehicle_signature"][500:520].encode()
    assert parts_in(planted, parts), "the search for parts is not blind"


async def test_a_group_of_years_ago_is_dropped_and_counted_and_leaves_nothing(path: Journey) -> None:
    message = sample("alpr_group")
    pushed = await path.push(message)
    assert pushed.status_code == 202
    assert pushed.json() == {
        "accepted": 0,
        "items": [{"index": 0, "status": "dropped", "reason": "past_retention"}],
    }
    counted = [line for line in (await path.metrics()).splitlines() if 'reason="past_retention"' in line]
    assert [line.split()[-1] for line in counted if "_total{" in line] == ["1.0"]

    # A read that came after it has gone all the way: what came before would be there.
    fresh = await path.push(sample("alpr_group", datetime.now(UTC) - timedelta(minutes=5)))
    (item,) = fresh.json()["items"]

    async def indexed() -> bool:
        return bool(await path.rows())

    await until_async(indexed, "the read that came after it is in the index")
    assert [str(row["pass_id"]) for row in await path.rows()] == [item["event_id"]]
    held = await path.in_topics()
    assert [len(held[name]) for name in (topics.DETECTIONS, topics.SIGHTINGS, topics.DEAD_LETTERS)] == [1, 1, 0]
    began = datetime.fromtimestamp(message["epoch_start"] / 1000, UTC)
    traces = [str(message["epoch_start"]).encode(), began.isoformat()[:19].encode()]
    everything = [
        *(record for records in held.values() for record in records),
        *(log.read_bytes() for log in path.logs),
    ]
    assert [trace for trace in traces for content in everything if trace in content] == []


async def test_a_row_that_the_database_refuses_ends_the_indexer_and_is_quoted_nowhere(path: Journey) -> None:
    plate = "XQ7O41"
    dayless = datetime.now(UTC) - timedelta(days=9)
    await stages.put_sightings(path.publisher, [sighting(plate=plate, captured_at=dayless, plate_raw="xq7 o41")])
    indexer = next(child for child in path.children if child.name == "indexer")

    async def ended() -> bool:
        return indexer.returncode is not None

    await until_async(ended, "the indexer has ended")
    assert indexer.returncode == 1
    assert "the index has no day" in indexer.output()
    texts = [(log.name, log.read_bytes()) for log in path.logs]
    assert leaks.in_texts(texts, [plate], []) == []
