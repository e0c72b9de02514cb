"""Where the cameras stand: on the busiest corridors and on the spokes of the largest cities."""

import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.cameras import DEFAULT_CLOCK_UNCERTAINTY_S, ClockUse
from services.simulate.geography import Place, bearing_deg, between, timezone_at
from services.simulate.roads import Network, Road, Router

GROUND_SHARES = {"west": 0.3, "middle": 0.4, "east": 0.3}
WEST_ENDS_DEG, EAST_BEGINS_DEG = -99.0, -90.5
"""Longitudes that part the three agencies' grounds; each ground has its share of the cameras."""

CORRIDOR_SHARE = 0.55
LOCAL_CORRIDOR_CAMERAS = 0.35
"""Share of the corridor cameras outside the middle that belong to the local agency, not to the middle's."""

LARGEST_CLOCK_ERROR_S = 1.2
"""Clocks are set by the network and trusted, but not perfect: always within `clock_uncertainty_s`."""

COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")

Dialect = Literal["hyphens", "keyed", "lower"]
"""How a camera writes: `ABC-1234`; plain, with a key of the vendor's for each message; or `abc 1234`."""


class PlacedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera on a road: what its registration says, and what only the simulator knows.

    `offset_m` is measured along the road from its end `a`; `clock_error_s` is added to every time the camera claims.
    """

    camera_id: str
    owner: str
    name: str
    latitude: float
    longitude: float
    heading_deg: float
    timezone: str
    clock_use: ClockUse = "trusted"
    clock_uncertainty_s: float = DEFAULT_CLOCK_UNCERTAINTY_S
    road: int
    offset_m: float
    clock_error_s: float
    dialect: Dialect
    tells_position: bool


def place_cameras(
    network: Network, router: Router, owners: Mapping[str, str], count: int, dice: random.Random
) -> tuple[PlacedCamera, ...]:
    """Return `count` cameras, each on its own stretch of road; `owners` names the agency of west, middle and east."""
    traffic = _corridor_traffic(network, router)
    taken: set[str] = set()
    placed: list[PlacedCamera] = []
    for ground, share in GROUND_SHARES.items():
        last = ground == list(GROUND_SHARES)[-1]
        seats = count - len(placed) if last else round(count * share)
        spots = _corridor_spots(network, traffic, ground, round(seats * CORRIDOR_SHARE), dice)
        spots += _street_spots(network, ground, seats - len(spots), dice)
        placed += [_camera(network, road, along, owners, dice, taken) for road, along in spots]
    return tuple(placed)


def _ground(longitude: float) -> str:
    """Return on whose ground a place is."""
    return "west" if longitude < WEST_ENDS_DEG else "east" if longitude > EAST_BEGINS_DEG else "middle"


def _corridor_traffic(network: Network, router: Router) -> dict[int, float]:
    """Return how much each corridor is driven, from a gravity model over all pairs of cities."""
    traffic = {road.number: 0.0 for road in network.roads if road.kind == "corridor"}
    for a, start in enumerate(network.cities):
        for b, end in enumerate(network.cities[:a]):
            pull = (start.population * end.population) ** 0.5 / router.hours(network.centre(a), network.centre(b))
            for step in router.route(network.centre(a), network.centre(b)):
                if step.road in traffic:
                    traffic[step.road] += pull
    return traffic


def _shared_out(weights: Mapping[int, float], seats: int) -> list[int]:
    """Share seats out by weight, one at a time (D'Hondt's method); the same number may come several times."""
    given: Counter[int] = Counter()
    order = []
    for _ in range(seats):
        number = max(weights, key=lambda candidate: (weights[candidate] / (given[candidate] + 1), -candidate))
        given[number] += 1
        order.append(number)
    return order


def _corridor_spots(
    network: Network, traffic: Mapping[int, float], ground: str, count: int, dice: random.Random
) -> list[tuple[Road, float]]:
    """Return places on the busiest corridors of a ground, as road and share of its length."""

    def middle(number: int) -> float:
        road = network.roads[number]
        return (network.nodes[road.a].point.longitude + network.nodes[road.b].point.longitude) / 2

    here = {number: pull for number, pull in traffic.items() if _ground(middle(number)) == ground}
    return [
        (network.roads[number], (turn + dice.uniform(0.35, 0.65)) / seats)
        for number, seats in sorted(Counter(_shared_out(here, count)).items())
        for turn in range(seats)
    ]


def _street_spots(network: Network, ground: str, count: int, dice: random.Random) -> list[tuple[Road, float]]:
    """Return places on the spokes of a ground's largest cities; each spoke has one camera at most."""
    people = {
        city: float(place.population) ** 0.5
        for city, place in enumerate(network.cities)
        if _ground(place.longitude) == ground
    }
    spots = []
    for city, seats in sorted(Counter(_shared_out(people, count)).items()):
        spokes = [road for road in network.roads if road.a == network.centre(city)]
        chosen = dice.sample(spokes, min(seats, len(spokes)))
        spots += [(road, dice.uniform(0.3, 0.7)) for road in chosen]
    return spots


def _camera(
    network: Network, road: Road, share: float, owners: Mapping[str, str], dice: random.Random, taken: set[str]
) -> PlacedCamera:
    start, end = network.nodes[road.a], network.nodes[road.b]
    point = between(start.point, end.point, share)
    course = bearing_deg(start.point, end.point)
    owner = owners[_holder(road, point.longitude, dice)]
    name = _name(road, network.cities[start.city], network.cities[end.city], course, share)
    dialects: dict[str, Dialect] = dict(zip(owners.values(), ("hyphens", "keyed", "lower"), strict=True))
    return PlacedCamera(
        camera_id=_slug(name, taken),
        owner=owner,
        name=name,
        latitude=point.latitude,
        longitude=point.longitude,
        heading_deg=round(course, 1),
        timezone=timezone_at(point),
        road=road.number,
        offset_m=round(road.length_m * share, 1),
        clock_error_s=round(dice.uniform(-LARGEST_CLOCK_ERROR_S, LARGEST_CLOCK_ERROR_S), 3),
        dialect=dialects[owner],
        tells_position=dice.random() < 0.5,
    )


def _holder(road: Road, longitude: float, dice: random.Random) -> str:
    """Return on whose account a camera stands. Most corridors are the middle's agency's, wherever they run."""
    local = road.kind == "street" or dice.random() < LOCAL_CORRIDOR_CAMERAS
    return _ground(longitude) if local else "middle"


def _name(road: Road, start: Place, end: Place, course: float, share: float) -> str:
    if road.kind == "street":
        return f"{start.name} {start.admin1code}, {COMPASS[round(course / 45) % 8]}"
    return f"{start.name} {start.admin1code} - {end.name} {end.admin1code}, km {road.length_m * share / 1_000:.0f}"


def _slug(name: str, taken: set[str]) -> str:
    """Return a camera id from a name: small letters, digits and hyphens, at most 48 characters, never twice."""
    stem = "cam-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")
    slug, number = stem, 2
    while slug in taken:
        slug, number = f"{stem}-{number}", number + 1
    taken.add(slug)
    return slug
