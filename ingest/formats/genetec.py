"""Genetec AutoVu: the JSON of its export, one read an object, with date and time (UTC) in two fields."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from ingest import regions
from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Outcome, Read, Rejected
from schemas.detections import default_key


class _Attributes(msgspec.Struct, frozen=True):
    make: Loose = msgspec.field(name="Vehicle Make", default=None)
    model: Loose = msgspec.field(name="Vehicle Model", default=None)
    colour: Loose = msgspec.field(name="Vehicle Color", default=None)
    body: Loose = msgspec.field(name="Vehicle Type", default=None)


class _Export(msgspec.Struct, frozen=True, rename="pascal"):
    """The allow-list."""

    camera_name: str
    date_utc: str
    time_utc: str
    plate: Loose = None
    state: Loose = None
    confidence_score: Loose = None
    attributes: _Attributes | None = None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of one exported read, or Rejected with the place that is wrong."""
    try:
        return (_read(msgspec.convert(payload, _Export)),)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)


def _read(export: _Export) -> Outcome:
    claimed_at = _time(export)
    if claimed_at is None:
        return Rejected(reason="time", pointer="/DateUtc")
    try:
        plate_raw = clean.reading(export.plate)
    except ValueError:
        return Rejected(reason="shape", pointer="/Plate")
    given = export.attributes or _Attributes()
    if clean.is_not_motor(given.body):
        return Rejected(reason="not_a_motor_vehicle")
    return Read(
        key=clean.key(export.camera_name, default_key(claimed_at, plate_raw, None)),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.of_hundred(export.confidence_score) if plate_raw else None,
        region=_region(export.state),
        make=clean.worded(given.make),
        model=clean.worded(given.model),
        colour=clean.worded(given.colour),
        body=clean.worded(given.body),
    )


def _time(export: _Export) -> datetime | None:
    try:
        day = datetime.strptime(clean.time_text(export.date_utc), "%d/%m/%Y").replace(tzinfo=UTC)
        at = datetime.fromisoformat(f"{day.date().isoformat()}T{clean.time_text(export.time_utc)}")
    except ValueError:
        return None
    return clean.utc(at.replace(tzinfo=UTC)) if at.tzinfo is None else clean.utc(at)


def _region(state: Loose) -> str | None:
    """Return the region of a `State`. A state's or province's code alone must not pass for a country's ("CA")."""
    code = clean.region(state)
    return regions.of_state(code) or code
