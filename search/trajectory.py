"""From points to a trajectory: the legs between them, the splits where no vehicle can have travelled, and its pages.

A leg is impossible if the great-circle distance is over `min_distance_m` and, even if the cameras stand
`position_tolerance_m` closer and their clocks err by their whole uncertainty, the speed is over `max_speed_kmh`.
"""

import math
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

import msgspec

from schemas.detections import Position
from schemas.queries import Leg, Point, Split, TravelLimits
from search.matching import Anchor, Sought, points
from search.ports import Row

EARTH_RADIUS_M: Final = 6_371_008.8
"""Mean radius (IUGG): the sphere is at most 0.6 % off, which the position tolerance and the speed limit allow for."""


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """What a leg needs of one of its points."""

    pass_id: uuid.UUID
    captured_at: datetime
    latitude: float
    longitude: float
    clock_uncertainty_s: float


class Carry(msgspec.Struct, frozen=True, array_like=True):
    """What a page hands to the next one: where it ended, which passes were open there, and its last point.

    The position is the last row's, not the last point's: reads that were merged are behind it too. All of it goes into
    a signed cursor; it holds no plate.
    """

    captured_at: datetime
    pass_id: uuid.UUID
    anchors: tuple[Anchor, ...]
    previous: Stop | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a trajectory. `carry` is set if there are more rows; `previous` is where the first leg begins."""

    points: tuple[Point, ...]
    legs: tuple[Leg, ...]
    splits: tuple[Split, ...]
    previous: Stop | None
    carry: Carry | None


def page(
    rows: Sequence[Row],
    sought: Sought,
    *,
    limit: int,
    pass_window_s: float,
    limits: TravelLimits,
    carry: Carry | None = None,
) -> Page:
    """Return one page from the gate's rows: at most `limit` of them in time order, and one more if there are more.

    `carry` is the page before's. Any cutting into pages shows the same passes and legs; a leg from one page to the
    next stands on the later one, and `reads` of a pass counts those on its point's page.
    """
    used = rows[:limit]
    before = carry.previous if carry else None
    found, anchors = points(used, sought, pass_window_s, carry.anchors if carry else ())
    way, splits = legs(found, limits, before)
    last = _stop(found[-1]) if found else before
    following = None
    if len(rows) > limit:
        following = Carry(captured_at=used[-1].captured_at, pass_id=used[-1].pass_id, anchors=anchors, previous=last)
    return Page(points=tuple(found), legs=way, splits=splits, previous=before, carry=following)


def legs(
    found: Iterable[Point], limits: TravelLimits, previous: Stop | None = None
) -> tuple[tuple[Leg, ...], tuple[Split, ...]]:
    """Return the legs between consecutive points in time order, and a split for each impossible one.

    `previous` is the last point of the page before, if any: the first leg begins there.
    """
    stops = [*([previous] if previous else []), *map(_stop, found)]
    way = tuple(_leg(one, other, limits) for one, other in pairwise(stops))
    splits = tuple(
        Split(after=leg.from_, before=leg.to, reason="impossible_speed", speed_kmh=leg.speed_kmh)
        for leg in way
        if leg.impossible
    )
    return way, splits


def distance_m(one: Position | Stop, other: Position | Stop) -> float:
    """Return the great-circle distance between two places in metres (haversine formula)."""
    south, north = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    half = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def impossible(distance: float, duration_s: float, limits: TravelLimits) -> bool:
    """Tell whether no vehicle can travel a distance (metres) within a duration that allows for both clocks."""
    farthest = limits.max_speed_kmh / 3.6 * duration_s
    return distance > limits.min_distance_m and distance - limits.position_tolerance_m > farthest


def _leg(one: Stop, other: Stop, limits: TravelLimits) -> Leg:
    distance = distance_m(one, other)
    elapsed_s = (other.captured_at - one.captured_at).total_seconds()
    duration_s = elapsed_s + one.clock_uncertainty_s + other.clock_uncertainty_s
    return Leg(
        from_=one.pass_id,
        to=other.pass_id,
        distance_m=round(distance, 1),
        elapsed_s=elapsed_s,
        speed_kmh=round(distance / elapsed_s * 3.6, 1) if elapsed_s > 0 else None,
        impossible=impossible(distance, duration_s, limits),
    )


def _stop(point: Point) -> Stop:
    return Stop(
        point.pass_id,
        point.captured_at,
        point.position.latitude,
        point.position.longitude,
        point.clock_uncertainty_s,
    )
