"""The body of `POST /v1/trajectories`: bytes into a question that can be recorded, or all that is wrong with it."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.plate import LOOK_ALIKES, normalise
from schemas.queries import MAX_LIMIT, MAX_WINDOW_DAYS, PURPOSES, TrajectoryRequest, Window
from search.bodies import examine, load
from search.errors import Flaw, Invalid
from search.placeholders import names_nothing, says_nothing

_PURPOSE_LIST: Final = " ".join(f"{code}: {says}" for code, says in PURPOSES.items())
_TIME: Final = (
    "An RFC 3339 time with its offset from UTC, such as 2026-03-01T08:00:00-06:00 or 2026-03-01T14:00:00Z. "
    "A time without offset is refused: it could mean any of 24 hours."
)
_CASE: Final = (
    "The number under which your agency keeps this case, such as 2026-004711, of 1 to 64 characters; in an emergency, "
    "the number of the incident. A stand-in such as none, test or 123 is no case number: without one nobody can check "
    "later what the question was for."
)
_NOTE: Final = (
    "A note, of at most 500 characters, says what is looked for and why this vehicle, such as: silver van seen leaving "
    "the burglary at about 02:10. Words that fit every question, such as inv, investigation or test, say nothing; "
    "leave the note out instead."
)
_OFFENCE: Final = (
    "The offence as your agency's code or in words, such as 18-4-102 or robbery, of 1 to 64 characters; leave it out "
    "rather than fill it with a word that names none."
)
_REFERENCE: Final = (
    "The number of the warrant or order and who issued it, such as SW-2026-118, of 1 to 64 characters. It is required "
    "for a warrant and a court_order, and a stand-in is refused."
)

_REFERENCE_POINTER: Final = "/purpose/authority/reference"
_WITH_REFERENCE: Final = ("warrant", "court_order")

HELPS: Final[dict[str, str]] = {
    "": "A trajectory question is a JSON object with plate, match, window and purpose.",
    "/plate": "The plate as text of 1 to 32 characters, with 1 to 16 letters or digits in it. A word that cameras send "
    "for a vehicle without a plate is no plate.",
    "/match": "exact for this plate only, or lookalike for all plates that readers mistake for it: "
    f"{', '.join(' '.join(group) for group in LOOK_ALIKES)}.",
    "/window": "An object with from and to.",
    "/window/from": _TIME,
    "/window/to": _TIME,
    "/purpose": "An object with code, case_number and authority, and where there are any, offence and note.",
    "/purpose/code": f"One of these purposes. {_PURPOSE_LIST}",
    "/purpose/case_number": _CASE,
    "/purpose/offence": _OFFENCE,
    "/purpose/note": _NOTE,
    "/purpose/authority": "An object with kind and, where there is one, reference.",
    "/purpose/authority/kind": "One of none, consent, warrant, court_order, exigent.",
    "/purpose/authority/reference": _REFERENCE,
    "/region": "The issuing region as an ISO 3166 code in upper case, such as US or US-MO.",
    "/limit": f"A whole number from 1 to {MAX_LIMIT}: the most reads a page is made of.",
    "/cursor": "The value of next in the answer before, as it was.",
}
"""What is expected at each pointer: the text of a flaw there, and of the documentation."""


def decode(body: bytes) -> TrajectoryRequest:
    """Return the question in a body: plate in normal form, times in UTC, texts trimmed.

    Raises Invalid with every flaw that was found, and TooLarge. No text of an error holds any of the body.
    """
    raw = load(body)
    found, flaws = examine(raw, TrajectoryRequest, HELPS)
    _trim(found)
    flaws.extend(_doubtful(found))
    if flaws:
        raise Invalid(*flaws)
    return _build(found)


def _trim(found: dict[str, Any]) -> None:
    """Collapse white space in free texts: a look-up by case finds the number however it was typed."""
    for pointer in _FREE_TEXTS:
        if isinstance(found.get(pointer), str):
            found[pointer] = " ".join(found[pointer].split())


_FREE_TEXTS: Final = (
    "/purpose/case_number", "/purpose/offence", "/purpose/note", "/purpose/authority/reference",
)  # fmt: skip


def _doubtful(found: dict[str, Any]) -> Iterator[Flaw]:
    """Yield the flaws that types do not show, of whatever members have the right type."""
    for pointer, is_bad in _CHECKS.items():
        value = found.get(pointer)
        if value is not None and is_bad(value):
            yield Flaw(pointer=pointer, detail=HELPS[pointer])
    yield from _window_flaws(found.get("/window/from"), found.get("/window/to"))
    if found.get("/purpose/authority/kind") in _WITH_REFERENCE and found.get(_REFERENCE_POINTER) is None:
        yield Flaw(pointer=_REFERENCE_POINTER, detail=_REFERENCE)


def _unusable_time(at: datetime) -> bool:
    """Tell whether a time has no offset, or lies where UTC has no year for it."""
    return at.tzinfo is None or not 1970 <= at.year < 9999


def _unprintable(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cs") for char in text)


_CHECKS: Final[dict[str, Any]] = {
    "/plate": lambda text: normalise(text) is None,
    "/window/from": _unusable_time,
    "/window/to": _unusable_time,
    "/region": lambda text: text != text.strip(),
    "/purpose/case_number": lambda text: _unprintable(text) or names_nothing(text),
    "/purpose/offence": lambda text: _unprintable(text) or names_nothing(text),
    "/purpose/note": lambda text: _unprintable(text) or says_nothing(text),
    "/purpose/authority/reference": lambda text: _unprintable(text) or names_nothing(text),
}


def _window_flaws(start: datetime | None, end: datetime | None) -> Iterator[Flaw]:
    if start is None or end is None or _unusable_time(start) or _unusable_time(end):
        return
    if start >= end:
        yield Flaw(pointer="/window", detail="from must be earlier than to: the window holds from, and not to.")
    elif end - start > timedelta(days=MAX_WINDOW_DAYS):
        yield Flaw(
            pointer="/window",
            detail=f"A window has at most {MAX_WINDOW_DAYS} days: ask for the days the case is about.",
        )


def _build(found: dict[str, Any]) -> TrajectoryRequest:
    tree: dict[str, Any] = {}
    for pointer, value in found.items():
        *path, name = pointer.split("/")[1:]
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[name] = value
    request = msgspec.convert(tree, TrajectoryRequest)
    window = Window(from_=request.window.from_.astimezone(UTC), to=request.window.to.astimezone(UTC))
    return msgspec.structs.replace(request, plate=normalise(request.plate), window=window)
