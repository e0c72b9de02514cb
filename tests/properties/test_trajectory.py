"""Any cutting into pages shows the same trajectory, and both agree with a naive reference."""

import math
import uuid
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.queries import Leg, Point, Split, TravelLimits
from search.matching import Sought
from search.ports import Row
from search.trajectory import Carry, page
from tests.support.rows import row

WINDOW_S = 30.0
LIMITS = TravelLimits()
SOUGHT = Sought(plate="ABC0")


class Whole(NamedTuple):
    """A trajectory, with how many reads each point stands for left out."""

    points: list[Point]
    legs: list[Leg]
    splits: list[Split]


@st.composite
def many_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of a few cameras and look-alike plates, dense enough for merged reads, ties and impossible legs."""
    reads = draw(
        st.lists(
            st.tuples(
                st.integers(0, 600),
                st.integers(0, 3),
                st.sampled_from(["ABC0", "ABCO"]),
                st.sampled_from([0.0, 2.0, 5.0]),
            ),
            max_size=40,
        )
    )
    rows = [
        row(
            at, f"cam-{place}", plate, latitude=38.0 + place * 0.02, clock_uncertainty_s=vague, pass_id=uuid.UUID(int=n)
        )
        for n, (at, place, plate, vague) in enumerate(reads)
    ]
    return sorted(rows, key=lambda item: (item.captured_at, item.pass_id))


def in_pages(rows: list[Row], limit: int) -> Whole:
    """Ask page after page, as the gate would answer, each carry taken through bytes as a cursor is."""
    whole = Whole([], [], [])
    carry: Carry | None = None
    while True:
        after = (carry.captured_at, carry.pass_id) if carry else None
        left = [item for item in rows if after is None or (item.captured_at, item.pass_id) > after]
        one = page(left[: limit + 1], SOUGHT, limit=limit, pass_window_s=WINDOW_S, limits=LIMITS, carry=carry)
        whole.points.extend(msgspec.structs.replace(point, reads=0) for point in one.points)
        whole.legs.extend(one.legs)
        whole.splits.extend(one.splits)
        if one.carry is None:
            return whole
        carry = msgspec.json.decode(msgspec.json.encode(one.carry), type=Carry)


@given(many_rows(), st.integers(1, 45))
def test_pages_show_what_one_page_shows(rows: list[Row], limit: int) -> None:
    assert in_pages(rows, limit) == in_pages(rows, 1000)


@given(many_rows())
def test_points_agree_with_a_naive_reference(rows: list[Row]) -> None:
    expected: list[tuple[uuid.UUID, int]] = []
    left = list(rows)
    while left:
        first = left[0]
        last = first.captured_at + timedelta(seconds=WINDOW_S)
        same = [
            item
            for item in left
            if (item.camera_id, item.plate) == (first.camera_id, first.plate) and item.captured_at <= last
        ]
        expected.append((first.pass_id, len(same)))
        left = [item for item in left if item not in same]
    whole = page(rows, SOUGHT, limit=1000, pass_window_s=WINDOW_S, limits=LIMITS)
    assert [(point.pass_id, point.reads) for point in whole.points] == expected


@given(many_rows())
def test_legs_join_consecutive_points_and_split_where_impossible(rows: list[Row]) -> None:
    whole = page(rows, SOUGHT, limit=1000, pass_window_s=WINDOW_S, limits=LIMITS)
    ids = [point.pass_id for point in whole.points]
    assert [(leg.from_, leg.to) for leg in whole.legs] == list(pairwise(ids))
    for leg, one, other in zip(whole.legs, whole.points, whole.points[1:], strict=False):
        # By the law of cosines, and as the issue writes the rule: with a division.
        south, north = math.radians(one.position.latitude), math.radians(other.position.latitude)
        cosine = math.sin(south) * math.sin(north) + math.cos(south) * math.cos(north)
        distance = 6_371_008.8 * math.acos(min(1.0, cosine))
        seconds = (other.captured_at - one.captured_at).total_seconds()
        seconds += one.clock_uncertainty_s + other.clock_uncertainty_s
        speed = (distance - 100) / seconds * 3.6 if seconds else math.inf
        assert leg.impossible is (distance > 300 and speed > 250)
    assert [(split.after, split.before) for split in whole.splits] == [
        (leg.from_, leg.to) for leg in whole.legs if leg.impossible
    ]


def test_the_reference_meets_impossible_legs() -> None:
    """The strategy's places are over two kilometres apart, so that neighbours within seconds must split."""
    whole = page(
        [row(0, "cam-0"), row(10, "cam-1", latitude=38.02)], SOUGHT, limit=9, pass_window_s=WINDOW_S, limits=LIMITS
    )
    assert len(whole.splits) == 1
