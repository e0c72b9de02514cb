"""Claimed times against arrival: what is taken, what leaves no trace, what is set aside."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.formats.read import Dropped, Read, Rejected
from ingest.intake import Verdict, captured_at, decide
from schemas.deadletters import DeadLetter
from schemas.detections import Detection, event_id
from schemas.owners import Grant, OwnerRules
from tests.support.cameras import camera

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = OwnerRules(owners={"south": Grant(days=3)})


def verdict(claimed_at: datetime, **of_camera: Any) -> Verdict:
    one, _ = camera("cam-1", **of_camera)
    read = Read(key="k", claimed_at=claimed_at, plate_raw="ABC1234")
    return decide(read, format_="native", camera=one, received_at=NOW, rules=RULES, future_limit_s=300)


def test_a_detection_has_the_cameras_owner_and_three_times() -> None:
    claimed = NOW - timedelta(seconds=30)
    detection = verdict(claimed, clock_use="offset", clock_offset_s=12.5)
    assert isinstance(detection, Detection)
    assert (detection.camera_id, detection.owner, detection.plate_raw) == ("cam-1", "north", "ABC1234")
    assert detection.event_id == event_id("cam-1", "k")
    assert (detection.claimed_at, detection.received_at) == (claimed, NOW)
    assert detection.captured_at == claimed + timedelta(seconds=12.5)


@pytest.mark.parametrize(
    ("clock", "offset_s", "expected"),
    [
        ("trusted", 5.0, NOW - timedelta(hours=1)),
        ("offset", -60.0, NOW - timedelta(hours=1, minutes=1)),
        ("arrival", 5.0, NOW),
    ],
)
def test_the_registry_says_how_a_clock_is_used(clock: str, offset_s: float, expected: datetime) -> None:
    one, _ = camera(clock_use=clock, clock_offset_s=offset_s)
    assert captured_at(one, NOW - timedelta(hours=1), NOW) == expected


@pytest.mark.parametrize(("owner", "days"), [("north", 30), ("south", 3)])
def test_the_owners_days_decide_to_the_microsecond(owner: str, days: int) -> None:
    edge = NOW - timedelta(days=days)
    assert isinstance(verdict(edge + timedelta(microseconds=1), owner=owner), Detection)
    for past in (edge, edge - timedelta(microseconds=1)):  # as enricher, indexer and gate have it
        assert verdict(past, owner=owner) == Dropped(reason="past_retention")


@pytest.mark.parametrize("age", [timedelta(), timedelta(days=400), -timedelta(days=1)])
def test_a_camera_that_is_bound_to_a_format_sends_nothing_else(age: timedelta) -> None:
    assert verdict(NOW - age, format="hikvision") == Rejected(reason="other_format")
    assert isinstance(verdict(NOW, format="native"), Detection)


@pytest.mark.parametrize("age", [timedelta(), timedelta(days=400), -timedelta(days=1)])
def test_a_read_of_another_camera_is_rejected_whatever_its_time(age: timedelta) -> None:
    one, _ = camera("cam-1")
    outcomes = [
        decide(
            Read(key="k", claimed_at=NOW - age, camera_id=named),
            format_="native",
            camera=one,
            received_at=NOW,
            rules=RULES,
            future_limit_s=300,
        )
        for named in ("cam-2", "", "cam-1")
    ]
    assert outcomes[:2] == [Rejected(reason="other_camera", pointer="/camera_id")] * 2
    assert not isinstance(outcomes[2], Rejected)


def test_five_minutes_ahead_is_the_edge() -> None:
    edge = NOW + timedelta(seconds=300)
    assert isinstance(verdict(edge), Detection)
    letter = verdict(edge + timedelta(microseconds=1))
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.reason, letter.at, letter.camera_id) == ("gateway", "clock_future", NOW, "cam-1")
    assert letter.detection is not None
    assert letter.detection.plate_raw == "ABC1234"


def test_nothing_of_an_ephemeral_camera_becomes_a_dead_letter() -> None:
    ahead = NOW + timedelta(seconds=300, microseconds=1)
    assert verdict(ahead, handling="ephemeral") == Dropped(reason="clock_future")
    assert isinstance(verdict(ahead - timedelta(microseconds=1), handling="ephemeral"), Detection)


def test_a_read_that_could_not_be_gone_in_time_is_not_taken() -> None:
    edge = NOW - timedelta(seconds=30)
    assert isinstance(verdict(edge, handling="ephemeral"), Detection)
    late = edge - timedelta(microseconds=1)
    assert verdict(late, handling="ephemeral") == Dropped(reason="past_retention")
    assert isinstance(verdict(late, handling="ephemeral", clock_use="arrival"), Detection)


def test_an_offset_is_judged_after_it_was_added() -> None:
    ahead = NOW + timedelta(hours=7)
    assert isinstance(verdict(ahead, clock_use="offset", clock_offset_s=-7 * 3600.0), Detection)
    assert isinstance(verdict(NOW, clock_use="offset", clock_offset_s=301.0), DeadLetter)
    assert isinstance(verdict(NOW, clock_use="offset", clock_offset_s=-31 * 86400.0), Dropped)


@pytest.mark.parametrize("claimed", [datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=400)])
def test_a_worthless_clock_is_not_judged(claimed: datetime) -> None:
    detection = verdict(claimed, clock_use="arrival")
    assert isinstance(detection, Detection)
    assert (detection.captured_at, detection.claimed_at) == (NOW, claimed)
