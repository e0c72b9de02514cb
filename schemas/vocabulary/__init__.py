"""The closed vocabulary of makes, colours and bodies, with the codes of NCIC, the standard of the field in the US.

Each list is a file: a row is a word of ours, its code if it has one, and other spellings of it. Where the codes come
from, and when that was checked, stands at the head of the file. `other` is in every list: it stands for whatever a
camera named that the list does not.
"""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec

Kind = Literal["make", "colour", "body"]

OTHER: Final = "other"
"""The word for a make, colour or body that the list does not have."""

_FILES: Final[Mapping[Kind, str]] = {"make": "makes.csv", "colour": "colours.csv", "body": "bodies.csv"}


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word of the vocabulary, its NCIC code (VMA, VCO or VST), and other spellings of it."""

    word: str
    ncic: str | None
    spellings: tuple[str, ...]


@cache
def words(kind: Kind) -> Mapping[str, Word]:
    """Return the closed list of a kind, by word."""
    found = (
        Word(word=row["word"], ncic=row["ncic"] or None, spellings=listed(row["spellings"]))
        for row in rows(__name__, _FILES[kind])
    )
    return {one.word: one for one in found}


def code(kind: Kind, word: str) -> str | None:
    """Return the NCIC code of a word, or None if it has none or is not in the list."""
    found = words(kind).get(word)
    return None if found is None else found.ncic


def rows(package: str, name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table that is a file of a package. Lines at its head that begin with # are comments."""
    text = (resources.files(package) / name).read_text(encoding="utf-8")
    yield from csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def listed(cell: str) -> tuple[str, ...]:
    """Return the values of a cell that holds several, separated by semicolons."""
    return tuple(cell.split("; ")) if cell else ()
