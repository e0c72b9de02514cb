"""Texts, times, numbers and places of vendors, brought into the form that a read has."""

import base64
import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from ingest.formats.read import EARLIEST, LATEST, Rejected
from ingest.pictures import MAX_BYTES
from schemas.detections import (
    MAX_CANDIDATES,
    MAX_RAW_PLATE_LENGTH,
    MAX_WORD_LENGTH,
    Attribute,
    Candidate,
    Position,
)
from schemas.plate import SENTINELS

Loose = str | int | float | None
"""A value that vendors send as a text or as a number, as they please."""

_PATH: Final = re.compile(r" - at `\$([^`]*)`$")
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`")
_STEP: Final = re.compile(r"\.?([A-Za-z0-9_ ]+)|\[([0-9.]+)\]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?")
_MAX_REGION_LENGTH: Final = 16
_MAX_TEXT_LENGTH: Final = 1024
"""Characters of a text that are looked at: all that is kept is far shorter."""

_MAX_TIME_LENGTH: Final = 64
_TOO_LARGE: Final = 10**300

_NO_SPACE: Final = str.maketrans("", "", " \t\r\n")

_UNREAD: Final = SENTINELS | {"UNKNOW", "UNRECOGNISE", "UNRECOGNIZE", "UNRECOGNISED", "UNRECOGNIZED", "NOLICENSEPLATE"}
_UNREAD_ELSEWHERE: Final = frozenset({"无车牌", "未识别", "无牌车", "无牌", "未知"})

_NOT_MOTOR: Final = frozenset(
    {"nonmotor", "nonmotorvehicle", "nonmotorized", "bicycle", "pedestrian", "person", "human", "rider", "animal"}
)
"""What cameras call traffic without a motor (letters alone, lower case)."""


def text(raw: str | None) -> str | None:
    """Return a text without control characters and outer space, or None if nothing is left of it.

    PostgreSQL has no NUL in a text, and a line break has no place in a log or a table.
    """
    if not raw:
        return None
    raw = raw[:_MAX_TEXT_LENGTH]
    printable = raw if raw.isprintable() else "".join(char if char.isprintable() else " " for char in raw)
    return printable.strip() or None


def plate(raw: str | None) -> str | None:
    """Return a raw plate text, cleaned. Raises ValueError if it is longer than any plate with its ornaments."""
    cleaned = text(raw)
    if cleaned is not None and len(cleaned) > MAX_RAW_PLATE_LENGTH:
        raise ValueError("too long for a plate")
    return cleaned


def word(value: str | None, confidence: float | None) -> Attribute | None:
    """Return a vendor's word for make, model, colour or body; None if it is empty or too long to be a word."""
    cleaned = text(value)
    if cleaned is None or len(cleaned) > MAX_WORD_LENGTH:
        return None
    return Attribute(value=cleaned, confidence=confidence)


def percent(value: float | None) -> float | None:
    """Return a confidence from 0 to 1 of one from 0 to 100; None if there is none or it lies outside (-1 is used)."""
    return value / 100 if value is not None and 0 <= value <= 100 else None


def position(latitude: float | None, longitude: float | None) -> Position | None:
    """Return a claimed position; None if it is out of range or 0,0, which receivers without a fix report."""
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return None
    return Position(latitude=latitude, longitude=longitude)


def utc(moment: datetime) -> datetime | None:
    """Return an aware time in UTC, or None if it is outside the years that a clock can claim."""
    return moment.astimezone(UTC) if EARLIEST <= moment < LATEST else None


def misshapen(error: msgspec.ValidationError, at: str = "") -> Rejected:
    """Return the rejection for a payload of the wrong shape: the place, in our own field names, and no value.

    `at` is the place (RFC 6901) of the part that was looked at. The place of a member that is missing is where it
    should be.
    """
    found = _PATH.search(str(error))
    steps = [name or index for name, index in _STEP.findall(found[1])] if found else []
    if missing := _MISSING.match(str(error)):
        steps.append(missing[1])
    return Rejected(reason="shape", pointer=at + "".join(f"/{step}" for step in steps))


def reading(raw: Loose) -> str | None:
    """Return a raw plate text, cleaned; None for an empty one and for a word that says that no plate was read.

    Raises ValueError if it is longer than any plate.
    """
    cleaned = plate(str(raw) if raw is not None else None)
    if cleaned is None or cleaned in _UNREAD_ELSEWHERE:
        return None
    bare = "".join(char for char in unicodedata.normalize("NFKC", cleaned).upper() if char.isalnum())
    return None if not bare or bare in _UNREAD else cleaned


def readings(given: Iterable[tuple[Loose, float | None]]) -> tuple[Candidate, ...]:
    """Return the candidates among readings with their confidences (0 to 1): the first ones, in their order."""
    found = []
    for _, (raw, confidence) in zip(range(MAX_CANDIDATES), given, strict=False):
        try:
            text_read = reading(raw)
        except ValueError:
            continue  # no plate is that long: the others are still readings
        if text_read is not None and confidence is not None:
            found.append(Candidate(plate=text_read, confidence=confidence))
    return tuple(found)


def number(value: Loose) -> float | None:
    """Return a finite number, sent as one or as a text; None for anything else."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if value is None or (isinstance(value, int) and abs(value) >= _TOO_LARGE):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: Loose) -> int | None:
    """Return a whole number of up to 19 digits, sent as one or as a text; None for anything else."""
    if isinstance(value, str):
        bare = value.strip()
        return int(bare) if len(bare) <= 19 and bare.isascii() and bare.isdigit() else None
    return value if isinstance(value, int) and 0 <= value < 10**19 else None


def fraction(value: Loose) -> float | None:
    """Return a confidence from 0 to 1 of one on that scale; None if there is none or it lies outside."""
    given = number(value)
    return given if given is not None and 0 <= given <= 1 else None


def of_hundred(value: Loose) -> float | None:
    """Return a confidence from 0 to 1 of one from 0 to 100, sent as a number or as a text."""
    return percent(number(value))


def scaled(value: Loose) -> float | None:
    """Return a confidence from 0 to 1 where the vendor's scale varies: 0 to 1, or 0 to 100.

    None over 100, and for exactly 1, which is the most on one scale and next to nothing on the other.
    """
    given = number(value)
    if given is None or given == 1:
        return None
    return fraction(given) if given < 1 else percent(given)


def lane(value: Loose) -> int | None:
    """Return a lane's number from 0 to 99; None for a name or any other number."""
    given = whole(value)
    return given if given is not None and given <= 99 else None


def region(value: Loose) -> str | None:
    """Return a vendor's code of a region; None if it is empty or too long to be a code."""
    cleaned = text(value) if isinstance(value, str) else None
    return cleaned if cleaned is not None and len(cleaned) <= _MAX_REGION_LENGTH else None


def worded(value: Loose, confidence: float | None = None) -> Attribute | None:
    """Return a vendor's word, or its number written out, for make, model, colour or body."""
    return word(str(value) if value is not None else None, confidence)


def is_not_motor(value: Loose) -> bool:
    """Say whether a vendor's word for a kind of vehicle means traffic without a motor."""
    return (
        isinstance(value, str)
        and len(value) <= _MAX_TEXT_LENGTH
        and "".join(filter(str.isalpha, value)).lower() in _NOT_MOTOR
    )


def time_text(value: str | None) -> str:
    """Return a written time without outer space. Raises ValueError if it is longer than any time."""
    if value is not None and len(value) > _MAX_TIME_LENGTH:
        raise ValueError("too long for a time")
    return (value or "").strip()


def moment(value: str | None) -> datetime | None:
    """Return an ISO 8601 time with offset in UTC; None for one without offset, or for no time at all."""
    try:
        parsed = datetime.fromisoformat(time_text(value))
        return utc(parsed) if parsed.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def epoch(value: Loose, per_second: int) -> datetime | None:
    """Return a time since 1970 (UTC) in units of which a second has so many; None if it is no time."""
    exact = whole(value)
    given = exact if exact is not None else number(value)
    if given is None or not 0 <= given < (LATEST - EARLIEST).total_seconds() * per_second:
        return None
    if isinstance(given, int):
        return EARLIEST + timedelta(microseconds=given * 1_000_000 // per_second)
    return EARLIEST + timedelta(seconds=given / per_second)


def picture(given: object) -> bytes | None:
    """Return the bytes of a picture that came as base64; empty for what is no base64, None if there is none.

    Of one that is too large to be kept, as much is decoded as shows it.
    """
    if not isinstance(given, str) or not given:
        return None
    text_ = given[: 2 * MAX_BYTES].removeprefix("data:image/jpeg;base64,").translate(_NO_SPACE)
    try:
        return base64.b64decode(text_[: 4 * (MAX_BYTES // 3 + 2)], validate=True)
    except ValueError:
        return b""


def key(*parts: object) -> str:
    """Return a message's key of the vendor's parts of it."""
    return "\x1f".join("" if part is None else str(part) for part in parts)
