"""Detections become sightings, dead letters, or nothing."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ingest.adapters.cameras import CameraTable
from ingest.enrich import CLOCK_AHEAD_S, CLOCK_BEHIND_S, Outcome, enrich
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.detections import Attribute, Candidate, Detection, Position
from schemas.owners import Grant, OwnerRules
from schemas.sightings import Sighting, Trait
from tests.support.cameras import camera
from tests.support.detections import NOW, detection

RULES = OwnerRules(owners={"north": Grant(days=21), "south": Grant(days=2)})


def one(item: Detection, **camera_changes: Any) -> Outcome:
    cameras = CameraTable([camera("cam-1", **camera_changes)[0]])
    outcomes = enrich(cameras, RULES, NOW, [item])
    assert len(outcomes) == 1
    return outcomes[0]


def sighted(item: Detection, **camera_changes: Any) -> Sighting:
    outcome = one(item, **camera_changes)
    assert isinstance(outcome, Sighting)
    return outcome


def lettered(item: Detection, **camera_changes: Any) -> DeadLetter:
    outcome = one(item, **camera_changes)
    assert isinstance(outcome, DeadLetter)
    return outcome


@pytest.mark.parametrize(
    "changes", [{}, {"owner": "south"}, {"captured_at": NOW - timedelta(days=40)}, {"plate_raw": None}]
)
def test_a_read_of_a_camera_that_is_ephemeral_by_now_leaves_no_trace(changes: dict[str, Any]) -> None:
    assert one(detection(**changes), handling="ephemeral") is None
    assert one(detection(**changes), handling="ephemeral", active=False) is None


def test_a_detection_is_placed_by_the_registry() -> None:
    made = sighted(
        detection(
            plate_raw="2xx-0i2",
            candidates=(Candidate(plate="2XX0I2", confidence=0.9),),
            region="us-ma",
            region_confidence=0.84,
            make=Attribute(value="BMW", confidence=0.99),
            model=Attribute(value="bmw_x3", confidence=0.98),
            colour=Attribute(value="White", confidence=0.97),
            body=Attribute(value="suv-standard", confidence=0.96),
            heading_deg=90.0,
            lane=2,
        ),
        clock_uncertainty_s=3.5,
    )
    item = detection()
    assert made == Sighting(
        pass_id=item.event_id,
        captured_at=item.captured_at,
        received_at=item.received_at,
        plate="2XX0I2",
        plate_key="2XX012",
        plate_raw="2xx-0i2",
        plate_confidence=0.95,
        candidates=(Candidate(plate="2XX0I2", confidence=0.9),),
        region="US-MA",
        region_confidence=0.84,
        camera_id="cam-1",
        owner="north",
        position=Position(latitude=42.3601, longitude=-71.0589),
        timezone="America/New_York",
        clock_uncertainty_s=3.5,
        skew_s=2.0,
        make=Trait(value="bmw", confidence=0.99, code="BMW", said="BMW"),
        model=Trait(value="x3", confidence=0.98, said="bmw_x3"),
        colour=Trait(value="white", confidence=0.97, code="WHI", said="White"),
        body=Trait(value="suv", confidence=0.96, said="suv-standard"),
        heading_deg=90.0,
        lane=2,
    )


@pytest.mark.parametrize("raw", [None, "", "UNKNOWN", "no plate", "- -"])
def test_a_read_without_a_plate_spreads_by_camera_and_cannot_be_probed(raw: str | None) -> None:
    made = sighted(detection(plate_raw=raw, plate_confidence=0.1))
    assert (made.plate, made.plate_key, made.plate_raw) == (None, "~cam-1", raw)
    assert made.doubts == ()


def test_a_region_that_is_none_leaves_no_confidence_behind() -> None:
    made = sighted(detection(region="somewhere", region_confidence=0.9))
    assert (made.region, made.region_confidence) == (None, None)


@pytest.mark.parametrize(
    ("changes", "camera_changes", "doubts"),
    [
        ({}, {}, ()),
        ({"plate_confidence": None}, {}, ()),
        ({"plate_confidence": 0.79}, {}, ("low_confidence",)),
        ({"plate_confidence": 0.8}, {}, ()),
        ({"plate_raw": "ABCDEFGHIJ", "region": "us-ma"}, {}, ("implausible_format",)),
        ({"make": Attribute(value="Toyota"), "model": Attribute(value="bmw_x3")}, {}, ("attributes_disagree",)),
        ({"position": Position(latitude=42.37, longitude=-71.06)}, {}, ("position_disagrees",)),
        ({"position": Position(latitude=42.3602, longitude=-71.0588)}, {}, ()),
        ({"position": Position(latitude=0.0, longitude=0.0)}, {}, ()),
        ({"position": Position(latitude=168.0, longitude=10.0)}, {}, ()),
        ({}, {"clock_use": "arrival"}, ("arrival_time",)),
    ],
)
def test_doubts(changes: dict[str, Any], camera_changes: dict[str, Any], doubts: tuple[str, ...]) -> None:
    assert sighted(detection(**changes), **camera_changes).doubts == doubts


@pytest.mark.parametrize(
    ("late_s", "clock_use", "doubts"),
    [
        (CLOCK_BEHIND_S, "trusted", ()),
        (CLOCK_BEHIND_S + 1, "trusted", ("clock_skew",)),
        (-CLOCK_AHEAD_S, "trusted", ()),
        (-CLOCK_AHEAD_S - 1, "trusted", ("clock_skew",)),
        (CLOCK_BEHIND_S + 1, "offset", ("clock_skew",)),
        (0.0, "offset", ()),
    ],
)
def test_a_clock_is_doubted_by_the_time_that_is_used(late_s: float, clock_use: str, doubts: tuple[str, ...]) -> None:
    item = detection(received_at=NOW, captured_at=NOW - timedelta(seconds=late_s), claimed_at=NOW - timedelta(hours=7))
    made = sighted(item, clock_use=clock_use)
    assert made.doubts == doubts
    assert made.skew_s == 7 * 3600, "the skew is that of the claim"


def test_an_unknown_camera_is_a_dead_letter_with_the_detection() -> None:
    item = detection(camera_id="cam-2")
    letter = lettered(item)
    assert (letter.reason, letter.stage, letter.camera_id) == ("unknown_camera", "enricher", "cam-2")
    assert letter.detection == item
    assert letter.at == NOW


def test_a_retired_camera_and_a_wrong_owner_are_dead_letters() -> None:
    assert lettered(detection(), active=False).reason == "retired_camera"
    assert lettered(detection(), owner="west").reason == "wrong_owner"


@pytest.mark.parametrize(
    "camera_changes", [{}, {"active": False}, {"camera_id": "another"}], ids=["good", "retired", "unknown"]
)
def test_a_read_past_its_owners_days_leaves_nothing(camera_changes: dict[str, Any]) -> None:
    changes = {"owner": "north", **camera_changes}
    camera_id = changes.pop("camera_id", "cam-1")
    cameras = CameraTable([camera(camera_id, **changes)[0]])
    edge = NOW - timedelta(days=21)
    assert enrich(cameras, RULES, NOW, [detection(captured_at=edge)]) == [None]
    assert enrich(cameras, RULES, NOW, [detection(captured_at=edge + timedelta(seconds=1))]) != [None]


def test_where_two_owners_claim_a_read_the_stricter_rule_decides_whether_it_may_be_kept() -> None:
    item = detection(captured_at=NOW - timedelta(days=3))
    assert lettered(item, owner="west").reason == "wrong_owner"
    assert one(item, owner="south") is None


def test_outcomes_are_in_order_and_letters_repeat_themselves() -> None:
    cameras = CameraTable([camera("cam-1")[0]])
    batch = [detection(0), detection(1, camera_id="cam-2"), detection(2, captured_at=NOW - timedelta(days=30))]
    first, second = (enrich(cameras, RULES, NOW, batch) for _ in range(2))
    assert [type(outcome) for outcome in first] == [Sighting, DeadLetter, type(None)]
    assert first == second


def test_no_more_candidates_are_kept_than_the_topic_takes() -> None:
    many = tuple(Candidate(plate=f"A{number}", confidence=0.1) for number in range(30))
    made = sighted(detection(candidates=many))
    assert made.candidates == many[:10]
    assert wire.decode(wire.encode(made), Sighting) == made


def test_a_time_without_offset_is_an_error_of_the_message() -> None:
    item = msgspec.structs.replace(detection(), captured_at=NOW.replace(tzinfo=None))
    with pytest.raises(TypeError):
        one(item)
