"""A made-up road network between real cities: a ring and spokes in each city, corridors between cities.

No package ships the roads of a country, and none is needed: the times at which a vehicle passes two cameras must fit
the way between them, that is all. Every road is at least as long as the great circle between its ends, so no true
journey can look faster than it was driven.
"""

import heapq
import math
import random
from typing import Literal

import msgspec

from services.simulate.geography import Place, Point, bearing_deg, distance_m, timezone_at, towards

SPOKES = 4
STREET_FACTOR = 1.25
CORRIDOR_FACTORS = (1.12, 1.28)
"""Length of a road over the great circle between its ends: usual values of American roads are 1.1 to 1.4."""

NEIGHBOURS = 3
"""Corridors to so many nearest cities each, beside the spanning tree that keeps the network in one piece."""

RoadKind = Literal["street", "corridor"]

FREE_SPEED_KMH: dict[RoadKind, float] = {"street": 46.0, "corridor": 104.0}
"""Usual speed of a car without traffic; vehicles and hours change it (trips.py)."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A junction: the centre of a city (spoke is None) or a point of its ring road."""

    number: int
    city: int
    spoke: int | None
    point: Point
    timezone: str


class Road(msgspec.Struct, frozen=True, kw_only=True):
    """A road between two junctions, driven both ways; `length_m` is measured along the road."""

    number: int
    a: int
    b: int
    kind: RoadKind
    length_m: float


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Cities, their junctions and the roads; indexes are positions in these tuples."""

    cities: tuple[Place, ...]
    nodes: tuple[Node, ...]
    roads: tuple[Road, ...]

    def centre(self, city: int) -> int:
        """Return the number of the node in the middle of a city."""
        return city * (SPOKES + 1)

    def nodes_of(self, city: int) -> range:
        """Return the numbers of a city's nodes, the centre first."""
        first = self.centre(city)
        return range(first, first + SPOKES + 1)


def build_network(cities: list[Place], dice: random.Random) -> Network:
    """Return a connected network over the cities."""
    nodes: list[Node] = []
    roads: list[Road] = []
    for city, place in enumerate(cities):
        _add_city(nodes, roads, city, place, dice)
    for a, b in _corridors(cities):
        start = _gate(nodes, cities, a, b)
        end = _gate(nodes, cities, b, a)
        _add_road(nodes, roads, start, end, "corridor", dice.uniform(*CORRIDOR_FACTORS))
    return Network(cities=tuple(cities), nodes=tuple(nodes), roads=tuple(roads))


def _add_city(nodes: list[Node], roads: list[Road], city: int, place: Place, dice: random.Random) -> None:
    """Add a centre, a ring of junctions around it, a spoke to each and the ring road."""
    middle = Point(latitude=place.latitude, longitude=place.longitude)
    zone = timezone_at(middle)
    # About 2.5 km in a town of 20,000 and 9 km in a city of a million.
    radius_m = 1_000.0 * max(2.5, 2.9 * math.log10(place.population) - 8.9)
    first, turn = len(nodes), dice.uniform(0, 360)
    nodes.append(Node(number=first, city=city, spoke=None, point=middle, timezone=zone))
    for spoke in range(SPOKES):
        point = towards(middle, (turn + spoke * 360 / SPOKES) % 360, radius_m * dice.uniform(0.8, 1.2))
        nodes.append(Node(number=len(nodes), city=city, spoke=spoke, point=point, timezone=zone))
    for spoke in range(SPOKES):
        here, following = first + 1 + spoke, first + 1 + (spoke + 1) % SPOKES
        _add_road(nodes, roads, first, here, "street", STREET_FACTOR)
        _add_road(nodes, roads, here, following, "street", STREET_FACTOR)


def _add_road(nodes: list[Node], roads: list[Road], a: int, b: int, kind: RoadKind, factor: float) -> None:
    length_m = round(distance_m(nodes[a].point, nodes[b].point) * factor, 1)
    roads.append(Road(number=len(roads), a=a, b=b, kind=kind, length_m=length_m))


def _corridors(cities: list[Place]) -> list[tuple[int, int]]:
    """Return the pairs of cities that are joined: a minimum spanning tree, and the nearest neighbours of each."""
    away = [[distance_m(a, b) for b in cities] for a in cities]
    pairs = set(_spanning_tree(away))
    for city, row in enumerate(away):
        nearest = sorted((metres, other) for other, metres in enumerate(row) if other != city)
        pairs |= {(min(city, other), max(city, other)) for _, other in nearest[:NEIGHBOURS]}
    return sorted(pairs)


def _spanning_tree(away: list[list[float]]) -> list[tuple[int, int]]:
    """Return the edges of a minimum spanning tree (Prim's algorithm)."""
    best = {city: (away[0][city], 0) for city in range(1, len(away))}
    edges = []
    while best:
        city = min(best, key=lambda candidate: best[candidate])
        _, parent = best.pop(city)
        edges.append((min(city, parent), max(city, parent)))
        for other in best:
            best[other] = min(best[other], (away[city][other], city))
    return edges


def _gate(nodes: list[Node], cities: list[Place], city: int, other: int) -> int:
    """Return the junction on the ring of `city` from which the corridor to `other` leaves."""
    course = bearing_deg(cities[city], cities[other])
    ring = range(city * (SPOKES + 1) + 1, (city + 1) * (SPOKES + 1))

    def turn(number: int) -> float:
        difference = abs(bearing_deg(cities[city], nodes[number].point) - course) % 360
        return min(difference, 360 - difference)

    return min(ring, key=turn)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One road of a route, with the way it is driven: from a to b, or back."""

    road: int
    forward: bool


class Router:
    """Quickest routes over a network by Dijkstra's algorithm; the tree of each start is kept."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ways: list[list[tuple[float, int, Step]]] = [[] for _ in network.nodes]
        for road in network.roads:
            hours = road.length_m / 1_000 / FREE_SPEED_KMH[road.kind]
            self._ways[road.a].append((hours, road.b, Step(road=road.number, forward=True)))
            self._ways[road.b].append((hours, road.a, Step(road=road.number, forward=False)))
        self._trees: dict[int, tuple[list[float], list[tuple[int, Step] | None]]] = {}

    def hours(self, start: int, end: int) -> float:
        """Return the driving time without traffic, in hours; infinite if there is no way."""
        return self._tree(start)[0][end]

    def route(self, start: int, end: int) -> list[Step]:
        """Return the roads from start to end in driving order; empty if they are the same."""
        came = self._tree(start)[1]
        steps: list[Step] = []
        here = end
        while (back := came[here]) is not None:
            here, step = back
            steps.append(step)
        return steps[::-1]

    def _tree(self, start: int) -> tuple[list[float], list[tuple[int, Step] | None]]:
        if start not in self._trees:
            self._trees[start] = self._grow(start)
        return self._trees[start]

    def _grow(self, start: int) -> tuple[list[float], list[tuple[int, Step] | None]]:
        hours = [math.inf] * len(self._ways)
        came: list[tuple[int, Step] | None] = [None] * len(self._ways)
        hours[start] = 0.0
        queue = [(0.0, start)]
        while queue:
            spent, here = heapq.heappop(queue)
            if spent > hours[here]:
                continue
            for cost, there, step in self._ways[here]:
                if spent + cost < hours[there]:
                    hours[there] = spent + cost
                    came[there] = (here, step)
                    heapq.heappush(queue, (spent + cost, there))
        return hours, came
