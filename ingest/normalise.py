"""Vendors' words in one vocabulary: what makes reads of different cameras comparable. Pure.

A make, colour or body becomes a word of the closed list, or `other` if the list does not have it; what the camera said
is kept beside it, since it is evidence. A word that only says "I don't know" becomes None.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from ingest.vocabulary import ALSO_MODELS, NOT_A_WORD, NOTHING_SAID, make_names, spellings, squeeze
from schemas.detections import MAX_WORD_LENGTH, Attribute
from schemas.sightings import MAX_SAID_BYTES, Trait
from schemas.vocabulary import OTHER, Kind, code

_SEPARATORS: Final = re.compile(r"[\s_]+")


def make(attribute: Attribute | None) -> Trait | None:
    """Return a make in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, "make")


def colour(attribute: Attribute | None) -> Trait | None:
    """Return a colour in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, "colour")


def body(attribute: Attribute | None) -> Trait | None:
    """Return a body in the one vocabulary, its confidence unchanged."""
    return _worded(attribute, "body")


def model(attribute: Attribute | None, of_make: Trait | None = None) -> tuple[Trait | None, bool]:
    """Return a model without the make in front ("bmw_x3" -> "x3"), and whether that make is another than `of_make`.

    `of_make` is in the vocabulary already; `other` agrees with everything. Models themselves are not in a list: there
    are too many, and they are only ever compared as words.
    """
    if attribute is None:
        return None, False
    named, rest, whole = _model(attribute.value)
    make_said = of_make.value if of_make is not None and of_make.value != OTHER else None
    if named in ALSO_MODELS and named != make_said:
        return _trait(attribute, whole), False
    return _trait(attribute, rest), named is not None and make_said is not None and named != make_said


def _worded(attribute: Attribute | None, kind: Kind) -> Trait | None:
    if attribute is None:
        return None
    found = _word(attribute.value, kind)
    if found is None:
        return None
    word, ncic, said = found
    return Trait(value=word, confidence=attribute.confidence, code=ncic, said=said)


@lru_cache(maxsize=4096)
def _word(value: str, kind: Kind) -> tuple[str, str | None, str | None] | None:
    """Return the word of the vocabulary, its NCIC code, and what was said if it is another; None for no word."""
    squeezed = squeeze(value)
    if squeezed in NOT_A_WORD or squeezed in NOTHING_SAID[kind]:
        return None
    word = spellings(kind).get(squeezed, OTHER)
    return word, code(kind, word), _different(value, word)


def _trait(attribute: Attribute, word: str | None) -> Trait | None:
    if word is None:
        return None
    return Trait(value=word, confidence=attribute.confidence, said=_different(attribute.value, word))


def _different(value: str, word: str) -> str | None:
    return None if word == value else _said(value)


@lru_cache(maxsize=4096)
def _said(word: str) -> str:
    """Return a word as it was said, within its bounds, without what no table takes: PostgreSQL has no NUL in a text."""
    printable = "".join(char if char.isprintable() else " " for char in word[:MAX_WORD_LENGTH])
    return printable.encode()[:MAX_SAID_BYTES].decode(errors="ignore")


@lru_cache(maxsize=4096)
def _plain(word: str) -> str | None:
    tidy = _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", _said(word)).casefold()).strip()[:MAX_WORD_LENGTH]
    return None if squeeze(tidy) in NOT_A_WORD else tidy


@lru_cache(maxsize=4096)
def _model(word: str) -> tuple[str | None, str | None, str | None]:
    """Return the make that a model's first one or two words name, if they do, what is left then, and all of it."""
    tidy = _plain(word)
    parts = (tidy or "").split(" ")
    for count in (2, 1):
        named = make_names().get(squeeze(" ".join(parts[:count])))
        if named is not None and len(parts) > count:
            return named, " ".join(parts[count:]), tidy
    return None, tidy, tidy
