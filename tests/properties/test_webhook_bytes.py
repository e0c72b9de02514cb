"""Whatever bytes come to any webhook, however declared: an answer of the 2xx, or a problem of the 4xx; no echo."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.gateway import WEBHOOKS
from schemas import topics
from tests.support import samples
from tests.support.gateways import pushing

CANARY: Final = "QQ7CANARY"
NOW: Final = datetime(2026, 10, 1, 12, 40, tzinfo=UTC)
TYPES: Final = st.sampled_from(
    [
        *("", "application/json", "text/xml", "application/xml; charset=utf-8", "text/plain", "image/jpeg"),
        *("multipart/form-data; boundary=x", "multipart/form-data", "multipart/mixed; boundary=boundary"),
    ]
)


def _cut(data: bytes, start: int, length: int, junk: bytes) -> bytes:
    return data[:start] + junk + data[start + length :]


BODIES: Final = st.one_of(
    st.binary(),
    st.builds(
        _cut,
        st.sampled_from([samples.body(name) for name in samples.NAMES]),
        st.integers(0, 3000),
        st.integers(0, 100),
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [
                    *(CANARY.encode(), f'"{CANARY}":"{CANARY}",'.encode(), f"<{CANARY}>{CANARY}</{CANARY}>".encode()),
                    *(b"\r\n\r\n", b"--x\r\n", b"&x;", b"NaN", b"1e999", b"9" * 500, b"[" * 100, b"null", b"{}"),
                ]
            ),
        ),
    ),
)


async def _push(path: str, body: bytes, content_type: str) -> tuple[Any, dict[str, list[tuple[bytes, bytes]]], str]:
    async with pushing(NOW) as camera:
        response = await camera.push(path, body, content_type)
        return response, camera.publisher.records, str(camera.counted)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WEBHOOKS)), BODIES, TYPES)
@example("/v1/webhooks/hikvision", b"<a>" * 300_000, "text/xml")
@example("/v1/webhooks/platerecognizer", b"--x" + b"\r\n\r\n{}\r\n--x" * 32, "multipart/form-data; boundary=x")
def test_any_bytes_are_answered(path: str, body: bytes, content_type: str) -> None:
    response, records, counted = asyncio.run(_push(path, body, content_type))
    if response.status_code >= 300:
        assert 400 <= response.status_code < 500
        assert response.headers["content-type"] == "application/problem+json"
        assert topics.DETECTIONS not in records
    assert CANARY not in response.text + str(response.headers) + counted
