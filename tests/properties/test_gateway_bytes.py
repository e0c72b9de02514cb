"""Whatever bytes come, whatever they are declared to be: an answer of the 2xx, or a problem of the 4xx; never more."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from ingest.adapters.memory import MemoryPublisher, MemoryRegistry
from ingest.budget import Budget
from ingest.gateway import DETECTIONS_PATH, OPENALPR_PATH, Gateway, Limits
from ingest.identify import Identify
from ingest.receive import Receiver
from schemas import topics, wire
from schemas.detections import Detection
from schemas.owners import OwnerRules
from tests.support.cameras import camera
from tests.support.openalpr import sample

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")


def _dumped(value: object) -> bytes:
    return json.dumps(value, default=str).encode("utf-8", "surrogatepass")


CANARY = "QQ7CANARY"
CAMERA, KEY = camera()
PATHS = st.sampled_from([DETECTIONS_PATH, OPENALPR_PATH])
TYPES = st.sampled_from(["application/json", "application/x-ndjson"])
NATIVE: dict[str, Any] = {
    "captured_at": "2026-03-01T12:00:00Z",
    "plate": CANARY,
    "plate_confidence": 0.9,
    "candidates": [{"plate": CANARY, "confidence": 0.5}],
    "make": {"value": "bmw", "confidence": 0.5},
    "position": {"latitude": 1.5, "longitude": 2.5},
    "heading_deg": 20.5,
    "lane": 1,
    "key": "k",
}
GROUP = {**sample("alpr_group"), "best_plate_number": CANARY}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from([10**400, -(10**30), 1e308, float("nan"), float("inf"), "\x00", "\ud800", "9999-12-31T23:59:59Z"]),
    st.recursive(st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10),
)
NAMES = st.sampled_from(sorted({*NATIVE, *GROUP}))
BODIES = st.one_of(
    st.binary(),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(lambda item, name, odd: _dumped({**item, name: odd}), st.sampled_from([NATIVE, GROUP]), NAMES, ODD),
    st.lists(ODD, max_size=5).map(lambda items: _dumped([NATIVE, *items])),
    st.builds(lambda cut, junk: _dumped(NATIVE)[:cut] + junk, st.integers(0, 400), st.binary(max_size=20)),
)


async def _push(path: str, content_type: str, body: bytes) -> tuple[httpx.Response, MemoryPublisher]:
    publisher = MemoryPublisher()
    gateway = Gateway(
        Receiver(publisher, OwnerRules(), future_limit_s=300),
        Identify(MemoryRegistry([CAMERA]), new_key_s=0),
        Budget(10_000_000),
        Limits(body_bytes=1_000_000, items=100),
        clock=lambda: datetime(2026, 3, 1, 12, 1, tzinfo=UTC),
    )
    transport = httpx.ASGITransport(Starlette(routes=gateway.routes()))
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": content_type}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post(path, content=body, headers=headers), publisher


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PATHS, TYPES, BODIES)
@example(DETECTIONS_PATH, "application/json", b"[" * 100_000)
@example(DETECTIONS_PATH, "application/x-ndjson", b"{}\n" * 99 + b"\xff")
@example(DETECTIONS_PATH, "application/json", _dumped(NATIVE))
@example(OPENALPR_PATH, "application/json", _dumped({**GROUP, "epoch_start": 253402300799999}))
def test_any_bytes_are_answered(path: str, content_type: str, body: bytes) -> None:
    response, publisher = asyncio.run(_push(path, content_type, body))
    if response.status_code == 202:
        assert response.headers["content-type"] == "application/json"
        accepted = sum(item["status"] == "accepted" for item in response.json()["items"])
        assert response.json()["accepted"] == accepted == len(publisher.records.get(topics.DETECTIONS, []))
    else:
        assert 400 <= response.status_code < 500
        assert response.headers["content-type"] == "application/problem+json"
        assert publisher.records == {}
    assert CANARY not in response.text
    for _, value in publisher.records.get(topics.DETECTIONS, []):
        detection = wire.decode(value, Detection)
        assert detection.camera_id == CAMERA.camera_id
        assert all(text is None or text.isprintable() for text in (detection.plate_raw, detection.region))


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_any_key_but_the_right_one_is_refused(scheme: str, text: str) -> None:
    async def push() -> int:
        gateway = Gateway(
            Receiver(MemoryPublisher(), OwnerRules(), future_limit_s=300),
            Identify(MemoryRegistry([CAMERA]), new_key_s=0),
            Budget(10_000),
            Limits(body_bytes=1000, items=1),
        )
        transport = httpx.ASGITransport(Starlette(routes=gateway.routes()))
        value = f"{scheme} {text}".encode("utf-8", "surrogatepass")
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return (await client.post(DETECTIONS_PATH, headers={b"Authorization": value})).status_code

    assert asyncio.run(push()) == 401
