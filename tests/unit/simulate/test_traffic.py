"""Vehicles and their trips: repeatable, plausible, and like people's days."""

import uuid
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from schemas.plate import normalise
from services.cli.simulate import worth_asking
from services.simulate import generate
from services.simulate.geography import Point, distance_m
from services.simulate.misreads import Read
from services.simulate.trips import Pass
from services.simulate.truth import PASS_WINDOW, Truth
from services.simulate.world import World
from tests.unit.simulate.conftest import NOW


def test_the_same_seed_and_time_make_the_same_traffic(a_world: World, a_truth: Truth) -> None:
    assert generate(a_world, NOW) == a_truth


def test_another_time_makes_other_traffic(a_world: World, a_truth: Truth) -> None:
    assert generate(a_world, NOW + timedelta(days=1)).passes != a_truth.passes


def test_another_traffic_seed_puts_other_vehicles_past_the_same_cameras(a_world: World, a_truth: Truth) -> None:
    other = generate(a_world, NOW, traffic_seed=a_world.seed + 1)
    plates = [{vehicle.plate for vehicle in truth.vehicles} for truth in (a_truth, other)]
    assert len(plates[0] & plates[1]) < len(plates[0]) / 10
    cameras = {camera.camera_id for camera in a_world.cameras}
    assert {read.camera_id for read in other.reads} <= cameras


def test_a_plate_worth_asking_for_is_named(a_world: World, a_truth: Truth) -> None:
    pushed = a_truth.with_answers({read.number: ("accepted", uuid.UUID(int=read.number)) for read in a_truth.reads})
    said = worth_asking(a_world, pushed)
    assert said.startswith("Worth asking for, as copper-mesa-so,")
    assert said.rpartition(" ")[2] in {vehicle.plate for vehicle in a_truth.vehicles}
    assert "more --vehicles" in worth_asking(a_world, a_truth)  # nothing was accepted yet


def test_plates_are_in_normal_form_and_given_once(a_truth: Truth) -> None:
    plates = [vehicle.plate for vehicle in a_truth.vehicles]
    assert len(set(plates)) == len(plates)
    assert [normalise(plate) for plate in plates] == plates


def test_most_vehicles_have_a_neighbour_one_character_away(a_truth: Truth) -> None:
    masked = Counter(_masks(vehicle.plate) for vehicle in a_truth.vehicles)
    seen = Counter(mask for masks in masked.elements() for mask in masks)
    crowded = sum(any(seen[mask] > 1 for mask in _masks(vehicle.plate)) for vehicle in a_truth.vehicles)
    assert crowded > 0.8 * len(a_truth.vehicles)


def test_passes_are_in_order_and_before_now(a_truth: Truth) -> None:
    times = [one.at for one in a_truth.passes]
    assert times == sorted(times)
    assert times[0] >= a_truth.start
    assert max(read.detection.captured_at for read in a_truth.reads) < NOW
    assert any(at.microsecond % 1_000 for at in times)


def test_no_true_leg_is_faster_than_traffic(a_world: World, a_truth: Truth) -> None:
    legs = 0
    for passes in _by_vehicle(a_truth).values():
        for before, after in pairwise(passes):
            distance = _distance_m(a_world, before, after)
            hours = (after.at - before.at) / timedelta(hours=1)
            assert distance / 1_000 <= 135 * hours
            legs += distance > 300
    assert legs > 1_000


def test_no_claimed_leg_of_right_reads_looks_impossible(a_world: World, a_truth: Truth) -> None:
    """The rule by which an answer is split, on claimed times: clock errors included."""
    camera = {one.camera_id: one for one in a_world.cameras}
    reads: dict[int, list[Read]] = {}
    for read in a_truth.reads:
        reads.setdefault(read.vehicle, []).append(read)
    for own in reads.values():
        for before, after in pairwise(own):
            distance = distance_m(_point(a_world, before.camera_id), _point(a_world, after.camera_id))
            elapsed_s = (after.detection.captured_at - before.detection.captured_at).total_seconds()
            allowed_s = elapsed_s + sum(camera[one.camera_id].clock_uncertainty_s for one in (before, after))
            assert distance <= 300 or (distance - 100) / allowed_s * 3.6 < 250


def test_nobody_passes_a_camera_twice_within_the_pass_window(a_truth: Truth) -> None:
    last: dict[tuple[int, str], Pass] = {}
    for one in a_truth.passes:
        before = last.get((one.vehicle, one.camera_id))
        assert before is None or one.at - before.at > PASS_WINDOW
        last[one.vehicle, one.camera_id] = one


def test_commuters_fill_the_rush_hours(a_world: World, a_truth: Truth) -> None:
    zones = {camera.camera_id: ZoneInfo(camera.timezone) for camera in a_world.cameras}
    hours = Counter(
        local.hour
        for one in a_truth.passes
        if a_truth.vehicles[one.vehicle].habit == "commuter"
        and (local := one.at.astimezone(zones[one.camera_id])).weekday() < 5
    )
    rush = sum(hours[hour] for hour in (7, 8, 17, 18))
    night = sum(hours[hour] for hour in (0, 1, 2, 3))
    assert rush > 5 * night
    assert rush > 0.3 * hours.total()


def test_hauliers_drive_through_more_than_one_time_zone(a_world: World, a_truth: Truth) -> None:
    zones = {camera.camera_id: camera.timezone for camera in a_world.cameras}
    crossing = [
        number
        for number, passes in _by_vehicle(a_truth).items()
        if len({NOW.astimezone(ZoneInfo(zones[one.camera_id])).utcoffset() for one in passes}) > 1
    ]
    assert len(crossing) > 20
    assert any(a_truth.vehicles[number].habit == "haulier" for number in crossing)


def _masks(plate: str) -> tuple[str, ...]:
    return tuple(plate[:place] + "?" + plate[place + 1 :] for place in range(len(plate)))


def _by_vehicle(truth: Truth) -> dict[int, list[Pass]]:
    found: dict[int, list[Pass]] = {}
    for one in truth.passes:
        found.setdefault(one.vehicle, []).append(one)
    return found


def _point(world: World, camera_id: str) -> Point:
    camera = next(camera for camera in world.cameras if camera.camera_id == camera_id)
    return Point(latitude=camera.latitude, longitude=camera.longitude)


def _distance_m(world: World, a: Pass, b: Pass) -> float:
    return distance_m(_point(world, a.camera_id), _point(world, b.camera_id))
