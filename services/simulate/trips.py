"""Trips: who drives where and when, and the cameras that are passed on the way.

A vehicle is always somewhere: each trip starts where the last one ended, runs along roads at a speed that traffic,
hour and driver allow, and a pass is the moment at which the vehicle is beside a camera. So the passes of a vehicle are
plausible by construction, and only a misread can make a journey look impossible.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.simulate.cameras import PlacedCamera
from services.simulate.plans import Leave, plan
from services.simulate.roads import FREE_SPEED_KMH, Road, Router, Step
from services.simulate.vehicles import Vehicle
from services.simulate.world import World

LAST_PASS_BEFORE_NOW: Final = timedelta(minutes=1)
"""Nothing is passed later: with clock errors and second reads, no camera claims a time in the future."""

STREET_PACE_BY_HOUR: Final = (
    1.15, 1.15, 1.15, 1.15, 1.1, 1.05, 0.9, 0.68, 0.66, 0.85, 0.92, 0.9,
    0.86, 0.88, 0.88, 0.78, 0.66, 0.62, 0.74, 0.9, 1.0, 1.05, 1.1, 1.15,
)  # fmt: skip
"""Share of the free speed on streets by local hour: slow in the two rush hours, quick at night."""

DRIVE_BEFORE_BREAK: Final = timedelta(hours=4)
BREAK_MINUTES: Final = (25.0, 55.0)
DRIVE_BEFORE_NIGHT: Final = timedelta(hours=9)
NIGHT_HOURS: Final = (8.0, 10.5)


HAULIER_PACE: Final = 0.92

Roadside = Mapping[int, Sequence[PlacedCamera]]
"""The cameras beside each road, by the road's number."""


class Pass(msgspec.Struct, frozen=True, kw_only=True, tag="pass"):
    """One vehicle beside one camera at one moment (UTC, microseconds); `heading_deg` is the way it drove."""

    number: int
    vehicle: int
    camera_id: str
    at: datetime
    heading_deg: float


class _Beside(msgspec.Struct, frozen=True, kw_only=True):
    vehicle: int
    camera_id: str
    at: datetime
    heading_deg: float


def make_passes(world: World, vehicles: tuple[Vehicle, ...], start: datetime, now: datetime) -> tuple[Pass, ...]:
    """Return every pass in [start, now - 1 minute) in time order. The same for the same arguments."""
    router = Router(world.network)
    cameras: dict[int, list[PlacedCamera]] = {}
    for camera in world.cameras:
        cameras.setdefault(camera.road, []).append(camera)
    found: list[_Beside] = []
    for vehicle in vehicles:
        dice = random.Random(f"{world.seed}/trips/{vehicle.number}")
        leaves = plan(vehicle, world.network, router, start, now, dice)
        found += Driver(world, router, cameras, vehicle, dice).passes(leaves)
    inside = [item for item in found if start <= item.at < now - LAST_PASS_BEFORE_NOW]
    inside.sort(key=lambda item: (item.at, item.vehicle))
    return tuple(
        Pass(
            number=number,
            vehicle=item.vehicle,
            camera_id=item.camera_id,
            at=item.at,
            heading_deg=item.heading_deg,
        )
        for number, item in enumerate(inside)
    )


class Driver:
    """Drives one vehicle through its plans and notes the cameras it passes."""

    def __init__(self, world: World, router: Router, cameras: Roadside, vehicle: Vehicle, dice: random.Random) -> None:
        self._network = world.network
        self._router = router
        self._cameras = cameras
        self._vehicle = vehicle
        self._dice = dice
        self._temper = min(1.12, max(0.88, dice.gauss(1.0, 0.05)))
        self._passed: list[_Beside] = []

    def passes(self, leaves: Iterator[Leave]) -> list[_Beside]:
        """Return the passes of all trips; a trip cannot start before the last one has ended."""
        here = self._vehicle.home
        ready: datetime | None = None
        for leave in leaves:
            at = leave.at if ready is None else max(leave.at, ready)
            ready = self._drive(self._router.route(here, leave.to), at) + leave.stay
            here = leave.to
        return self._passed

    def _drive(self, route: list[Step], at: datetime) -> datetime:
        """Drive a route from a time on and return the time of arrival."""
        since_break = since_night = timedelta()
        for step in route:
            taken = self._along(step, at)
            at, since_break, since_night = at + taken, since_break + taken, since_night + taken
            if since_night >= DRIVE_BEFORE_NIGHT:
                at += timedelta(hours=self._dice.uniform(*NIGHT_HOURS))
                since_break = since_night = timedelta()
            elif since_break >= DRIVE_BEFORE_BREAK:
                at += timedelta(minutes=self._dice.uniform(*BREAK_MINUTES))
                since_break = timedelta()
        return at

    def _along(self, step: Step, at: datetime) -> timedelta:
        """Drive one road from a time on, note the cameras beside it, and return how long it took."""
        road = self._network.roads[step.road]
        taken = timedelta(hours=road.length_m / 1_000 / self._speed_kmh(road, at))
        for camera in self._cameras.get(step.road, ()):
            share = camera.offset_m / road.length_m
            heading = camera.heading_deg if step.forward else (camera.heading_deg + 180) % 360
            moment = at + taken * (share if step.forward else 1 - share)
            beside = _Beside(
                vehicle=self._vehicle.number,
                camera_id=camera.camera_id,
                at=moment,
                heading_deg=round(heading, 1),
            )
            self._passed.append(beside)
        return taken

    def _speed_kmh(self, road: Road, at: datetime) -> float:
        pace = self._temper * min(1.1, max(0.85, self._dice.gauss(1.0, 0.04)))
        if road.kind == "street":
            hour = at.astimezone(ZoneInfo(self._network.nodes[road.a].timezone)).hour
            pace *= STREET_PACE_BY_HOUR[hour]
        elif self._vehicle.habit == "haulier":
            pace *= HAULIER_PACE
        return FREE_SPEED_KMH[road.kind] * pace
