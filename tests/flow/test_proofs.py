"""Each way in which a camera proves itself, at the running gateway on Apache Kafka."""

import base64
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas import keys, topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support.cameras import camera
from tests.support.http import serving
from tests.support.topics import make_topics, tail, write

SECRET = "what only the proxy and the gateway know"
PRINT = "5e" * 32


def read() -> dict[str, Any]:
    return {"captured_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), "plate": "PRF0042"}


@pytest.fixture
async def gateway(kafka: Kafka, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    await make_topics(kafka.bootstrap)
    (tmp_path / "proxy").write_text(SECRET + "\n")
    settings = Settings(kafka_bootstrap=kafka.bootstrap, proxy_secret_file=tmp_path / "proxy")
    async with serving(build(settings)) as client:
        yield client


async def known(kafka: Kafka, one: Camera) -> Camera:
    await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    return one


async def refusals(gateway: httpx.AsyncClient, reason: str) -> float:
    lines = (await gateway.get("/metrics")).text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith(f'platetrail_gateway_refused_total{{reason="{reason}"}}')
    )


async def test_a_key_in_every_header(gateway: httpx.AsyncClient, kafka: Kafka) -> None:
    one, key = camera()
    await known(kafka, one)
    basic = base64.b64encode(f"{one.camera_id}:{key}".encode()).decode()
    async with tail(kafka.bootstrap, topics.DETECTIONS) as detections:
        for headers in ({"X-Api-Key": key}, {"Authorization": f"Basic {basic}"}, {"Authorization": f"Bearer {key}"}):
            assert (await gateway.post("/v1/detections", json=read(), headers=headers)).status_code == 202
        stored = [wire.decode(value, Detection) for _, value in await detections.records()]
    assert [item.camera_id for item in stored] == [one.camera_id] * 3


async def test_digest(gateway: httpx.AsyncClient, kafka: Kafka) -> None:
    one, key = camera(proof="digest", format="hikvision")
    ha1 = keys.digest_ha1(one.camera_id, key)
    await known(kafka, Camera(**({name: getattr(one, name) for name in one.__struct_fields__} | {"digest_ha1": ha1})))
    path = "/v1/webhooks/hikvision"
    message = b"<EventNotificationAlert><eventType>videoloss</eventType></EventNotificationAlert>"
    headers = {"Content-Type": "application/xml"}
    before = await refusals(gateway, "wrong_key")
    good = httpx.DigestAuth(one.camera_id, key)
    for _ in range(2):
        assert (await gateway.post(path, content=message, headers=headers, auth=good)).status_code == 200
    wrong = httpx.DigestAuth(one.camera_id, keys.new().key)
    assert (await gateway.post(path, content=message, headers=headers, auth=wrong)).status_code == 401
    assert await refusals(gateway, "wrong_key") == before + 1


async def test_a_certificate(gateway: httpx.AsyncClient, kafka: Kafka) -> None:
    one, _ = camera(proof="certificate", certificate_sha256=PRINT)
    await known(kafka, one)
    shown = {"X-Client-Certificate-SHA256": PRINT}
    good = await gateway.post("/v1/detections", json=read(), headers=shown | {"X-Proxy-Secret": SECRET})
    assert good.status_code == 202
    for said in ({}, {"X-Proxy-Secret": "somebody else's guess, as long as it is"}):
        assert (await gateway.post("/v1/detections", json=read(), headers=shown | said)).status_code == 401
    assert await refusals(gateway, "untrusted_proxy") == 2


async def test_a_token_in_the_path_is_nowhere_afterwards(
    gateway: httpx.AsyncClient, kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = keys.new_token()
    one, _ = camera(proof="url", format="axis", key_prefix=token.prefix, key_sha256=token.sha256)
    await known(kafka, one)
    answers = [
        await gateway.post(f"/v1/push/{token.key}", content=content, headers={"Content-Type": "application/json"})
        for content in (json.dumps({"no": "plate"}), "{")
    ]
    assert [answer.status_code for answer in answers] == [422, 400]
    assert (await gateway.post(f"/v1/push/{keys.new_token().key}")).status_code == 401
    secret = token.key.split("_", 2)[2]  # may hold "_" itself
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any(secret in record.getMessage() for record in ours)
    assert not any(secret in answer.text for answer in answers)
    assert secret not in (await gateway.get("/metrics")).text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active_from": datetime(2100, 1, 1, tzinfo=UTC)}, "not_active"),
        ({"active_until": datetime(2026, 1, 1, tzinfo=UTC)}, "not_active"),
        ({"active": False}, "retired"),
    ],
)
async def test_who_may_not_push_is_refused_and_counted(
    gateway: httpx.AsyncClient, kafka: Kafka, changes: dict[str, Any], reason: str
) -> None:
    one, key = camera(**changes)
    await known(kafka, one)
    async with tail(kafka.bootstrap, topics.DETECTIONS) as detections:
        answer = await gateway.post("/v1/detections", json=read(), headers={"X-Api-Key": key})
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        assert await detections.records() == []
    assert await refusals(gateway, reason) == 1
    assert one.camera_id not in (await gateway.get("/metrics")).text


def test_a_guessable_secret_of_the_proxy_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("short")
    with pytest.raises(ValueError, match="32 characters"):
        build(Settings(proxy_secret_file=tmp_path / "proxy"))
