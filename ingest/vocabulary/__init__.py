"""Vendors' words for makes, colours and bodies, and the words of the one vocabulary that they stand for.

A word is looked up by its letters and digits alone, in lower case and without accents: "Mercedes-Benz", "mercedes
benz" and "MERCEDES_BENZ" are one entry. The words, their NCIC codes and most spellings are `schemas.vocabulary`'s, the
numbers of vendors are files here, and so are regions and series of plates (`ingest.regions`, `ingest.plates`).
"""

import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

from schemas import vocabulary
from schemas.vocabulary import Kind

NOT_A_WORD: Final = frozenset(
    {"", "unknown", "unidentified", "unrecognized", "missing", "none", "null", "na", "nan", "undefined", "notdetected"}
)
"""What cameras send where they have no word (letters and digits alone)."""

NOTHING_SAID: Final[Mapping[Kind, frozenset[str]]] = {
    "make": frozenset({"hikvision0", "hikvision1024", "hikvision1788"}),
    "colour": frozenset(),
    "body": frozenset({"vehicle", "motor", "motorvehicle", "motorized"}),
}
"""Words that say nothing either where they stand: that a vehicle is a vehicle is no body."""

ALSO_MODELS: Final = frozenset(
    {"alpine", "austin", "daewoo", "datsun", "eagle", "fuso", "genesis", "hummer", "maybach", "mini", "ram", "rover"}
    | {"smart", "victory", "zero"}
)
"""Makes whose name is a model's of another make as well (Dodge Ram, Hyundai Genesis): no proof of a disagreement."""


@lru_cache(maxsize=8192)
def squeeze(word: str) -> str:
    """Return a word's letters and digits in lower case, without accents: what tables are looked up by."""
    return "".join(char for char in unicodedata.normalize("NFKD", word).casefold() if char.isalnum())


@cache
def spellings(kind: Kind) -> Mapping[str, str]:
    """Return the word of the vocabulary for each squeezed spelling, code or number of a vendor."""
    table = dict(_names(kind))
    table.update((squeeze(one.ncic), one.word) for one in vocabulary.words(kind).values() if one.ncic)
    if kind == "make":
        numbers = vocabulary.rows(__name__, "hikvision.csv")
        table.update((squeeze(f"hikvision:{row['number']}"), row["make"]) for row in numbers)
    return table


@cache
def make_names() -> Mapping[str, str]:
    """Return the make for each squeezed name of one. Codes are left out: a model may begin with two such letters."""
    return {name: word for name, word in _names("make").items() if word != vocabulary.OTHER}


def _names(kind: Kind) -> Mapping[str, str]:
    words = vocabulary.words(kind).values()
    return {squeeze(name): one.word for one in words for name in (one.word, *one.spellings)}
