"""The gateway under pressure, on Apache Kafka: packed bodies, one camera that floods, bodies that take their time."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ingest.budget import REQUEST_BYTES
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support.cameras import camera
from tests.support.http import serving
from tests.support.topics import make_topics, tail, write
from tests.support.wait import until_async

PATH = "/v1/detections"
PROBLEM = "application/problem+json"
GZIP = {"Content-Encoding": "gzip"}
LINES = {"Content-Type": "application/x-ndjson"}


def read(number: int = 0) -> dict[str, Any]:
    return {"captured_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), "plate": f"PRS{number:04}"}


async def registered(kafka: Kafka) -> tuple[Camera, dict[str, str]]:
    await make_topics(kafka.bootstrap)
    one, key = camera()
    await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    return one, {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def gateway(kafka: Kafka, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(build(Settings(kafka_bootstrap=kafka.bootstrap, **changes))) as client:
        yield client


async def counted(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def is_problem(answer: httpx.Response, status: int) -> bool:
    return (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)


async def test_packed_bodies_are_taken_and_bombs_are_not(kafka: Kafka) -> None:
    _, key = await registered(kafka)
    reads = [read(number) for number in range(1000)]
    lines = b"\n".join(json.dumps(item).encode() for item in reads)
    async with gateway(kafka, body_limit_bytes=200_000) as client, tail(kafka.bootstrap, topics.DETECTIONS) as tailed:

        async def push(body: bytes, **headers: str) -> httpx.Response:
            return await client.post(PATH, content=body, headers=key | GZIP | headers)

        array = await push(gzip.compress(json.dumps(reads).encode()), **{"Content-Type": "application/json"})
        assert (array.status_code, array.json()["accepted"]) == (202, 1000)
        half = len(lines) // 2
        two = await push(gzip.compress(lines[:half]) + gzip.compress(lines[half:]), **LINES)
        assert (two.status_code, two.json()["accepted"]) == (202, 1000)
        event = gzip.compress(b'{"data_type": "heartbeat", "company_id": "x", "timestamp": 1}')
        webhook = await client.post("/v1/webhooks/openalpr", content=event, headers=key | GZIP)
        assert webhook.status_code == 202
        plates = [wire.decode(value, Detection).plate_raw for _, value in await tailed.records()]
        assert plates == [f"PRS{number:04}" for number in range(1000)] * 2

        bomb = gzip.compress(bytes(100_000_000), compresslevel=1)
        assert len(bomb) > 200_000, "it is longer than the limit, so it must be refused for its length too"
        smaller = gzip.compress(bytes(2_000_000))
        assert len(smaller) < 10_000
        for body, status in ((bomb, 413), (smaller, 413), (gzip.compress(b"{}")[:-1], 400), (b"{}", 400)):
            assert is_problem(await push(body), status)
        assert is_problem(await push(gzip.compress(b"{}"), **{"Content-Encoding": "gzip, gzip"}), 415)
        assert await counted(client, "platetrail_gateway_held_bytes") == 0
        assert len(await tailed.records()) == 2000


async def test_what_is_packed_counts_as_large_as_it_is(kafka: Kafka) -> None:
    _, key = await registered(kafka)
    body = gzip.compress(json.dumps(read()).encode() + b" " * 500_000)
    assert len(body) < 2000
    async with gateway(kafka, in_flight_limit_bytes=400_000) as client:
        answer = await client.post(PATH, content=body, headers=key | GZIP)
        assert is_problem(answer, 503)
        assert int(answer.headers["retry-after"]) > 0


async def test_a_camera_that_floods_is_told_to_wait_and_the_others_are_not(kafka: Kafka) -> None:
    _, flooding = await registered(kafka)
    _, other = await registered(kafka)
    async with gateway(kafka, camera_requests_per_s=0.1, camera_requests_burst=5) as client:

        async def push(key: dict[str, str]) -> httpx.Response:
            return await client.post(PATH, json=read(), headers=key)

        answers = await asyncio.gather(*(push(flooding) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 15
        refused = [answer for answer in answers if answer.status_code == 429]
        assert all(is_problem(answer, 429) and 1 <= int(answer.headers["retry-after"]) <= 10 for answer in refused)
        assert (await push(other)).status_code == 202
        assert await counted(client, 'platetrail_gateway_limited_total{reason="requests"}') == 15


async def test_items_are_limited_too_before_the_next_body_is_read(kafka: Kafka) -> None:
    _, flooding = await registered(kafka)
    _, other = await registered(kafka)
    async with gateway(kafka, camera_items_per_s=1, camera_items_burst=10) as client:
        whole = [read(number) for number in range(100)]
        assert (await client.post(PATH, json=whole, headers=flooding)).json()["accepted"] == 100
        again = await client.post(PATH, content=b"never read as JSON", headers=flooding)
        assert is_problem(again, 429)
        assert 80 <= int(again.headers["retry-after"]) <= 91
        assert (await client.post(PATH, json=whole, headers=other)).json()["accepted"] == 100
        assert await counted(client, 'platetrail_gateway_limited_total{reason="items"}') == 1


class SlowPush:
    """A request of which `size` bytes of the body come at once, and the rest when it is told to finish.

    Over a bare connection: a client that reads the answer before it has sent the body is what a refused camera is.
    """

    def __init__(self, answer: "asyncio.Task[bytes]", writer: asyncio.StreamWriter, rest: bytes) -> None:
        self._answer = answer
        self._writer = writer
        self._rest = rest

    @classmethod
    async def begin(cls, client: httpx.AsyncClient, key: dict[str, str], size: int) -> "SlowPush":
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        rest = json.dumps(read()).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {key['Authorization']}\r\nConnection: close\r\n"
        )
        writer.write(f"{head}Content-Length: {size + len(rest)}\r\n\r\n".encode() + b" " * size)
        return cls(asyncio.create_task(reader.read()), writer, rest)

    @property
    def is_answered(self) -> bool:
        return self._answer.done()

    async def answer(self) -> tuple[int, bool, bool]:
        """Return the status, whether it is a problem document, and whether it says when to come again."""
        head, _, _ = (await self._answer).partition(b"\r\n\r\n")
        status, headers = int(head.split()[1]), head.lower()
        return status, PROBLEM.encode() in headers, b"retry-after: " in headers

    async def finish(self) -> tuple[int, bool, bool]:
        if not self.is_answered:
            self._writer.write(self._rest)
        found = await self.answer()
        self._writer.close()
        return found


async def test_slow_bodies_are_held_up_to_the_bound_and_those_beyond_come_again(kafka: Kafka) -> None:
    limit, size, pushes = 1_000_000, 50_000, 40
    keys = [(await registered(kafka))[1] for _ in range(pushes)]
    async with gateway(kafka, in_flight_limit_bytes=limit, camera_in_flight_bytes=limit) as client:
        slow = [await SlowPush.begin(client, key, size) for key in keys]
        room = limit // (size + REQUEST_BYTES)

        async def refused() -> bool:
            assert await counted(client, "platetrail_gateway_held_bytes") <= limit
            return sum(push.is_answered for push in slow) >= pushes - room

        await until_async(refused, "those that there is no room for are sent away")
        answers = [await push.finish() for push in slow]
        assert (room, answers.count((503, True, True))) == (17, pushes - room)
        assert answers.count((202, False, False)) == room
        assert await counted(client, "platetrail_gateway_held_bytes") == 0


async def test_one_cameras_slow_bodies_leave_room_for_the_others(kafka: Kafka) -> None:
    _, flooding = await registered(kafka)
    _, other = await registered(kafka)
    async with gateway(kafka, in_flight_limit_bytes=1_000_000, camera_in_flight_bytes=200_000) as client:
        slow = [await SlowPush.begin(client, flooding, 50_000) for _ in range(10)]

        async def refused() -> bool:
            return sum(push.is_answered for push in slow) >= 7

        await until_async(refused, "all but three are sent away")
        assert (await client.post(PATH, json=read(), headers=other)).status_code == 202
        answers = [await push.finish() for push in slow]
        assert (answers.count((202, False, False)), answers.count((429, True, True))) == (3, 7)
        assert await counted(client, 'platetrail_gateway_limited_total{reason="bytes"}') == 7


@pytest.mark.parametrize("name", ["camera_requests_per_s", "camera_items_per_s"])
def test_a_rate_of_nothing_is_no_setting(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.model_validate({name: 0})
