"""What a gateway counts of a camera, and that it is told once, without anything of a read."""

import uuid
import warnings
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ingest.adapters.memory import InMemory, MemoryPublisher, MemoryRegistry
from ingest.formats.read import Read
from ingest.identify import Brought, Identify, Refused
from ingest.receive import Item
from ingest.reporting import Reporting
from ingest.tally import SKEWS_KEPT, Seen, Tallies, low, thinned
from schemas import topics, wire
from schemas.detections import Position
from schemas.health import CameraReport
from tests.support.cameras import camera
from tests.support.gateways import pushing

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
CAMERA, _ = camera("cam-1")


def seen(*reads: Read) -> Seen:
    found = Seen()
    for read in reads:
        found.read(read, CAMERA, AT)
    return found


def test_reads_as_numbers() -> None:
    far, near = Position(latitude=40.0, longitude=-71.0), Position(latitude=42.36, longitude=-71.06)
    found = seen(
        Read(key="1", claimed_at=AT - timedelta(seconds=3), plate_confidence=0.9, position=far),
        Read(key="2", claimed_at=AT - timedelta(hours=7), plate_confidence=0.45, position=near),
        Read(key="3", claimed_at=AT + timedelta(hours=7)),
        Read(key="4", claimed_at=AT, camera_id="another", plate_confidence=0.1, position=far),
    )
    assert (found.confidence_total, found.confidences, found.positions, found.positions_off) == (13_500, 2, 2, 1)
    assert found.skews == [3.0, 25_200.0, -25_200.0]


def test_a_report_of_a_camera_and_one_of_the_process() -> None:
    tallies = Tallies(uuid.UUID(int=7))
    items = [Item(index=0, status="accepted"), Item(index=1, status="rejected", reason="shape")]
    tallies.took("cam-1", AT, items, seen(Read(key="1", claimed_at=AT - timedelta(seconds=3))))
    tallies.took("cam-1", AT + timedelta(seconds=2), items[1:], Seen())
    tallies.refused("cam-1", "wrong_key")
    until = AT + timedelta(seconds=5)
    itself, one = tallies.take(until)
    assert (itself.camera_id, itself.last_seen_at, itself.accepted) == ("", until, 0)
    assert one == CameraReport(
        camera_id="cam-1",
        source=uuid.UUID(int=7),
        sequence=1,
        until=until,
        last_seen_at=AT + timedelta(seconds=2),
        first_read_at=AT,
        last_read_at=AT,
        accepted=1,
        rejected={"shape": 2},
        refused={"wrong_key": 1},
        skews=1,
        skew_low_s=3.0,
    )
    (again,) = tallies.take(until)
    assert (again.camera_id, again.sequence) == ("", 2)


def test_who_only_uses_a_cameras_name_is_not_seen_as_it() -> None:
    tallies = Tallies()
    tallies.refused("cam-1", "wrong_key")
    assert tallies.take(AT)[1].last_seen_at is None


def test_one_wrong_stamp_among_many_does_not_make_the_skew() -> None:
    assert low([]) is None
    assert low([5.0]) == 5.0
    assert low([-25_000.0, *(float(number) for number in range(2, 21))]) == 2.0


def test_skews_are_bounded_and_keep_their_lowest() -> None:
    kept = thinned([float(number) for number in range(10_000, 0, -1)])
    assert len(kept) <= SKEWS_KEPT
    assert kept[0] == 1.0
    assert 800 < (low(kept) or 0) < 1200


@pytest.fixture
def publisher() -> MemoryPublisher:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        return MemoryPublisher()


def reports(publisher: MemoryPublisher) -> list[CameraReport]:
    return [wire.decode(value, CameraReport) for _, value in publisher.records.get(topics.CAMERA_HEALTH, [])]


async def test_what_the_broker_did_not_take_is_sent_again_as_it_was(publisher: MemoryPublisher) -> None:
    tallies = Tallies()
    reporting = Reporting(tallies, publisher, every_s=60, clock=lambda: AT)
    tallies.heard("cam-1", AT)
    publisher.available = False
    assert not await reporting.flush()
    tallies.heard("cam-2", AT)
    publisher.available = True
    assert await reporting.flush()
    assert [(one.camera_id, one.sequence) for one in reports(publisher)] == [("", 1), ("cam-1", 1)]
    assert await reporting.flush()
    assert [(one.camera_id, one.sequence) for one in reports(publisher)][2:] == [("", 2), ("cam-2", 2)]


async def test_a_last_report_is_sent_at_the_end(publisher: MemoryPublisher) -> None:
    tallies = Tallies()
    async with Reporting(tallies, publisher, every_s=60):
        tallies.heard("cam-1", AT)
    assert [one.camera_id for one in reports(publisher)] == ["", "cam-1"]


async def test_what_the_gateway_tells_of_a_camera() -> None:
    now = datetime.now(UTC)
    good = {"captured_at": (now - timedelta(seconds=5)).isoformat(), "plate": "XQ7041", "plate_confidence": 0.8}
    async with pushing(now) as gateway:
        taken = [good, {**good, "plate": "XQ7042"}, {"plate": "XQ7043"}]
        assert (await gateway.client.post("/v1/detections", json=taken)).status_code == 202
        for body, kind in ((b"{", "application/json"), (b"{}", "text/plain")):
            assert (await gateway.push("/v1/detections", body, kind)).status_code in (400, 415)
        wrong = {"Authorization": f"Bearer {gateway.key[:-1]}{'a' if gateway.key[-1] != 'a' else 'b'}"}
        assert (await gateway.client.post("/v1/detections", json=good, headers=wrong)).status_code == 401
        _, one = gateway.tallies.take(now)
    assert (one.accepted, one.rejected, one.refused) == (2, {"shape": 1}, {"unreadable": 2, "wrong_key": 1})
    assert (one.confidences, one.confidence_total, one.skews) == (2, 16_000, 2)
    assert one.skew_low_s == pytest.approx(5)
    assert b"XQ70" not in msgspec.json.encode(one)


def test_of_a_wrong_signature_its_camera_is_told_too() -> None:
    one, _ = camera(
        "cam-2", format="verkada", proof="signature", device_id="d-1", signing_secret="a-secret-of-some-length"
    )
    told: list[tuple[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        registry = MemoryRegistry([one])
    identify = Identify(registry, new_key_s=0, tell=lambda *what: told.append(what), clock=lambda: AT)
    body = b'{"webhook_type": "lpr", "data": {"camera_id": "d-1", "created": 1, "license_plate_number": "XQ7041"}}'
    headers = {"verkada-signature": f"{int(AT.timestamp())}|{'0' * 64}"}
    with pytest.raises(Refused):
        identify.signed(Brought(headers=headers, method="POST", uri="/v1/webhooks/verkada"), body)
    assert told == [("cam-2", "wrong_key")]
