"""Answers as the search service gives them, made by hand for tests of what is shown."""

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.detections import Position
from schemas.queries import Answer, Leg, Point, Receipt, Split, TravelLimits, Withheld
from schemas.sightings import Trait

START = datetime(2026, 7, 1, 14, 5, 9, tzinfo=UTC)

STOPS = (
    ("cam-denver-co-east", "copper-mesa-so", 39.74, -104.99, "America/Denver", 0.0),
    ("cam-limon-co-west", "plains-dot", 39.26, -103.69, "America/Denver", 1.3),
    ("cam-goodland-ks", "plains-dot", 39.35, -101.71, "America/Denver", 3.0),
    ("cam-hays-ks", "plains-dot", 38.88, -99.33, "America/Chicago", 5.2),
    ("cam-topeka-ks", "plains-dot", 39.05, -95.68, "America/Chicago", 8.4),
    ("cam-far-away", "plains-dot", 36.15, -95.99, "America/Chicago", 8.6),
)
"""Camera, owner, latitude, longitude, time zone, and hours after the start. The last is too far to be true."""


def point(number: int) -> Point:
    """Return the point of a stop."""
    camera_id, owner, latitude, longitude, timezone, hours = STOPS[number]
    at = START + timedelta(hours=hours)
    return Point(
        pass_id=uuid.UUID(int=number + 1),
        captured_at=at,
        local_time=at.astimezone(ZoneInfo(timezone)).isoformat(),
        camera_id=camera_id,
        owner=owner,
        position=Position(latitude=latitude, longitude=longitude),
        plate_raw="XQ7-O41",
        plate="XQ7O41",
        plate_confidence=0.93,
        candidates=(),
        region="US-CO",
        region_confidence=0.8,
        make=Trait(value="chevrolet", confidence=0.97, code="CHEV", said="Chevrolet"),
        model=None,
        colour=Trait(value="silver", confidence=0.88),
        body=Trait(value="suv"),
        match="exact",
        skew_s=0.4,
        clock_uncertainty_s=2.0,
        doubts=("low_confidence",) if number == 1 else (),
        reads=2 if number == 0 else 1,
    )


def leg(number: int, distance_m: float, elapsed_s: float) -> Leg:
    """Return the leg to a stop from the one before."""
    speed = distance_m / elapsed_s * 3.6
    return Leg(
        from_=uuid.UUID(int=number),
        to=uuid.UUID(int=number + 1),
        distance_m=distance_m,
        elapsed_s=elapsed_s,
        speed_kmh=speed,
        impossible=speed > 250,
    )


def answer(*, points: int = len(STOPS), complete: bool = False) -> Answer:
    """Return an answer with the first few stops as its points; the last leg is impossible."""
    distances = (0.0, 124_000.0, 171_000.0, 211_000.0, 317_000.0, 324_000.0)
    legs = [leg(n, distances[n], (STOPS[n][5] - STOPS[n - 1][5]) * 3600) for n in range(1, points)]
    return Answer(
        points=tuple(point(number) for number in range(points)),
        legs=tuple(legs),
        splits=tuple(
            Split(after=one.from_, before=one.to, reason="impossible_speed", speed_kmh=one.speed_kmh)
            for one in legs
            if one.impossible
        ),
        limits=TravelLimits(),
        withheld=Withheld(owners=0 if complete else 1, reasons={} if complete else {"no_grant": 1}),
        complete=complete,
        intent=48,
        outcome=49,
        receipt=Receipt(index=48, leaf="e30=", size=49, root="00" * 32),
        next=None,
    )
