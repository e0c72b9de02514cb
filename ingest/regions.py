"""Regions that issue plates: whatever form a camera has for one becomes ISO 3166, or nothing. Pure."""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

import msgspec

from ingest.vocabulary import squeeze
from schemas import vocabulary

_STATES_OF: Final = ("US", "CA")
"""Countries whose states and provinces a camera may name without the country: no code of one is one of the other."""

_ALIASES: Final[Mapping[str, str]] = {"UK": "GB"}
"""Codes in use that ISO 3166-1 reserves for a country but does not give it."""

_GROUPS: Final = frozenset({"EU"})
"""Prefixes of vendors that are no country: what follows is one (`eu-de`)."""


class _Regions(msgspec.Struct, frozen=True):
    """Countries by alpha-2 and alpha-3 code, subdivisions by country, regions by squeezed name."""

    countries: Mapping[str, str]
    subdivisions: Mapping[str, frozenset[str]]
    names: Mapping[str, str]


@cache
def _all() -> _Regions:
    countries: dict[str, str] = dict(_ALIASES)
    subdivisions: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for row in vocabulary.rows("ingest.vocabulary", "regions.csv"):
        country, _, part = row["code"].partition("-")
        if part:
            subdivisions.setdefault(country, set()).add(part)
        else:
            countries |= {country: country, row["alpha3"]: country}
        names.update((squeeze(name), row["code"]) for name in vocabulary.listed(row["names"]))
    return _Regions(countries, {country: frozenset(parts) for country, parts in subdivisions.items()}, names)


@lru_cache(maxsize=1024)
def region(said: str | None) -> str | None:
    """Return a region as ISO 3166 ("us-ma", "US_MA", "Massachusetts" -> "US-MA"; "GBR" -> "GB"), or None if it is none.

    What comes back is in the closed list. A subdivision that the list does not have for its country is left out: the
    country is still worth something. Two or three letters alone are a country's code, never a state's ("CA").
    """
    known = _all()
    first, _, rest = (said or "").strip().upper().replace("_", "-").partition("-")
    if first in _GROUPS and rest:
        first, _, rest = rest.partition("-")
    country = known.countries.get(first)
    if country is None:
        return known.names.get(squeeze(said or ""))
    if rest in known.subdivisions.get(country, ()):
        return f"{country}-{rest}"
    named = known.names.get(squeeze(rest), "")
    return named if named.startswith(f"{country}-") else country


def of_state(said: str | None) -> str | None:
    """Return the region for a US state or Canadian province without its country ("MO" -> "US-MO"), else None."""
    code = (said or "").strip().upper()
    for country in _STATES_OF:
        if code in _all().subdivisions[country]:
            return f"{country}-{code}"
    return None


def is_known(code: str) -> bool:
    """Say whether a code is in the closed list."""
    country, _, part = code.partition("-")
    known = _all()
    return known.countries.get(country) == country and (not part or part in known.subdivisions.get(country, ()))
