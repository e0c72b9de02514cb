"""An answer as GeoJSON (RFC 7946): a Point for each sighting, a LineString for each leg that a vehicle can have driven.

An impossible leg has no line: a line through it would show a way that nobody took. What speaks against the answer as a
whole (its status, what was withheld, whether it is complete) stands beside the features, and the status in each one.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from schemas.queries import Answer, Leg, Point
from search.trajectory import Stop

_IN_FEATURES: Final = frozenset({"points", "legs"})
_Place = tuple[float, float]
"""Longitude, latitude: the order of GeoJSON."""


def encode(answer: Answer, previous: Stop | None = None) -> bytes:
    """Return an answer as a FeatureCollection.

    `previous` is the last point of the page before, if this is a further page: without it the leg from there has no
    line. Every member of the answer but points and legs is a foreign member of the collection (RFC 7946, 6.1).
    """
    rest = {
        name: getattr(answer, field)
        for field, name in zip(Answer.__struct_fields__, Answer.__struct_encode_fields__, strict=True)
        if name not in _IN_FEATURES
    }
    features = [*(_sighting(point, answer.status) for point in answer.points), *_lines(answer, previous)]
    return msgspec.json.encode({"type": "FeatureCollection", **rest, "features": features})


def _sighting(point: Point, status: str) -> dict[str, Any]:
    properties = {name: getattr(point, name) for name in Point.__struct_fields__ if name not in ("pass_id", "position")}
    return {
        "type": "Feature",
        "id": point.pass_id,
        "geometry": {"type": "Point", "coordinates": (point.position.longitude, point.position.latitude)},
        "properties": {"feature": "sighting", "status": status, **properties},
    }


def _lines(answer: Answer, previous: Stop | None) -> Iterator[dict[str, Any]]:
    places = {point.pass_id: (point.position.longitude, point.position.latitude) for point in answer.points}
    if previous is not None:
        places[previous.pass_id] = (previous.longitude, previous.latitude)
    for leg in answer.legs:
        if not leg.impossible and leg.from_ in places and leg.to in places:
            yield {
                "type": "Feature",
                "geometry": _geometry(places[leg.from_], places[leg.to]),
                "properties": {"feature": "leg", "status": answer.status, **_leg(leg)},
            }


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "from": leg.from_,
        "to": leg.to,
        "distance_m": leg.distance_m,
        "elapsed_s": leg.elapsed_s,
        "speed_kmh": leg.speed_kmh,
    }


def _geometry(start: _Place, end: _Place) -> dict[str, Any]:
    """Return the line between two places, cut in two where it crosses the antimeridian (RFC 7946, 3.1.9)."""
    if abs(end[0] - start[0]) <= 180:
        return {"type": "LineString", "coordinates": (start, end)}
    edge = 180.0 if start[0] > 0 else -180.0
    before = abs(edge - start[0])
    share = before / ((before + abs(edge + end[0])) or 1.0)
    latitude = start[1] + (end[1] - start[1]) * share
    return {
        "type": "MultiLineString",
        "coordinates": ((start, (edge, latitude)), ((-edge, latitude), end)),
    }
