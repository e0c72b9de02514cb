"""Every vendor's messages over HTTP: what is published, and what the camera is answered."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from ingest.formats import table
from ingest.formats.read import Dropped, Read, Rejected
from ingest.formats.recognise import recognise
from ingest.gateway import KEEP_ALIVE_PATH, WEBHOOKS
from schemas import topics
from schemas.detections import event_id
from tests.support import samples
from tests.support.allow_list import LISTED, Marker
from tests.support.gateways import pushing
from tests.unit.ingest.formats.expected import EXPECTED

HIKVISION: Final = "/v1/webhooks/hikvision"
TOLLGATE: Final = "/v1/webhooks/dahua/NotificationInfo/TollgateInfo"
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
FAULTY: Final = [
    name for name, (first, *_) in EXPECTED.items() if isinstance(first, Rejected) and first.reason == "time"
]
TAKEN: Final = [name for name in samples.NAMES if name not in FAULTY]


def soon_after(name: str) -> datetime:
    """Return a time at which a sample's reads are five minutes old."""
    claimed = [outcome.claimed_at for outcome in EXPECTED[name] if isinstance(outcome, Read)]
    return (claimed[0] if claimed else datetime(2026, 1, 1, tzinfo=UTC)) + timedelta(minutes=5)


def reports(name: str) -> list[tuple[int, str, str | None]]:
    """Return index, status and reason of each item that a sample's answer lists."""
    said = {Read: "accepted", Rejected: "rejected", Dropped: "dropped"}
    return [(0, said[type(outcome)], getattr(outcome, "reason", None)) for outcome in EXPECTED[name]]


@pytest.mark.parametrize("name", TAKEN)
async def test_a_sample_is_published_and_answered_as_its_camera_expects(name: str) -> None:
    format_ = name.partition("/")[0]
    async with pushing(soon_after(name)) as camera:
        response = await camera.push(samples.path_of(name), samples.body(name), samples.content_type(name))
    answer = table.ANSWERS[format_]
    assert response.status_code == answer.status
    if answer.body is None:
        items = response.json()["items"]
        assert [(item["index"], item["status"], item.get("reason")) for item in items] == reports(name)
    else:
        assert response.content == answer.body
    reads = [outcome for outcome in EXPECTED[name] if isinstance(outcome, Read)]
    stored = camera.detections()
    assert [one.event_id for one in stored] == [event_id("cam-1", read.key) for read in reads]
    assert [(one.format, one.plate_raw, one.captured_at) for one in stored] == [
        (format_, read.plate_raw, read.claimed_at) for read in reads
    ]
    assert camera.publisher.records.keys() <= {topics.DETECTIONS}
    assert {format_counted for format_counted, _, _ in camera.counted} == {format_}


@pytest.mark.parametrize("name", FAULTY)
async def test_a_sample_that_nobody_can_read_is_a_problem(name: str) -> None:
    async with pushing() as camera:
        response = await camera.push(samples.path_of(name), samples.body(name), samples.content_type(name))
    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
    assert camera.publisher.records == {}


@pytest.mark.parametrize("path", sorted(WEBHOOKS))
async def test_a_sample_under_another_vendors_path_is_read_as_what_it_is(path: str) -> None:
    for name in TAKEN:
        format_ = recognise(samples.payload(name))
        if format_ is None:
            continue
        async with pushing(soon_after(name)) as camera:
            response = await camera.push(path, samples.body(name), samples.content_type(name))
        assert response.status_code == table.ANSWERS[format_].status
        assert response.content == (
            table.ANSWERS[format_].body if table.ANSWERS[format_].body is not None else response.content
        )
        reads = [outcome for outcome in EXPECTED[name] if isinstance(outcome, Read)]
        assert [one.event_id for one in camera.detections()] == [event_id("cam-1", read.key) for read in reads]
        assert all(one.format == format_ for one in camera.detections())


@pytest.mark.parametrize("name", samples.NAMES)
async def test_nothing_unlisted_is_found_anywhere(name: str) -> None:
    marked = Marker(LISTED[name.partition("/")[0]], whole=False).mark(samples.payload(name))
    async with pushing(soon_after(name)) as camera:
        body = json.dumps(marked).encode()
        response = await camera.push(samples.path_of(name), body, JSON)
        field = 'Content-Disposition: form-data; name="json"; filename="MARKER"\r\nX-MARKER: MARKER'
        form = (
            b"--MARKER\r\n" + field.encode() + b"\r\n\r\n" + body + b"\r\n--MARKER\r\nContent-Disposition: form-data; "
        )
        form += b'name="MARKER"; filename="MARKER.jpg"\r\nContent-Type: image/jpeg\r\n\r\nMARKER\r\n--MARKER--\r\n'
        again = await camera.push(samples.path_of(name), form, "multipart/form-data; boundary=MARKER")
        records = [
            *camera.publisher.records.get(topics.DETECTIONS, []),
            *camera.publisher.records.get(topics.DEAD_LETTERS, []),
        ]
    assert response.status_code == again.status_code
    assert "MARKER" not in response.text + again.text + str(response.headers) + str(again.headers)
    assert not any(b"MARKER" in key + value for key, value in records)
    assert "MARKER" not in str(camera.counted)
    assert len({one.event_id for one in camera.detections()}) * 2 == len(camera.detections())


async def test_a_keep_alive_is_answered_and_leaves_nothing() -> None:
    async with pushing() as camera:
        for body in (b"", b'{"Active": "keepAlive", "DeviceID": "EXAMPLE"}'):
            response = await camera.push(KEEP_ALIVE_PATH, body, JSON)
            assert (response.status_code, response.json()) == (200, {"Result": True})
            assert response.headers["content-type"] == JSON
        assert (await camera.push(TOLLGATE, b"", JSON)).status_code == 400
    assert camera.publisher.records == {}
    assert camera.counted == [("dahua_itsapi", "dropped", "heartbeat")] * 2


async def test_an_alert_and_its_group_are_one_event() -> None:
    alert = samples.payload("openalpr/alpr_alert.json")
    async with pushing(soon_after("openalpr/alpr_alert.json")) as camera:
        for message in (alert, alert["group"]):
            response = await camera.push("/v1/webhooks/openalpr", json.dumps(message).encode(), JSON)
            assert response.status_code == 202
    first, second = camera.detections()
    assert first == second


async def test_a_retransmission_is_the_same_event() -> None:
    body = samples.body("hikvision/anpr.xml")
    async with pushing(soon_after("hikvision/anpr.xml")) as camera:
        for again in (b"false", b"true"):
            await camera.push(HIKVISION, body.replace(b"mission>false", b"mission>" + again), "text/xml")
    first, second = camera.detections()
    assert first == second


async def test_two_cars_of_one_second_are_two_events() -> None:
    async with pushing(soon_after("ngsi/notification.json")) as camera:
        await camera.push("/v1/webhooks/ngsi", samples.body("ngsi/notification.json"), JSON)
    assert len({one.event_id for one in camera.detections()}) == 2


@pytest.mark.parametrize("name", TAKEN)
async def test_a_read_that_may_not_be_kept_any_more_leaves_no_trace(name: str) -> None:
    async with pushing(soon_after(name) + timedelta(days=400)) as camera:
        response = await camera.push(samples.path_of(name), samples.body(name), samples.content_type(name))
    assert response.status_code == table.ANSWERS[name.partition("/")[0]].status
    assert camera.publisher.records == {}


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", JSON, 400),
        (b"<a>", "text/xml", 400),
        (b'<!DOCTYPE a [<!ENTITY x "QQ7CANARY">]><a>&x;</a>', "text/xml", 400),
        (b"<a>" * 100_000, "application/xml", 400),
        (b'<?xml version="1.0" encoding="GB2312"?><a>QQ7CANARY</a>', "application/xml", 400),
        (b"--x\r\n\r\nQQ7CANARY\r\n--x--", "multipart/form-data; boundary=x", 400),
        (b"--x" + b"\r\n\r\n\r\n--x" * 1000, "multipart/form-data; boundary=x", 400),
        (b"QQ7CANARY", "multipart/form-data", 400),
        (b"[" + b"{}," * 60 + b"{}]", JSON, 413),
        (b"QQ7CANARY", "image/jpeg", 415),
        (b'{"QQ7CANARY": "QQ7CANARY"}', JSON, 422),
        (b"<QQ7CANARY>QQ7CANARY</QQ7CANARY>", "text/xml", 422),
        (b"7", JSON, 422),
    ],
)
async def test_what_no_camera_sends_is_a_problem_that_quotes_nothing(
    content: bytes, content_type: str, status: int
) -> None:
    for path in WEBHOOKS:
        if path == KEEP_ALIVE_PATH and content == b"":
            continue
        async with pushing() as camera:
            response = await camera.push(path, content, content_type)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), path
        assert "CANARY" not in response.text
        assert camera.publisher.records == {}


async def test_reads_of_one_message_are_bounded() -> None:
    message: dict[str, Any] = samples.payload("platerecognizer/stream_webhook.json")
    message["data"]["results"] *= 101
    async with pushing(soon_after("platerecognizer/stream_webhook.json")) as camera:
        response = await camera.push("/v1/webhooks/platerecognizer", json.dumps(message).encode(), JSON)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"index": 0, "pointer": "/data/results", "detail": "shape"}]
