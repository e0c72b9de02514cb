"""Looks for what must not stand in a log, a leaf or a URL: plates in any spelling, users, case numbers.

A plate is found as raw text with any separators, in normal form and as its key, in any case, as a word of its own: the
letters of a hash or an id are not taken for one. Users and cases are found wherever their text stands.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from schemas.plate import normalise, plate_key

WORD = re.compile(rb"[A-Za-z0-9]+")
SEPARATORS = (b" ", b"-", b"_", b".", b"+")
MOST_PARTS = 3
"""A plate is written in at most this many groups of characters."""


class Leak(NamedTuple):
    """Something secret, where it stands, and in which line."""

    place: str
    line: int
    what: str


def spellings(plates: Iterable[str]) -> frozenset[bytes]:
    """Return normal form and key of each plate, which may be given raw."""
    found = set()
    for plate in plates:
        normal = normalise(plate)
        if normal is not None:
            found |= {normal.encode(), plate_key(normal).encode()}
    return frozenset(found)


def in_bytes(place: str, content: bytes, plates: frozenset[bytes], words: frozenset[bytes]) -> Iterator[Leak]:
    """Yield what stands in some bytes. `plates` are spellings, `words` texts such as users and case numbers."""
    for number, written in enumerate(content.splitlines(), start=1):
        line = unquote_to_bytes(written)  # a URL's own spelling
        for candidate in _candidates(line):
            if candidate in plates:
                yield Leak(place, number, candidate.decode())
        lowered = line.lower()
        for word in words:
            if word.lower() in lowered:
                yield Leak(place, number, word.decode())


def in_files(folder: Path, plates: Iterable[str], words: Iterable[str]) -> list[Leak]:
    """Return what stands in the files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert files, f"nothing to look at in {folder}"
    known, texts = spellings(plates), frozenset(word.encode() for word in words)
    return [leak for path in files for leak in in_bytes(str(path), path.read_bytes(), known, texts)]


def in_texts(named: Iterable[tuple[str, bytes]], plates: Iterable[str], words: Iterable[str]) -> list[Leak]:
    """Return what stands in named pieces of bytes: leaves, URLs, answers."""
    known, texts = spellings(plates), frozenset(word.encode() for word in words)
    return [leak for place, content in named for leak in in_bytes(place, content, known, texts)]


def _candidates(line: bytes) -> Iterator[bytes]:
    """Yield each word, and each run of a few words with nothing but one separator between two of them, upper case."""
    found = list(WORD.finditer(line))
    for first, start in enumerate(found):
        joined = start[0]
        yield joined.upper()
        for before, after in zip(found[first:], found[first + 1 : first + MOST_PARTS], strict=False):
            if line[before.end() : after.start()] not in SEPARATORS:
                break
            joined += after[0]
            yield joined.upper()
