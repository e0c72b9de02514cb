"""Frigate: messages of its topic `tracked_object_update` with type `lpr`, handed on by a bridge.

`name` and `sub_label` hold names that somebody gave to a plate or a face. They are not looked at.
"""

from typing import Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected

_LPR: Final = "lpr"


class _Kind(msgspec.Struct, frozen=True):
    type: str


class _Update(msgspec.Struct, frozen=True):
    """The allow-list."""

    timestamp: Loose
    id: Loose = None
    camera: Loose = None
    plate: Loose = None
    score: Loose = None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of an `lpr` update; Dropped for Frigate's other messages; else Rejected."""
    try:
        if msgspec.convert(payload, _Kind).type != _LPR:
            return (Dropped(reason="other_event"),)
        return (_read(msgspec.convert(payload, _Update)),)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)


def _read(update: _Update) -> Outcome:
    claimed_at = clean.epoch(update.timestamp, 1)
    if claimed_at is None:
        return Rejected(reason="time", pointer="/timestamp")
    try:
        plate_raw = clean.reading(update.plate)
    except ValueError:
        return Rejected(reason="shape", pointer="/plate")
    return Read(
        key=clean.key(update.camera, update.id, claimed_at.isoformat()),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.fraction(update.score) if plate_raw else None,
    )
