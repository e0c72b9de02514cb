"""What each kind of driver means to do: commutes and errands, journeys to another city, hauls without end."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.simulate.roads import Network, Router
from services.simulate.vehicles import Habit, Vehicle

SATURDAY: Final = 5
WORK_FROM_H, WORK_UNTIL_H = (7.5, 0.6), (17.2, 0.7)
"""Mean and spread of the times of leaving for work and for home, local hours."""

LUNCH_H, EVENING_H = (12.3, 0.4), (19.2, 0.8)
LUNCH_SHARE, EVENING_SHARE, WEEKEND_ERRANDS = 0.25, 0.4, 3
WORK_IN_THE_MIDDLE_SHARE = 0.6
WORK_ELSEWHERE_SHARE, ELSEWHERE_WITHIN_H = 0.25, 1.8

JOURNEY_H: Final = (3.0, 12.0)
HAUL_H: Final = (3.0, 15.0)
"""Driving times, without traffic, within which a traveller's or a haulier's destination lies."""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """A trip that is meant to begin at a time (UTC), to a node, with the least time spent there."""

    at: datetime
    to: int
    stay: timedelta


class _Scene(msgspec.Struct, frozen=True, kw_only=True):
    vehicle: Vehicle
    network: Network
    router: Router
    start: datetime
    end: datetime


def plan(
    vehicle: Vehicle, network: Network, router: Router, start: datetime, end: datetime, dice: random.Random
) -> Iterator[Leave]:
    """Yield the trips a vehicle means to make between two times (UTC), in order."""
    scene = _Scene(vehicle=vehicle, network=network, router=router, start=start, end=end)
    return _PLANS[vehicle.habit](scene, dice)


def _commuter(scene: _Scene, dice: random.Random) -> Iterator[Leave]:
    home, zone = scene.vehicle.home, ZoneInfo(scene.network.nodes[scene.vehicle.home].timezone)
    work = _workplace(scene, dice)
    day, last = scene.start.astimezone(zone).date(), scene.end.astimezone(zone).date()
    while day <= last:
        outings = _weekend(scene, dice) if day.weekday() >= SATURDAY else _workday(scene, work, dice)
        for hour, to in sorted(outings):
            yield Leave(at=_moment(day, hour, zone), to=to, stay=timedelta(minutes=dice.uniform(12, 45)))
        yield Leave(at=_moment(day, 22.8, zone), to=home, stay=timedelta(hours=5))
        day += timedelta(days=1)


def _workday(scene: _Scene, work: int, dice: random.Random) -> list[tuple[float, int]]:
    outings = [(dice.gauss(*WORK_FROM_H), work), (dice.gauss(*WORK_UNTIL_H), scene.vehicle.home)]
    if dice.random() < LUNCH_SHARE:
        noon = dice.gauss(*LUNCH_H)
        city = scene.network.nodes[work].city
        outings += [(noon, dice.choice(scene.network.nodes_of(city))), (noon + 0.8, work)]
    if dice.random() < EVENING_SHARE:
        outings.append((max(18.6, dice.gauss(*EVENING_H)), _near_home(scene, dice)))
    return outings


def _weekend(scene: _Scene, dice: random.Random) -> list[tuple[float, int]]:
    errands = dice.randint(0, WEEKEND_ERRANDS)
    return [(dice.uniform(9.0, 20.0), _near_home(scene, dice)) for _ in range(errands)]


def _near_home(scene: _Scene, dice: random.Random) -> int:
    return dice.choice(scene.network.nodes_of(scene.network.nodes[scene.vehicle.home].city))


def _workplace(scene: _Scene, dice: random.Random) -> int:
    """Return where a commuter works: another part of the home city, or a city near by."""
    home = scene.vehicle.home
    city = scene.network.nodes[home].city
    if dice.random() < WORK_ELSEWHERE_SHARE:
        cities = _within(scene, home, 0.2, ELSEWHERE_WITHIN_H, city)
        city = dice.choice(cities) if cities else city
    if dice.random() < WORK_IN_THE_MIDDLE_SHARE:
        return scene.network.centre(city)
    return dice.choice([node for node in scene.network.nodes_of(city) if node != home])


def _traveller(scene: _Scene, dice: random.Random) -> Iterator[Leave]:
    """Yield journeys to a far city and back, a few hours to two days apart."""
    home = scene.vehicle.home
    at = scene.start + timedelta(hours=dice.uniform(0, 30))
    while at < scene.end:
        there = _destination(scene, home, JOURNEY_H, dice)
        away = timedelta(hours=scene.router.hours(home, there) * 1.2)
        stay = timedelta(hours=dice.uniform(3, 22))
        yield Leave(at=at, to=there, stay=stay)
        yield Leave(at=at + away + stay, to=home, stay=timedelta(hours=6))
        at += 2 * away + stay + timedelta(hours=dice.uniform(6, 30))


def _haulier(scene: _Scene, dice: random.Random) -> Iterator[Leave]:
    """Yield hauls from one city to the next, with loading times between."""
    here, at = scene.vehicle.home, scene.start + timedelta(hours=dice.uniform(0, 8))
    while at < scene.end:
        there = _destination(scene, here, HAUL_H, dice)
        stay = timedelta(hours=dice.uniform(1.5, 5))
        yield Leave(at=at, to=there, stay=stay)
        at += timedelta(hours=scene.router.hours(here, there)) + stay
        here = there


def _destination(scene: _Scene, here: int, hours: tuple[float, float], dice: random.Random) -> int:
    """Return the middle of a city at a driving time between the two, larger cities more often."""
    cities = _within(scene, here, *hours, scene.network.nodes[here].city)
    people = [float(scene.network.cities[city].population) ** 0.5 for city in cities]
    return scene.network.centre(dice.choices(cities, weights=people)[0])


def _within(scene: _Scene, here: int, least_h: float, most_h: float, but: int) -> list[int]:
    return [
        city
        for city in range(len(scene.network.cities))
        if city != but and least_h <= scene.router.hours(here, scene.network.centre(city)) <= most_h
    ]


def _moment(day: date, hour: float, zone: ZoneInfo) -> datetime:
    """Return the UTC time of a local hour, which may be fractional, on a day."""
    midnight = datetime.combine(day, time(), tzinfo=zone)
    # Hours are added on the wall clock, as people plan, and only then put into UTC.
    return (midnight + timedelta(hours=hour)).astimezone(UTC)


_PLANS: Final[dict[Habit, Callable[[_Scene, random.Random], Iterator[Leave]]]] = {
    "commuter": _commuter,
    "traveller": _traveller,
    "haulier": _haulier,
}
