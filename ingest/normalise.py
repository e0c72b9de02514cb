"""Vendors' words and codes in one form: what makes reads of different cameras comparable. Pure.

A word that the vocabulary does not know is kept, in lower case with single spaces: what a camera saw is evidence, and
a make that nobody listed is still a make. A word that only says "I don't know" becomes None.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from ingest import vocabulary
from ingest.vocabulary import squeeze
from schemas.detections import MAX_WORD_LENGTH, Attribute

_SEPARATORS: Final = re.compile(r"[\s_]+")
_REGION: Final = re.compile(r"([A-Z]{2,3})(?:-([A-Z0-9]{1,3}))?")


def make(attribute: Attribute | None) -> Attribute | None:
    """Return a make in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, vocabulary.MAKES)


def colour(attribute: Attribute | None) -> Attribute | None:
    """Return a colour in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, vocabulary.COLOURS)


def body(attribute: Attribute | None) -> Attribute | None:
    """Return a body in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, vocabulary.BODIES)


def model(attribute: Attribute | None, of_make: Attribute | None = None) -> tuple[Attribute | None, bool]:
    """Return a model without the make in front ("bmw_x3" -> "x3"), and whether that make is another than `of_make`.

    `of_make` is in the vocabulary already. Models themselves are not in a table: there are too many, and they are
    only ever compared as words.
    """
    if attribute is None:
        return None, False
    named, rest, whole = _model(attribute.value)
    if named is None or named == (of_make.value if of_make else None):
        return _with(attribute, rest), False
    if named in vocabulary.ALSO_MODELS:
        return _with(attribute, whole), False
    return _with(attribute, rest), of_make is not None


@lru_cache(maxsize=1024)
def region(code: str | None) -> str | None:
    """Return a region as ISO 3166 ("us-ma" -> "US-MA", "gb" -> "GB"), or None if it is none.

    A subdivision that its country does not have is left out: the country is still worth something.
    """
    found = _REGION.fullmatch((code or "").strip().upper().replace("_", "-"))
    if found is None:
        return None
    country = vocabulary.COUNTRIES.get(found[1], found[1])
    if len(country) != 2:
        return None
    if found[2] in vocabulary.SUBDIVISIONS.get(country, ()):
        return f"{country}-{found[2]}"
    return country


def is_plausible(plate: str, in_region: str | None) -> bool:
    """Say whether a plate (normal form) can be one of its region (normal form), as far as its length tells."""
    country = (in_region or "")[:2]
    shortest, longest = vocabulary.PLATE_LENGTHS.get(country, vocabulary.ANY_PLATE_LENGTH)
    return shortest <= len(plate) <= longest


def _worded(attribute: Attribute | None, table: Mapping[str, str]) -> Attribute | None:
    if attribute is None:
        return None
    known = table.get(squeeze(attribute.value))
    return _with(attribute, known if known is not None else _plain(attribute.value))


def _with(attribute: Attribute, word: str | None) -> Attribute | None:
    if word is None:
        return None
    return attribute if word == attribute.value else msgspec.structs.replace(attribute, value=word)


@lru_cache(maxsize=4096)
def _plain(word: str) -> str | None:
    tidy = _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", word).casefold()).strip()[:MAX_WORD_LENGTH]
    return None if squeeze(tidy) in vocabulary.NOT_A_WORD else tidy


@lru_cache(maxsize=4096)
def _model(word: str) -> tuple[str | None, str | None, str | None]:
    """Return the make that a model's first one or two words name, if they do, what is left then, and all of it."""
    tidy = _plain(word)
    parts = (tidy or "").split(" ")
    for count in (2, 1):
        named = vocabulary.MAKES.get(squeeze(" ".join(parts[:count])))
        if named is not None and len(parts) > count:
            return named, " ".join(parts[count:]), tidy
    return None, tidy, tidy
