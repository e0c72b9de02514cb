"""OpenALPR: the sample of a real agent, and what agents and others make of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.formats.openalpr import parse
from ingest.formats.read import Dropped, Read, Rejected
from schemas.detections import Position
from tests.support.openalpr import sample

GROUP = sample("alpr_group")


def only(payload: Any) -> Any:
    [outcome] = parse(payload)
    return outcome


def read(**changes: Any) -> Read:
    outcome = only({**GROUP, **changes})
    assert isinstance(outcome, Read), outcome
    return outcome


def test_the_sample() -> None:
    group = read()
    assert group.claimed_at == datetime(2021, 10, 17, 13, 5, 47, 845_000, tzinfo=UTC)
    assert (group.plate_raw, group.region, group.lane, group.heading_deg) == ("10042XX", "us-ma", None, None)
    assert group.plate_confidence == pytest.approx(0.9325465393)
    assert group.region_confidence == pytest.approx(0.8406666565)
    words = [one.value for one in (group.make, group.model, group.colour, group.body) if one]
    assert words == ["bmw", "bmw_x3", "white", "suv-crossover"]
    assert group.position == Position(latitude=39.5, longitude=-78.5)


def test_nothing_but_the_allow_list_gets_through() -> None:
    kept = repr(read(driver_face="f" * 40, vehicle={**GROUP["vehicle"], "occupants": [{"name": "o" * 40}]}))
    for word in ("1h_0d72", "JPEG", "signature", "fff", "ooo", "2010-2014", "uuids"):
        assert word not in kept


def test_a_heartbeat_is_dropped() -> None:
    assert only({"data_type": "heartbeat", "best_uuid": 7}) == Dropped(reason="heartbeat")


def test_an_alert_is_its_group_and_nothing_of_the_list() -> None:
    alert = {**sample("alpr_alert"), "group": GROUP, "alert_list": "a list", "description": "somebody"}
    assert only(alert) == only(GROUP)
    assert only({**alert, "group": {**GROUP, "is_preview": True}}) == Dropped(reason="preview")
    assert only({**alert, "group": {**GROUP, "best_plate_number": "A" * 33}}) == Rejected(
        reason="shape", pointer="/group/best_plate_number"
    )
    assert only({**alert, "group": None}) == Rejected(reason="shape", pointer="/group")


def test_a_vehicle_message_of_the_same_uuid_is_another_read() -> None:
    vehicle = sample("vehicle")
    assert vehicle["best_uuid"] == GROUP["best_uuid"]
    seen = only({**vehicle, "epoch_start": GROUP["epoch_start"]})
    assert seen.key != read().key
    assert seen.plate_raw is None


def test_a_preview_is_dropped() -> None:
    assert only({**GROUP, "is_preview": True}) == Dropped(reason="preview")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"data_type": "weather"}, "/data_type"),
        ({"data_type": 7}, "/data_type"),
        ({"best_uuid": ""}, "/best_uuid"),
        ({"epoch_start": -1}, "/epoch_start"),
        ({"epoch_start": 10**30}, "/epoch_start"),
        ({"epoch_start": 1e300}, "/epoch_start"),
        ({"epoch_start": "now"}, "/epoch_start"),
        ({"best_plate_number": "A" * 33}, "/best_plate_number"),
        ({"best_confidence": "93"}, "/best_confidence"),
        ({"vehicle": {"make": [{"confidence": 1}]}}, "/vehicle/make/0/name"),
        ({"vehicle": []}, "/vehicle"),
        ({"candidates": [{"plate": None}]}, "/candidates/0/plate"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], pointer: str) -> None:
    assert only({**GROUP, **changes}) == Rejected(reason="shape", pointer=pointer)


@pytest.mark.parametrize("payload", [None, 7, [], [GROUP], {}, {"data_type": "alpr_group"}])
def test_what_no_agent_sends_is_refused(payload: object) -> None:
    assert isinstance(only(payload), Rejected)


def test_version_2_has_no_vehicle() -> None:
    older = {name: value for name, value in GROUP.items() if name not in ("vehicle", "is_preview", "gps_latitude")}
    [group] = parse({**older, "version": 2})
    assert isinstance(group, Read)
    assert (group.make, group.position) == (None, None)


@pytest.mark.parametrize("confidence", [-1, 100.5, None])
def test_a_confidence_off_the_scale_is_none(confidence: float | None) -> None:
    assert read(best_confidence=confidence).plate_confidence is None
    assert read(candidates=[{"plate": "A1", "confidence": confidence}]).candidates == ()


@pytest.mark.parametrize("plate", ["", None, "\x00"])
def test_a_group_without_a_plate_is_a_read(plate: str | None) -> None:
    assert read(best_plate_number=plate).plate_raw is None


def test_the_surest_guess_is_taken() -> None:
    guesses = [{"name": "ford", "confidence": 3}, {"name": "bmw", "confidence": 90}, {"name": "audi"}]
    make = read(vehicle={"make": guesses}).make
    assert make is not None
    assert (make.value, make.confidence) == ("bmw", 0.9)
    assert read(vehicle={"make": [{"name": "x" * 41, "confidence": 9}]}).make is None


def test_candidates_are_capped() -> None:
    many = [{"plate": f"P{number}", "confidence": 50} for number in range(50)]
    assert len(read(candidates=many).candidates) == 10


@pytest.mark.parametrize("field", ["company_id", "agent_uid", "camera_id", "best_uuid", "epoch_start"])
def test_every_part_of_the_key_counts(field: str) -> None:
    assert read(**{field: 7 if field in ("camera_id", "epoch_start") else "other"}).key != read().key


def test_what_is_no_part_of_the_key_does_not_count() -> None:
    assert read(best_plate_number="10042XY", epoch_end=1, best_uuid_epoch_ms=1, site_name="x").key == read().key
