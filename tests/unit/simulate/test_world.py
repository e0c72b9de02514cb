"""The world: the same for the same seed, in one piece, over several time zones, with three agencies."""

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from schemas.owners import OwnerRules
from services.simulate import world
from services.simulate.geography import Place, Point, bearing_deg, between, distance_m, spread, towards
from services.simulate.roads import Router, build_network
from services.simulate.world import ASKING, SHARING, SILENT, World
from tests.unit.simulate.conftest import NOW, SEED

BOULDER = Point(latitude=40.0, longitude=-105.0)


def test_the_same_seed_makes_the_same_world(a_world: World) -> None:
    assert world.build(SEED) == a_world


def test_another_seed_makes_another_world(a_world: World) -> None:
    other = world.build(SEED + 1)
    assert [camera.latitude for camera in other.cameras] != [camera.latitude for camera in a_world.cameras]


def test_every_junction_can_be_reached(a_world: World) -> None:
    router = Router(a_world.network)
    assert max(router.hours(0, node.number) for node in a_world.network.nodes) < 48


def test_two_clusters_far_apart_are_joined() -> None:
    """Each city has more near neighbours than corridors to neighbours, all in its own cluster."""
    west = [_place(40.0, -105.0 + step / 10) for step in range(6)]
    east = [_place(40.0, -95.0 + step / 10) for step in range(6)]
    network = build_network([*west, *east], random.Random(1))
    assert Router(network).hours(network.centre(0), network.centre(11)) < 20


def test_no_road_is_shorter_than_the_great_circle(a_world: World) -> None:
    nodes = a_world.network.nodes
    for road in a_world.network.roads:
        assert road.length_m >= distance_m(nodes[road.a].point, nodes[road.b].point)


def test_a_route_leads_from_start_to_end(a_world: World) -> None:
    network, router = a_world.network, Router(a_world.network)
    start, end = network.centre(0), network.centre(len(network.cities) - 1)
    here = start
    for step in router.route(start, end):
        road = network.roads[step.road]
        assert here == (road.a if step.forward else road.b)
        here = road.b if step.forward else road.a
    assert here == end


def test_cameras_of_three_agencies_stand_in_three_time_zones(a_world: World) -> None:
    assert len(a_world.cameras) == world.CAMERAS
    for agency in (ASKING, SHARING, SILENT):
        assert sum(camera.owner == agency.agency_id for camera in a_world.cameras) >= 5
    offsets = {_offset(NOW, camera.timezone) for camera in a_world.cameras}
    assert len(offsets) >= 3


def test_camera_ids_are_slugs_and_not_given_twice(a_world: World) -> None:
    ids = [camera.camera_id for camera in a_world.cameras]
    assert len(set(ids)) == len(ids)
    for camera_id in ids:
        assert camera_id.startswith("cam-")
        assert len(camera_id) <= 48
        assert set(camera_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_camera_stands_where_its_road_runs(a_world: World) -> None:
    for camera in a_world.cameras:
        road = a_world.network.roads[camera.road]
        start, end = a_world.network.nodes[road.a].point, a_world.network.nodes[road.b].point
        here = Point(latitude=camera.latitude, longitude=camera.longitude)
        detour = distance_m(start, here) + distance_m(here, end) - distance_m(start, end)
        assert detour < 5
        assert 0 < camera.offset_m < road.length_m
        assert abs(camera.clock_error_s) < camera.clock_uncertainty_s


def test_one_agency_grants_nothing(a_world: World) -> None:
    assert a_world.owners_open_to(ASKING.agency_id) == {ASKING.agency_id, SHARING.agency_id}
    rules = a_world.owner_rules()
    assert SILENT.agency_id not in rules.owners
    assert rules.owners[SHARING.agency_id].agencies == (ASKING.agency_id,)
    # As a file, it is what the services read.
    assert msgspec.json.decode(msgspec.json.encode(rules), type=OwnerRules) == rules


def test_distances_and_bearings_agree_with_known_values() -> None:
    # One degree of latitude is pi / 180 radii; the bearing along a meridian is north.
    north = Point(latitude=41.0, longitude=-105.0)
    assert abs(distance_m(BOULDER, north) - 111_195.08) < 0.01
    assert bearing_deg(BOULDER, north) == 0.0
    assert bearing_deg(north, BOULDER) == 180.0
    # Denver to Chicago airports, by published great-circle distance: 888 miles (DEN - ORD).
    denver, chicago = Point(latitude=39.8617, longitude=-104.6731), Point(latitude=41.9786, longitude=-87.9048)
    assert abs(distance_m(denver, chicago) / 1609.344 - 888) < 3


def test_towards_and_between_undo_distance_and_bearing() -> None:
    there = towards(BOULDER, 73.0, 50_000)
    assert abs(distance_m(BOULDER, there) - 50_000) < 0.2
    assert abs(bearing_deg(BOULDER, there) - 73.0) < 0.001
    middle = between(BOULDER, there, 0.5)
    assert abs(distance_m(middle, BOULDER) - distance_m(middle, there)) < 0.5


def test_spread_keeps_the_distance_and_the_order() -> None:
    places = [_place(40.0, -105.0), _place(40.0, -104.9), _place(40.0, -103.0), _place(40.0, -101.0)]
    assert spread(places, 2, 50_000) == [places[0], places[2]]


def _place(latitude: float, longitude: float) -> Place:
    return Place(
        name="Somewhere",
        admin1code="CO",
        countrycode="US",
        latitude=latitude,
        longitude=longitude,
        population=50_000,
    )


def _offset(at: datetime, zone: str) -> object:
    return at.astimezone(ZoneInfo(zone)).utcoffset()
