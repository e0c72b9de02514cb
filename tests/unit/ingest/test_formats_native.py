"""The native format: what is taken, what is brought into form, and what is refused and where."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.formats.native import parse
from ingest.formats.read import Read, Rejected
from schemas.detections import Attribute, Candidate, Position

FULL: dict[str, Any] = {
    "captured_at": "2026-03-01T14:05:09.250-05:00",
    "plate": "ABC 1234",
    "plate_confidence": 0.94,
    "candidates": [{"plate": "A8C 1234", "confidence": 0.31}],
    "region": "us-ma",
    "region_confidence": 0.8,
    "make": {"value": "bmw", "confidence": 0.98},
    "model": {"value": "x3"},
    "colour": {"value": "white", "confidence": 0.99},
    "body": {"value": "suv", "confidence": 1},
    "lane": 2,
    "heading_deg": 271.5,
    "position": {"latitude": 42.36, "longitude": -71.06},
}
AT = datetime(2026, 3, 1, 19, 5, 9, 250_000, tzinfo=UTC)


def only(payload: Any) -> Any:
    [outcome] = parse(payload)
    return outcome


def read(**changes: Any) -> Read:
    outcome = only({**FULL, **changes})
    assert isinstance(outcome, Read), outcome
    return outcome


def test_a_full_read() -> None:
    assert read() == Read(
        key=f"{AT.isoformat()}\x1fABC 1234\x1f2",
        claimed_at=AT,
        plate_raw="ABC 1234",
        plate_confidence=0.94,
        candidates=(Candidate(plate="A8C 1234", confidence=0.31),),
        region="us-ma",
        region_confidence=0.8,
        make=Attribute(value="bmw", confidence=0.98),
        model=Attribute(value="x3"),
        colour=Attribute(value="white", confidence=0.99),
        body=Attribute(value="suv", confidence=1.0),
        position=Position(latitude=42.36, longitude=-71.06),
        heading_deg=271.5,
        lane=2,
    )


def test_a_read_may_name_its_camera_which_is_no_part_of_its_key() -> None:
    assert read(camera_id="cam-1").camera_id == "cam-1"
    assert read(camera_id="cam-1").key == read().key
    assert only({**FULL, "camera_id": "x" * 129}) == Rejected(reason="shape", pointer="/camera_id")
    assert only({**FULL, "camera_id": 7}) == Rejected(reason="shape", pointer="/camera_id")


def test_the_least_is_a_time() -> None:
    assert only({"captured_at": "2026-03-01T19:05:09.25Z"}) == Read(key=f"{AT.isoformat()}\x1f\x1f", claimed_at=AT)


def test_what_is_not_named_does_not_exist() -> None:
    assert read(driver={"age": 40, "belt": True}, vehicle_signature="1h_0d", image="<JPEG>") == read()


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("captured_at", None, "/captured_at"),
        ("captured_at", "2026-03-01T14:05:09", "/captured_at"),
        ("captured_at", 1772391909, "/captured_at"),
        ("captured_at", "yesterday", "/captured_at"),
        ("plate", 7, "/plate"),
        ("plate", "A" * 33, "/plate"),
        ("plate_confidence", 90, "/plate_confidence"),
        ("plate_confidence", -0.1, "/plate_confidence"),
        ("plate_confidence", "0.9", "/plate_confidence"),
        ("plate_confidence", 10**300, "/plate_confidence"),
        ("candidates", [{"plate": "A", "confidence": 1}, {"plate": "B"}], "/candidates/1/confidence"),
        ("candidates", [{"plate": "A", "confidence": 31}], "/candidates/0/confidence"),
        ("candidates", {"plate": "A"}, "/candidates"),
        ("region", "x" * 17, "/region"),
        ("make", "bmw", "/make"),
        ("make", {"confidence": 1}, "/make/value"),
        ("colour", {"value": "x" * 41}, "/colour/value"),
        ("lane", 1.5, "/lane"),
        ("lane", 10**30, "/lane"),
        ("lane", -1, "/lane"),
        ("heading_deg", 361, "/heading_deg"),
        ("position", {"latitude": "north"}, "/position/latitude"),
        ("key", "", "/key"),
        ("key", "k" * 129, "/key"),
    ],
)
def test_a_wrong_field_is_named_and_not_quoted(field: str, value: object, pointer: str) -> None:
    assert only({**FULL, field: value}) == Rejected(reason="shape", pointer=pointer)


def test_a_missing_field_is_named() -> None:
    without = {name: value for name, value in FULL.items() if name != "captured_at"}
    assert only(without) == Rejected(reason="shape", pointer="/captured_at")


@pytest.mark.parametrize("payload", [None, 7, "ABC1234", [], [FULL], True])
def test_what_is_no_object_is_refused(payload: object) -> None:
    assert only(payload) == Rejected(reason="shape")


@pytest.mark.parametrize("at", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_years_that_no_clock_claims_are_refused(at: str) -> None:
    assert only({**FULL, "captured_at": at}) == Rejected(reason="time", pointer="/captured_at")


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(0, 0), (168.0, 5.0), (-90.1, 0), (10, 180.5), (10, -181), (1e308, 1)]
)
def test_a_position_that_cannot_be_counts_as_unset(latitude: float, longitude: float) -> None:
    assert read(position={"latitude": latitude, "longitude": longitude}).position is None


@pytest.mark.parametrize(
    ("raw", "plate"),
    [("", None), ("   ", None), ("\x00", None), (" ab\x00c\n1 ", "ab c 1"), ("ÖABC\u200b1", "ÖABC 1"), (None, None)],
)
def test_a_plate_has_no_control_characters(raw: str | None, plate: str | None) -> None:
    assert read(plate=raw).plate_raw == plate


def test_candidates_are_capped_and_empty_ones_left_out() -> None:
    many = [{"plate": f"P{number}", "confidence": 0.5} for number in range(50)]
    assert [one.plate for one in read(candidates=many).candidates] == [f"P{number}" for number in range(10)]
    assert read(candidates=[{"plate": " ", "confidence": 0.5}]).candidates == ()


def test_keys_tell_reads_apart_and_resends_not() -> None:
    later = (AT + timedelta(milliseconds=1)).isoformat()
    same_moment = AT.astimezone().isoformat()
    assert read(captured_at=same_moment).key == read().key
    assert read(plate_confidence=0.1, make=None).key == read().key
    assert len({read().key, read(captured_at=later).key, read(plate="ABC 1235").key, read(lane=3).key}) == 4
    own = read(key="frame-7")
    assert own.key == read(key="frame-7", plate="ABC 1235", lane=3).key
    assert len({own.key, read(key="frame-7", captured_at=later).key, read(key="frame-8").key, read().key}) == 4
