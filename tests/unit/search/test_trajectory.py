"""Legs and splits: the rule of impossible travel, exactly."""

import math
from datetime import timedelta

import msgspec
import pytest

from schemas.detections import Position
from schemas.queries import Authority, Purpose, TrajectoryRequest, TravelLimits, Window
from search.cursor import Cursors
from search.matching import MAX_ANCHORS, Sought, points
from search.trajectory import EARTH_RADIUS_M, Stop, distance_m, impossible, legs, page
from tests.support.rows import START, row

LIMITS = TravelLimits()
SOUGHT = Sought(plate="ABC123")
DEGREE_M = math.radians(1) * EARTH_RADIUS_M


def along(metres: float) -> float:
    """Return the latitude that lies so many metres north of 38 degrees."""
    return 38.0 + metres / DEGREE_M


@pytest.mark.parametrize(
    ("one", "other", "metres"),
    [
        ((38.0, -90.0), (38.0, -90.0), 0.0),
        ((0.0, 179.5), (0.0, -179.5), DEGREE_M),
        ((90.0, 0.0), (-90.0, 0.0), math.pi * EARTH_RADIUS_M),
        ((0.0, 0.0), (0.0, 180.0), math.pi * EARTH_RADIUS_M),
        # Berlin to Paris, Brandenburger Tor to Notre-Dame; 877.5 km on the ellipsoid.
        ((52.516275, 13.377704), (48.852968, 2.349902), 877_500.0),
    ],
)
def test_distance(one: tuple[float, float], other: tuple[float, float], metres: float) -> None:
    measured = distance_m(Position(latitude=one[0], longitude=one[1]), Position(latitude=other[0], longitude=other[1]))
    assert measured == pytest.approx(metres, rel=0.005, abs=0.001)


@pytest.mark.parametrize(
    ("distance", "duration_s", "verdict"),
    [
        (300.0, 0.0, False),  # not over the least distance
        (300.1, 0.0, True),  # 200.1 m in no time at all
        (300.1, 2.0, True),  # 200.1 m in 2 s: 360 km/h
        (300.1, 4.0, False),  # 180 km/h
        (1100.0, 14.4, False),  # 1,000 m in 14.4 s is 250 km/h, not over it
        (1100.1, 14.4, True),
        (1_000_000.0, 14_400.0, False),
        (1_000_200.0, 14_400.0, True),
    ],
)
def test_the_rule(distance: float, duration_s: float, verdict: bool) -> None:
    assert impossible(distance, duration_s, LIMITS) is verdict


def test_each_setting_counts() -> None:
    assert not impossible(400.0, 0.0, TravelLimits(min_distance_m=400.0))
    assert not impossible(400.0, 0.0, TravelLimits(position_tolerance_m=400.0))
    assert impossible(400.0, 4.0, LIMITS)
    assert not impossible(400.0, 4.0, TravelLimits(max_speed_kmh=270.0))


def test_both_cameras_clocks_are_allowed_for() -> None:
    near, far = row(0), row(1, camera_id="cam-2", latitude=along(500))
    assert legs(points([near, far], SOUGHT, 30)[0], LIMITS)[0][0].impossible  # 400 m in 1 + 2 + 2 s: 288 km/h
    vague = far._replace(clock_uncertainty_s=4.0)
    assert not legs(points([near, vague], SOUGHT, 30)[0], LIMITS)[0][0].impossible  # 400 m in 7 s


def test_a_leg_names_its_points_and_numbers() -> None:
    rows = [row(0), row(60, camera_id="cam-2", latitude=along(1000)), row(61, camera_id="cam-3", latitude=along(9000))]
    (one, other), (split,) = legs(points(rows, SOUGHT, 30)[0], LIMITS)
    assert (one.from_, one.to) == (rows[0].pass_id, rows[1].pass_id)
    assert one.distance_m == pytest.approx(1000, abs=0.1)
    assert (one.elapsed_s, one.speed_kmh, one.impossible) == (60.0, 60.0, False)
    assert other.impossible
    assert (split.after, split.before, split.reason) == (rows[1].pass_id, rows[2].pass_id, "impossible_speed")
    assert split.speed_kmh == other.speed_kmh == pytest.approx(28_800, rel=0.001)


def test_two_places_at_once_have_no_speed_and_split() -> None:
    rows = [row(5), row(5, camera_id="cam-2", latitude=along(5000))]
    (leg,), (split,) = legs(points(rows, SOUGHT, 30)[0], LIMITS)
    assert (leg.elapsed_s, leg.speed_kmh, leg.impossible, split.speed_kmh) == (0.0, None, True, None)


def test_one_point_has_no_leg() -> None:
    assert legs(points([row(0)], SOUGHT, 30)[0], LIMITS) == ((), ())


def test_a_page_says_where_the_next_begins() -> None:
    rows = [row(0), row(10), row(100, camera_id="cam-2")]
    first = page(rows, SOUGHT, limit=2, pass_window_s=30, limits=LIMITS)
    assert [point.reads for point in first.points] == [2]
    assert first.carry is not None
    # Behind the merged read too: otherwise the next page would begin with it again.
    assert (first.carry.captured_at, first.carry.pass_id) == (rows[1].captured_at, rows[1].pass_id)
    assert first.carry.previous == Stop(rows[0].pass_id, START, 38.0, -90.0, 2.0)
    last = page(rows[2:], SOUGHT, limit=2, pass_window_s=30, limits=LIMITS, carry=first.carry)
    assert last.carry is None
    assert [(leg.from_, leg.to) for leg in last.legs] == [(rows[0].pass_id, rows[2].pass_id)]
    assert last.previous == first.carry.previous


def test_a_page_of_merged_reads_alone_keeps_the_previous_point() -> None:
    rows = [row(0), row(10), row(20), row(20 + timedelta(minutes=5).total_seconds(), camera_id="cam-2")]
    first = page(rows[:2], SOUGHT, limit=1, pass_window_s=30, limits=LIMITS)
    second = page(rows[1:3], SOUGHT, limit=1, pass_window_s=30, limits=LIMITS, carry=first.carry)
    assert (second.points, second.legs) == ((), ())
    assert first.carry is not None
    assert second.carry is not None
    assert second.carry.previous == first.carry.previous


def test_nothing_found_is_an_empty_page() -> None:
    empty = page([], SOUGHT, limit=1, pass_window_s=30, limits=LIMITS)
    assert (empty.points, empty.legs, empty.splits, empty.carry) == ((), (), (), None)


def test_a_full_carry_fits_into_a_cursor() -> None:
    rows = [row(index / 100, f"cam-{index}") for index in range(4 * MAX_ANCHORS)]
    first = page(rows, SOUGHT, limit=len(rows) - 1, pass_window_s=30, limits=LIMITS)
    assert first.carry is not None
    assert len(first.carry.anchors) == MAX_ANCHORS
    asked = TrajectoryRequest(
        plate="ABC123",
        match="exact",
        window=Window(from_=START, to=START + timedelta(days=31)),
        purpose=Purpose(code="stolen_vehicle", case_number="2026-17", authority=Authority(kind="none")),
    )
    text = Cursors(b"c" * 32).seal(2**53, first.carry, 10_000, "someone", asked)
    asked_again = msgspec.structs.replace(asked, cursor=text)
    assert msgspec.convert(msgspec.to_builtins(asked_again), TrajectoryRequest) == asked_again
