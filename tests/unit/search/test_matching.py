"""Points: match kind, doubts, local time, and reads of one pass as one point."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.detections import Candidate
from schemas.queries import Point
from schemas.sightings import Trait
from search.matching import MAX_ANCHORS, Sought, points
from search.ports import Row
from tests.support.rows import START, row

WINDOW_S = 30.0
SOUGHT = Sought(plate="ABC123")


def found(rows: list[Row], sought: Sought = SOUGHT) -> list[Point]:
    """Return the points of rows of a first page."""
    return points(rows, sought, WINDOW_S)[0]


def test_a_point_keeps_what_the_row_says() -> None:
    candidates = (Candidate(plate="ABC123", confidence=0.9), Candidate(plate="A8C123", confidence=0.1))
    only = row(
        candidates=msgspec.json.encode(candidates),
        make="ford",
        make_confidence=0.8999999761581421,
        colour="blue",
        model="f-150",
        body="other",
        said=b'{"make":"Ford","model":"ford_f-150","body":"ute"}',
        plate_confidence=0.9200000166893005,
        clock_uncertainty_s=0.10000000149011612,
    )
    (point,) = found([only])
    assert point.candidates == candidates
    assert point.make == Trait(value="ford", confidence=0.9, code="FORD", said="Ford")
    assert point.model == Trait(value="f-150", said="ford_f-150")
    assert point.colour == Trait(value="blue", code="BLU")
    assert point.body == Trait(value="other", said="ute")
    assert point.plate_confidence == 0.92
    assert point.clock_uncertainty_s == 0.1
    assert (point.pass_id, point.owner, point.skew_s, point.reads) == (only.pass_id, "north", 0.4, 1)


@pytest.mark.parametrize(
    ("at", "zone", "local"),
    [
        # On 8 March 2026 clocks in Chicago go from 02:00 to 03:00.
        (datetime(2026, 3, 8, 7, 59, 59, tzinfo=UTC), "America/Chicago", "2026-03-08T01:59:59-06:00"),
        (datetime(2026, 3, 8, 8, 0, 0, tzinfo=UTC), "America/Chicago", "2026-03-08T03:00:00-05:00"),
        (datetime(2026, 3, 8, 8, 0, 0, 250, tzinfo=UTC), "Asia/Kolkata", "2026-03-08T13:30:00.000250+05:30"),
    ],
)
def test_local_time_is_the_cameras(at: datetime, zone: str, local: str) -> None:
    (point,) = found([row(captured_at=at, timezone=zone)])
    assert point.local_time == local
    assert point.captured_at == at


def test_a_row_from_before_the_closed_list_keeps_its_word() -> None:
    (point,) = found([row(make="zündapp werke", said=None)])
    assert point.make == Trait(value="zündapp werke")
    assert point.model is None


def test_match_is_exact_or_lookalike_by_the_text() -> None:
    exact, other = found([row(0), row(100, plate="A8C123")])
    assert (exact.match, exact.doubts) == ("exact", ())
    assert (other.match, other.doubts) == ("lookalike", ("lookalike",))


def test_stored_doubts_come_first() -> None:
    (point,) = found(
        [row(plate="A8C123", doubts="low_confidence,clock_skew", region=None)], Sought(plate="ABC123", region="US")
    )
    assert point.doubts == ("low_confidence", "clock_skew", "lookalike", "region_conflict")


@pytest.mark.parametrize(
    ("read", "asked", "conflict"),
    [
        ("US-MO", None, False),
        (None, None, False),
        ("US-MO", "US-MO", False),
        ("US-MO", "US", False),
        ("US", "US-MO", True),
        (None, "US-MO", True),
        ("US-IL", "US-MO", True),
        ("USA", "US", True),
    ],
)
def test_region_conflict(read: str | None, asked: str | None, conflict: bool) -> None:
    (point,) = found([row(region=read)], Sought(plate="ABC123", region=asked))
    assert ("region_conflict" in point.doubts) is conflict


def test_reads_within_the_window_of_the_first_are_one_point() -> None:
    rows = [row(0), row(20), row(30), row(30.000001), row(45)]
    one, other = found(rows)
    assert (one.pass_id, one.reads) == (rows[0].pass_id, 3)
    assert (other.pass_id, other.reads) == (rows[3].pass_id, 2)


def test_another_camera_or_another_plate_is_another_point() -> None:
    rows = [row(0), row(1, camera_id="cam-2"), row(2, plate="A8C123"), row(3)]
    assert [point.reads for point in found(rows)] == [2, 1, 1]


def test_a_pass_that_the_page_before_showed_is_not_shown_again() -> None:
    _, anchors = points([row(0), row(10, camera_id="cam-2")], SOUGHT, WINDOW_S)
    later, _ = points([row(29), row(41, camera_id="cam-2"), row(50)], SOUGHT, WINDOW_S, anchors)
    assert [(point.camera_id, point.reads) for point in later] == [("cam-2", 1), ("cam-1", 1)]


def test_only_open_passes_are_carried_and_no_plate_with_them() -> None:
    _, anchors = points([row(0), row(10, camera_id="cam-2"), row(35, camera_id="cam-3")], SOUGHT, WINDOW_S)
    assert [anchor.at - START for anchor in anchors] == [timedelta(seconds=10), timedelta(seconds=35)]
    assert "ABC123" not in msgspec.json.encode(anchors).decode()


def test_a_pass_is_open_to_the_last_moment_of_its_window() -> None:
    _, anchors = points([row(0), row(30, camera_id="cam-2")], SOUGHT, WINDOW_S)
    later, _ = points([row(30)], SOUGHT, WINDOW_S, anchors)
    assert later == []


def test_the_anchors_that_are_carried_are_bounded() -> None:
    rows = [row(index / 100, camera_id=f"cam-{index}") for index in range(3 * MAX_ANCHORS)]
    _, anchors = points(rows, SOUGHT, WINDOW_S)
    assert len(anchors) == MAX_ANCHORS
    assert anchors[-1].at == rows[-1].captured_at
