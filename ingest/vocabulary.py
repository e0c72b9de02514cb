"""The one vocabulary of makes, colours, bodies and regions, and the vendors' words for each.

A word is looked up by its letters and digits alone, in lower case: "Mercedes-Benz", "mercedes benz" and
"MERCEDES_BENZ" are one entry. Vendors' lists: OpenALPR's vehicle classifier, Plate Recognizer's vehicle mode,
Hikvision's and Dahua's ANPR events, NGSI `AnprFlowObserved`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

NOT_A_WORD: Final = frozenset(
    {"", "unknown", "unidentified", "missing", "none", "null", "na", "undefined", "notdetected"}
)
"""What cameras send where they have no word (letters and digits alone)."""


@lru_cache(maxsize=8192)
def squeeze(word: str) -> str:
    """Return a word's letters and digits in lower case: what tables are looked up by."""
    return "".join(char for char in word.casefold() if char.isalnum())


def _table(words: Mapping[str, Iterable[str]]) -> dict[str, str]:
    table = {squeeze(ours): ours for ours in words}
    for ours, theirs in words.items():
        table.update((squeeze(word), ours) for word in theirs)
    return table


def _codes(words: str) -> frozenset[str]:
    return frozenset(words.split())


COLOURS: Final = _table(
    {
        "black": (),
        "white": ("ivory", "pearl"),
        "grey": ("gray", "darkgray", "darkgrey", "lightgray", "lightgrey", "deepgray"),
        "silver": ("silvery",),
        # Many classifiers do not tell the two apart: to pick one would say more than the camera did.
        "silver-grey": ("silver-gray", "gray-silver"),
        "red": ("maroon", "burgundy", "darkred", "crimson"),
        "blue": ("darkblue", "lightblue", "navy", "deepblue", "cyan", "turquoise"),
        "green": ("darkgreen", "lightgreen", "deepgreen", "olive"),
        "brown": ("bronze", "chocolate"),
        "beige": ("tan", "cream", "champagne"),
        "gold": ("gold-beige", "golden"),
        "yellow": (),
        "orange": (),
        "purple": ("violet",),
        "pink": (),
        "other": ("mixed", "multicolour", "multicolor"),
    }
)

BODIES: Final = _table(
    {
        "sedan": ("sedan-standard", "sedan-compact", "sedan-sports", "saloon", "limousine"),
        "car": ("passenger car", "smallcar"),
        "convertible": ("sedan-convertible", "cabriolet", "roadster"),
        "coupe": ("coupé", "sports car"),
        "hatchback": (),
        "wagon": ("sedan-wagon", "suv-wagon", "estate", "station wagon"),
        "suv": ("suv-standard", "suv-crossover", "crossover", "suvmpv", "sport utility vehicle"),
        "minivan": ("van-mini", "mpv", "people carrier"),
        "van": ("van-full", "cargo van"),
        "pickup": ("truck-standard", "pickup truck", "pick-up"),
        "truck": ("big truck", "lorry", "largetruck", "heavytruck", "midtruck", "lighttruck", "minitruck", "hgv"),
        "tractor-trailer": ("semi", "semitrailer", "articulated lorry"),
        "bus": ("largebus", "midbus", "coach", "minibus", "lightbus"),
        "motorcycle": ("motorbike", "twowheelvehicle", "scooter", "moped"),
        "antique": (),
        "other": (),
    }
)

MAKES: Final = _table(
    {
        "acura": (), "alfa romeo": ("alfa",), "aston martin": (), "audi": (), "bentley": (), "bmw": (), "buick": (),
        "byd": (), "cadillac": (), "chevrolet": ("chevy", "chev"), "chrysler": (), "citroen": ("citroën",),
        "cupra": (), "dacia": (), "daf": (), "daihatsu": (), "datsun": (), "dodge": (), "ferrari": (), "fiat": (),
        "ford": (), "freightliner": (), "genesis": (), "gmc": (), "harley-davidson": ("harley",), "hino": (),
        "honda": (), "hummer": (), "hyundai": (), "infiniti": ("infinity",), "international": (), "isuzu": (),
        "iveco": (), "jaguar": (), "jeep": (), "kawasaki": (), "kenworth": (), "kia": (), "lamborghini": (),
        "lancia": (), "land rover": ("range rover", "rover land"), "lexus": (), "lincoln": (), "lotus": (),
        "lucid": (), "mack": (), "man": (), "maserati": (), "mazda": (), "mclaren": (),
        "mercedes-benz": ("mercedes", "benz", "merc"), "mercury": (), "mg": (), "mini": ("mini cooper",),
        "mitsubishi": (), "nissan": (), "oldsmobile": ("olds",), "opel": (), "peterbilt": (), "peugeot": (),
        "plymouth": (), "polestar": (), "pontiac": (), "porsche": (), "ram": (), "renault": (), "rivian": (),
        "rolls-royce": ("rolls",), "saab": (), "saturn": (), "scania": (), "scion": (), "seat": (),
        "skoda": ("škoda",), "smart": (), "subaru": (), "suzuki": (), "tesla": (), "toyota": (), "triumph": (),
        "vauxhall": (), "volkswagen": ("vw",), "volvo": (), "yamaha": (),
    }
)  # fmt: skip

ALSO_MODELS: Final = frozenset({"genesis", "mini", "ram", "smart"})
"""Makes whose name is a model's of another make as well (Dodge Ram, Hyundai Genesis): no proof of a disagreement."""

COUNTRIES: Final[Mapping[str, str]] = {
    "USA": "US",
    "CAN": "CA",
    "MEX": "MX",
    "GBR": "GB",
    "UK": "GB",
    "DEU": "DE",
    "FRA": "FR",
}
"""Longer names that cameras use -> ISO 3166-1 alpha-2."""

SUBDIVISIONS: Final[Mapping[str, frozenset[str]]] = {
    "US": _codes(
        "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK"
        " OR PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI"
    ),
    "CA": _codes("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
}
"""ISO 3166-2 codes of the countries whose subdivisions issue plates; elsewhere the country alone is kept."""

PLATE_LENGTHS: Final[Mapping[str, tuple[int, int]]] = {"US": (1, 8), "CA": (2, 8), "MX": (5, 8), "GB": (2, 7)}
"""Shortest and longest plate (normal form) that a country's registries issue, personalised ones included."""

ANY_PLATE_LENGTH: Final = (2, 10)
"""The same where the region is not known, or not in the table."""
