"""Vehicles with made-up plates, issued in dense series so that many have a neighbour one character away."""

import random
from collections import Counter
from typing import Final, Literal

import msgspec

from services.simulate.roads import Network
from services.simulate.world import World

LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"
"""Plate letters: without I, O and Q, which most states leave out because they are taken for digits."""

MASKS: Final[dict[str, str]] = {
    "CO": "LLLL##",
    "IA": "LLL###",
    "IL": "LL#####",
    "IN": "###LLL",
    "KS": "####LLL",
    "KY": "L#L###",
    "MO": "LL#L#L",
    "NE": "LLL####",
    "UT": "L###LL",
    "WY": "##L####",
}
"""Made-up masks in the manner of states: L a letter fixed for a series, # a digit that counts, others as they are."""

OTHER_MASK: Final = "LLL####"
SERIES_LENGTH: Final = 40
NUMBERS_LEFT_OUT: Final = 0.15
FAR_FROM_HOME_SHARE: Final = 0.1
HOME_PULL_OF_A_CAMERA: Final = 4.0

Habit = Literal["commuter", "traveller", "haulier"]
HABITS: Final[dict[Habit, int]] = {"commuter": 66, "traveller": 22, "haulier": 12}

MODELS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "Chevrolet": {"SUV": ("Equinox", "Tahoe"), "Pickup": ("Silverado 1500",), "Sedan": ("Malibu",)},
    "Ford": {"Pickup": ("F-150", "Ranger"), "SUV": ("Escape", "Explorer"), "Van": ("Transit",)},
    "Toyota": {"Sedan": ("Camry", "Corolla"), "SUV": ("RAV4",), "Pickup": ("Tacoma",)},
    "Honda": {"Sedan": ("Accord", "Civic"), "SUV": ("CR-V",), "Van": ("Odyssey",)},
    "Nissan": {"Sedan": ("Altima", "Sentra"), "SUV": ("Rogue",)},
    "Subaru": {"SUV": ("Forester", "Outback"), "Hatchback": ("Impreza",)},
    "Jeep": {"SUV": ("Grand Cherokee", "Wrangler")},
    "Hyundai": {"Sedan": ("Elantra",), "SUV": ("Tucson",)},
    "Dodge": {"SUV": ("Durango",), "Van": ("Grand Caravan",), "Sedan": ("Charger",)},
    "GMC": {"Pickup": ("Sierra 1500",), "SUV": ("Terrain",)},
}
TRUCKS: Final[dict[str, tuple[str, ...]]] = {
    "Freightliner": ("Cascadia",),
    "Kenworth": ("T680",),
    "Peterbilt": ("579",),
    "Volvo": ("VNL",),
}
MAKE_WEIGHTS: Final = (16, 18, 16, 11, 9, 7, 8, 6, 5, 4)
COLOURS: Final = {"White": 25, "Black": 21, "Gray": 19, "Silver": 13, "Blue": 10, "Red": 8, "Brown": 2, "Green": 2}


class Vehicle(msgspec.Struct, frozen=True, kw_only=True, tag="vehicle"):
    """A vehicle as it is; `plate` is in normal form, `region` ISO 3166-2, `home` a node of the network."""

    number: int
    plate: str
    region: str
    make: str
    model: str
    colour: str
    body: str
    home: int
    habit: Habit


def make_vehicles(world: World, count: int) -> tuple[Vehicle, ...]:
    """Return `count` vehicles, no two of them with one plate text. The same for the same arguments."""
    network, dice = world.network, random.Random(f"{world.seed}/vehicles")
    cities = dice.choices(range(len(network.cities)), weights=_homes(world), k=count)
    habits = dice.choices(list(HABITS), weights=list(HABITS.values()), k=count)
    states = [_state(network, city, dice) for city in cities]
    plates = _plates(states, dice)
    return tuple(
        _vehicle(number, plates[number], states[number], dice.choice(network.nodes_of(city)[1:]), habit, dice)
        for number, (city, habit) in enumerate(zip(cities, habits, strict=True))
    )


def _homes(world: World) -> list[float]:
    """Return the weight of each city as a home: larger ones, and above all those with cameras.

    The simulator exists to make reads, and whoever never leaves a town without cameras makes none.
    """
    network = world.network
    watched = Counter(network.nodes[network.roads[camera.road].a].city for camera in world.cameras)
    return [
        float(place.population) ** 0.5 * (1 + HOME_PULL_OF_A_CAMERA * watched[city])
        for city, place in enumerate(network.cities)
    ]


def _state(network: Network, city: int, dice: random.Random) -> str:
    """Return the state of registration: mostly that of the home city."""
    if dice.random() < FAR_FROM_HOME_SHARE:
        return dice.choice(list(MASKS))
    return network.cities[city].admin1code


def _plates(states: list[str], dice: random.Random) -> list[str]:
    """Return a plate for each state named, taken from short runs of consecutive numbers, in shuffled order."""
    taken: set[str] = set()
    pools: dict[str, list[str]] = {}
    for state in sorted(set(states)):
        pool: list[str] = []
        while len(pool) < states.count(state):
            pool += [plate for plate in _series(MASKS.get(state, OTHER_MASK), dice) if plate not in taken]
            taken.update(pool)
        pool = pool[: states.count(state)]
        dice.shuffle(pool)
        pools[state] = pool
    return [pools[state].pop() for state in states]


def _series(mask: str, dice: random.Random) -> list[str]:
    """Return a run of plates with the same letters and consecutive numbers, some numbers left out."""
    stem = "".join(dice.choice(LETTERS) if char == "L" else char for char in mask)
    digits = stem.count("#")
    first = dice.randrange(10**digits)
    run = ((first + step) % 10**digits for step in range(SERIES_LENGTH))
    return [_filled(stem, f"{number:0{digits}d}") for number in run if dice.random() >= NUMBERS_LEFT_OUT]


def _filled(stem: str, digits: str) -> str:
    left = iter(digits)
    return "".join(next(left) if char == "#" else char for char in stem)


def _vehicle(number: int, plate: str, state: str, home: int, habit: Habit, dice: random.Random) -> Vehicle:
    if habit == "haulier":
        make = dice.choice(list(TRUCKS))
        body, model = "Truck", dice.choice(TRUCKS[make])
    else:
        make = dice.choices(list(MODELS), weights=MAKE_WEIGHTS)[0]
        body = dice.choice(list(MODELS[make]))
        model = dice.choice(MODELS[make][body])
    colour = dice.choices(list(COLOURS), weights=list(COLOURS.values()))[0]
    return Vehicle(
        number=number,
        plate=plate,
        region=f"US-{state}",
        make=make,
        model=model,
        colour=colour,
        body=body,
        home=home,
        habit=habit,
    )
