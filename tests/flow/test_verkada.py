"""A vendor that signs what it sends: registered through the search service, pushed to the gateway, end to end."""

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from schemas import topics, wire
from schemas.detections import Detection
from schemas.owners import OwnerRules
from services import relay
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support.database import Database
from tests.support.http import serving
from tests.support.searching import Keys, in_process
from tests.support.topics import make_topics, tail
from tests.support.wait import until_async

PATH = "/v1/webhooks/verkada"
DEVICE = "5f0c2b1e-7a44-4c39-9f1d-2f6f8f0f7b1c"
SECRET = "what-the-vendor-signs-with"
SECOND = "what-it-signs-with-from-now-on"
PROBLEM = "application/problem+json"
CAMERA = {
    "camera_id": "gate-5",
    "name": "Gate 5",
    "latitude": 39.74,
    "longitude": -105.21,
    "timezone": "America/Denver",
    "format": "verkada",
    "proof": "signature",
    "device_id": DEVICE,
    "signing_secret": SECRET,
}


def event(plate: str) -> bytes:
    created = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())
    data = {"camera_id": DEVICE, "created": created, "license_plate_number": plate, "confidence": 0.9}
    return json.dumps({"webhook_type": "lpr", "data": data}, indent=1).encode()


def signed(body: bytes, secret: str = SECRET, *, ago_s: int = 0) -> dict[str, str]:
    at = str(int(datetime.now(UTC).timestamp()) - ago_s)
    made = hmac.new(secret.encode(), body + b"|" + at.encode(), hashlib.sha256).hexdigest()
    return {"Verkada-Signature": f"{at}|{made}", "Content-Type": "application/json"}


async def test_what_a_vendor_signed_is_taken_and_nothing_else(kafka: Kafka, database: Database, tmp_path: Path) -> None:
    await make_topics(kafka.bootstrap)
    people = Keys(tmp_path, OwnerRules())
    operator = people.bearer("olga", role="camera_operator")
    stop = asyncio.Event()
    outbox = Settings(kafka_bootstrap=kafka.bootstrap, database_url=database.url("platetrail_relay"))
    relaying = asyncio.create_task(relay.work(outbox, stop))
    async with (
        in_process(people.settings(database)) as search,
        serving(build(Settings(kafka_bootstrap=kafka.bootstrap))) as gateway,
        tail(kafka.bootstrap, topics.DETECTIONS) as detections,
    ):

        async def push(body: bytes, headers: dict[str, str]) -> httpx.Response:
            return await gateway.post(PATH, content=body, headers=headers)

        registered = await search.post("/v1/cameras", json=CAMERA, headers=operator)
        assert registered.status_code == 201, registered.text
        assert registered.json()["key"] is None
        for answer in (registered, await search.get("/v1/cameras.csv", headers=operator)):
            assert DEVICE in answer.text
            assert SECRET not in answer.text
        assert (
            await search.post("/v1/cameras", json=CAMERA | {"camera_id": "gate-6"}, headers=operator)
        ).status_code == 409

        async def known() -> bool:
            body = event("VRK0001")
            return (await push(body, signed(body))).status_code == 200

        await until_async(known, "the gateway knows the camera")
        body = event("VRK0042")
        refused: list[tuple[bytes, dict[str, str]]] = [
            (body.replace(b"0042", b"0043"), signed(body)),
            (body, signed(body, "a-guess-of-what-it-signs-with")),
            (body, signed(body, ago_s=600)),
            (body, signed(body, ago_s=-600)),
            (body.replace(DEVICE.encode(), b"another"), signed(body.replace(DEVICE.encode(), b"another"))),
            (body, {"Content-Type": "application/json"}),
        ]
        for content, headers in refused:
            answer = await push(content, headers)
            assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
            assert "VRK" not in answer.text
        big = event("VRK0044") + b" " * 300_000
        assert (await push(big, signed(big))).status_code == 413
        assert (await push(body, signed(body) | {"Content-Encoding": "gzip"})).status_code == 415
        stored = [wire.decode(value, Detection) for _, value in await detections.records()]
        assert {(one.camera_id, one.plate_raw) for one in stored} == {("gate-5", "VRK0001")}
        lines = (await gateway.get("/metrics")).text.splitlines()
        counted = {line.split()[0]: float(line.split()[1]) for line in lines if "gateway_refused_total{" in line}
        assert counted['platetrail_gateway_refused_total{reason="stale"}'] == 2
        assert counted['platetrail_gateway_refused_total{reason="wrong_key"}'] == 2
        assert counted['platetrail_gateway_refused_total{reason="no_proof"}'] == 1
        assert "platetrail_gateway_held_bytes 0.0" in lines

        rotated = await search.post("/v1/cameras/gate-5/keys", json={"signing_secret": SECOND}, headers=operator)
        assert rotated.status_code == 201, rotated.text

        async def old_ends() -> bool:
            return (await push(body, signed(body))).status_code == 401

        await until_async(old_ends, "the old secret is refused")
        assert (await push(body, signed(body, SECOND))).status_code == 200
        assert not relaying.done()
    stop.set()
    await relaying
