"""What happened to rows whose hashes disagree: altered where they stand, or moved from elsewhere. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from search.audit.merkle import place_hash

MAX_COMPARED: Final = 1000
"""Pairs are compared up to this many suspects; of more, each is still named, but not where it came from."""


class Suspect(NamedTuple):
    """A row whose leaf is not what its stored hash says (`true` is the leaf's own), or whose place is another."""

    idx: int
    true: bytes
    stored: bytes
    place: bytes


class Suspicion(NamedTuple):
    """What is wrong with a row: moved, if it is known where it belongs; otherwise altered."""

    idx: int
    belongs_at: int | None
    detail: str


def suspicions(suspects: Sequence[Suspect], gaps: Sequence[range]) -> Iterator[Suspicion]:
    """Yield one suspicion a suspect. Rows may come from where another suspect stands, or from a gap."""
    empty = [index for gap in gaps for index in gap[:MAX_COMPARED]][:MAX_COMPARED]
    compared = suspects if len(suspects) <= MAX_COMPARED else ()
    for suspect in suspects:
        home = _home(suspect, compared, empty)
        if home is not None:
            yield Suspicion(suspect.idx, home, f"it holds the entry that belongs at {home}")
        elif suspect.true != suspect.stored:
            yield Suspicion(suspect.idx, None, "the leaf is not what was hashed")
        else:
            yield Suspicion(suspect.idx, None, "leaf and hash are not those of this index")


def _home(suspect: Suspect, others: Sequence[Suspect], empty: Sequence[int]) -> int | None:
    for other in others:
        if other.idx != suspect.idx and (
            suspect.true == other.stored  # leaves were exchanged, hashes stayed
            or place_hash(other.idx, suspect.true) in (other.place, suspect.place)  # hashes went along; rows did
        ):
            return other.idx
    return next((index for index in empty if place_hash(index, suspect.true) == suspect.place), None)
