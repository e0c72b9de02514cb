"""Texts, times, numbers and places of vendors, brought into the form that a read has."""

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from ingest.formats.read import EARLIEST, LATEST, Rejected
from schemas.detections import MAX_RAW_PLATE_LENGTH, MAX_WORD_LENGTH, Attribute, Position

_PATH: Final = re.compile(r" - at `\$([^`]*)`$")
_STEP: Final = re.compile(r"\.?([A-Za-z0-9_]+)|\[([0-9.]+)\]")


def text(raw: str | None) -> str | None:
    """Return a text without control characters and outer space, or None if nothing is left of it.

    PostgreSQL has no NUL in a text, and a line break has no place in a log or a table.
    """
    if not raw:
        return None
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


def misshapen(error: msgspec.ValidationError) -> Rejected:
    """Return the rejection for a payload of the wrong shape: the place, in our own field names, and no value."""
    found = _PATH.search(str(error))
    steps = _STEP.findall(found[1]) if found else []
    return Rejected(reason="shape", pointer="".join(f"/{name or index}" for name, index in steps))
