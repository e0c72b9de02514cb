"""Whether a plate can be one of its region. Pure.

Most regions sell personalised plates, so that nearly every text is possible there: a plate is impossible if no plate of
its region is that short or that long. Where every plate is of a known series, personalised ones too, it is impossible
as well if it fits none. A read is never thrown away for that: it gets a doubt.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Literal

import msgspec

from schemas import vocabulary

Form = Literal["standard", "possible", "impossible"]
"""standard: of a series that the region issues by itself; possible: personalised, older or special; impossible."""

_SHAPES = str.maketrans({**dict.fromkeys("0123456789", "9"), **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A")})


class _Rule(msgspec.Struct, frozen=True):
    shortest: int
    longest: int
    series_only: bool


@cache
def _rules() -> Mapping[str, _Rule]:
    return {
        row["region"]: _Rule(int(row["shortest"]), int(row["longest"]), row["series_only"] == "yes")
        for row in vocabulary.rows("ingest.vocabulary", "plate_rules.csv")
    }


@cache
def series() -> Mapping[str, frozenset[str]]:
    """Return the known series of each region, as masks: 9 a digit, A a letter, others themselves."""
    masks: dict[str, set[str]] = {}
    for row in vocabulary.rows("ingest.vocabulary", "plates.csv"):
        masks.setdefault(row["region"], set()).add(row["mask"])
    return {region: frozenset(of_region) for region, of_region in masks.items()}


@lru_cache(maxsize=4096)
def form(plate: str, region: str | None) -> Form:
    """Return which form a plate (normal form) has among those of a region (ISO 3166, None if unknown)."""
    rule = _rule(region)
    if not rule.shortest <= len(plate) <= rule.longest:
        return "impossible"
    masks = series().get(region or "") or series().get((region or "")[:2], frozenset())
    if any(_fits(plate, mask) for mask in masks):
        return "standard"
    return "impossible" if rule.series_only else "possible"


def is_impossible(plate: str, region: str | None) -> bool:
    """Say whether a plate's form is `impossible`: where plates are of no known series alone, its length says it."""
    rule = _rule(region)
    if rule.series_only:
        return form(plate, region) == "impossible"
    return not rule.shortest <= len(plate) <= rule.longest


@lru_cache(maxsize=1024)
def _rule(region: str | None) -> _Rule:
    return _rules().get((region or "")[:2]) or _rules()[""]


def _fits(plate: str, mask: str) -> bool:
    if len(plate) != len(mask):
        return False
    pairs = zip(plate, plate.translate(_SHAPES), mask, strict=True)
    return all(shape == wanted or (char == wanted and wanted not in "9A") for char, shape, wanted in pairs)
