"""Any bytes to any route of any service, on real parts: a 2xx, or a problem of the 4xx; no crash, no hang, no echo."""

import gzip
import json
import re
import socket
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.problems import MEDIA_TYPE
from services.cli import contracts
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from tests.support import fleet, samples
from tests.support.database import Database
from tests.support.fleet import Service

CANARY: Final = "QQ7CANARY"
HANG_S: Final = 30.0
"""Nothing is timed: this is when a request counts as one that is never answered."""

DOCUMENTS: Final[dict[str, Any]] = {
    name: json.loads((ROOT / contracts.FOLDER / f"{name}.openapi.json").read_bytes()) for name in fleet.LISTENING
}
OPEN: Final = ["/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"]
ROUTES: Final = [
    *((name, path) for name, document in DOCUMENTS.items() for path in document["paths"]),
    *((name, path) for name in DOCUMENTS for path in [*OPEN, "/", "/{nowhere}", "/v1/{nowhere}"]),
]
JSON: Final = "application/json"
QUERIES: Final = ["?QQ7CANARY=QQ7CANARY", "?limit=x", "?after=-2", "?check_only=", "?from=1", "?%ff", "?kind=QQ7CANARY"]
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", CANARY]
SEGMENT: Final = st.sampled_from([CANARY, "north-1", "import", "..", "%00", "%2e%2e%2f", "a" * 5000]) | st.text(
    max_size=30
).map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe=""))
VISIBLE: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60).map(str.strip)
NAMES: Final = st.sampled_from(
    [
        *("Accept", "Accept-Encoding", "Content-Encoding", "Idempotency-Key", "X-Api-Key", "X-Proxy-Secret", "Cookie"),
        *("X-Client-Certificate-SHA256", "Expect", "Origin", "If-Match", "Range", "Traceparent", "X-Forwarded-For"),
    ]
)
TYPES: Final = st.sampled_from(
    [
        *("application/json", "application/x-ndjson", "text/xml", "text/csv", "application/merge-patch+json", ""),
        *("multipart/form-data; boundary=x", "multipart/form-data", "application/json; charset=utf-16", CANARY),
        *("application/json; charset=QQ7CANARY", "application/problem+json"),
    ]
)
QUESTION: Final = {
    "plate": CANARY,
    "match": "exact",
    "window": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
    "purpose": {"code": "stolen_vehicle", "case_number": CANARY, "authority": {"kind": "none"}},
}
CAMERA: Final = {
    "camera_id": CANARY,
    "owner": CANARY,
    "name": CANARY,
    "latitude": 1,
    "longitude": 2,
    "timezone": CANARY,
}
FILTER: Final = {"user": CANARY, "case": CANARY, "kind": CANARY, "limit": 1}
READ: Final = {"captured_at": "2026-03-01T12:00:00Z", "plate": CANARY, "make": {"value": CANARY}, CANARY: CANARY}
ODD: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(
        [10**400, 1e308, "\x00", CANARY, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", [], {}, [[]]]
    ),
)


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


BODIES: Final = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", CANARY.encode(), b"{", b"[]", b"[" * 2000, b"null", b"NaN", _dumped({CANARY: CANARY}), b"\xff"]
    ),
    st.builds(
        lambda whole, name, odd: _dumped({**whole, name: odd}),
        st.sampled_from([QUESTION, CAMERA, FILTER, READ, {"proof": "certificate"}]),
        st.sampled_from([*QUESTION, *CAMERA, *FILTER, *READ, "cursor", "certificate_sha256", "proof"]),
        ODD,
    ),
    st.lists(ODD, max_size=4).map(_dumped),
    st.sampled_from([samples.body(name).replace(b"a", CANARY.encode(), 1) for name in samples.NAMES]),
    st.builds(lambda data, cut: gzip.compress(data)[:cut], st.binary(max_size=50), st.integers(0, 80)),
    st.just(b"camera_id,name\r\n" + CANARY.encode() + b',"\r\n'),
)


@pytest.fixture(scope="module")
def services(
    kafka: Kafka, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Service]]:
    with fleet.running(kafka, database, tmp_path_factory.mktemp("fleet")) as found:
        yield found


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=HANG_S) as made:
        yield made


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str, dict[str, str], bytes]:
    """Draw a service, method, path with query, headers and body."""
    name, template = draw(st.sampled_from(ROUTES))
    documented = [method.upper() for method in DOCUMENTS[name]["paths"].get(template, ["get"])]
    method = draw(st.sampled_from(documented * 4 + METHODS))
    path = re.sub(r"\{\w+\}", lambda _: draw(SEGMENT), template) + draw(st.sampled_from(["", "", "", "/", "//"]))
    query = draw(st.sampled_from(["", *QUERIES]))
    proof = draw(st.sampled_from(["right", "right", "right", "none", f"Bearer {CANARY}", f"Basic {CANARY}", CANARY]))
    headers = draw(st.dictionaries(NAMES, VISIBLE | st.just(CANARY), max_size=3)) | {"Content-Type": draw(TYPES)}
    if proof != "none":
        headers["Authorization"] = proof
    return name, method, path + query, headers, draw(BODIES)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
@example(
    ("search", "POST", "/v1/trajectories", {"Authorization": "right", "Content-Type": "application/json"}, b"[" * 9000)
)
@example(("gateway", "POST", f"/v1/push/{CANARY}", {"Content-Type": "application/json"}, _dumped(READ)))
@example(("gateway", "POST", f"/v1/push/{CANARY}/", {"Content-Type": JSON}, _dumped(READ)))
@example(("auditing", "GET", f"/v1/audit/entries?kind={CANARY}&{CANARY}=1", {"Authorization": "right"}, b""))
def test_any_request_is_answered(
    services: dict[str, Service], client: httpx.Client, request: tuple[str, str, str, dict[str, str], bytes]
) -> None:
    name, method, path, headers, body = request
    if headers.get("Authorization") == "right":
        headers = headers | {"Authorization": services[name].authorization}
    answer = client.request(method, services[name].url + path, headers=headers, content=body)
    assert answer.status_code < 500, (name, method, answer.status_code)
    assert 200 <= answer.status_code < 300 or answer.status_code >= 400
    if answer.status_code >= 400 and answer.text != NO_HTTP:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert method == "HEAD" or answer.json()["status"] == answer.status_code
    if answer.status_code >= 400 or name != "search":  # the registry shows a camera as it was registered
        assert CANARY.lower() not in (answer.text + str(answer.headers)).lower()


NO_HTTP: Final = "Invalid HTTP request received."
"""What the web server itself answers to what is no HTTP: it has not got as far as a route."""

LINES: Final = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            *(b"GET / HTTP/1.1", b"POST /v1/detections HTTP/1.1", b"GET /QQ7CANARY HTTP/9.9", b"QQ7CANARY", b""),
            *(b"Host: x", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 9", b"QQ7CANARY: QQ7CANARY"),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: QQ7CANARY", b"5", b"ffffffffffff", b"0"),
            *(b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: Upgrade", b"X: @"),
        ]
    ),
    max_size=8,
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(fleet.LISTENING), lines=LINES)
def test_any_bytes_on_the_wire_are_answered_or_cut_off(
    services: dict[str, Service], client: httpx.Client, name: str, lines: list[bytes]
) -> None:
    url = httpx.URL(services[name].url)
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=HANG_S) as wire:
        received = b""
        try:
            wire.sendall(b"\r\n".join(lines).replace(b"@", b"Q" * 70_000))
            wire.shutdown(socket.SHUT_WR)
            while piece := wire.recv(65536):
                received += piece
        except TimeoutError:
            raise
        except OSError:
            pass  # cut off
    for status in re.findall(rb"HTTP/1\.1 ([0-9]{3})", received):
        assert status[:1] in b"24" or status == b"100"
    assert CANARY.encode() not in received
    assert client.get(f"{services[name].url}/healthz").is_success


def test_nothing_of_all_that_is_in_a_log(services: dict[str, Service], client: httpx.Client) -> None:
    """It runs last, after the requests above."""
    for service in services.values():
        client.post(f"{service.url}/{CANARY}?{CANARY}", headers={"X-Api-Key": CANARY}, content=CANARY)
        written = service.log.read_text()
        assert '"ready"' in written
        assert CANARY.lower() not in written.lower()
        assert "unhandled" not in written
