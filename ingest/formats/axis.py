"""Axis cameras with a licence-plate app: one JSON object for each new, changed and lost car. All numbers are texts."""

from typing import Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected

_STATES: Final = frozenset({"new", "update", "lost"})
_NS_PER_S: Final = 1_000_000_000


class _Geotag(msgspec.Struct, frozen=True):
    lat: Loose = None
    lon: Loose = None


class _CameraInfo(msgspec.Struct, frozen=True, rename="pascal"):
    serial_number: Loose = None


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    """The allow-list."""

    car_state: str
    plate_utf8: Loose = msgspec.field(name="plateUTF8", default=None)
    plate_confidence: Loose = None
    plate_country: Loose = None
    car_id: Loose = msgspec.field(name="carID", default=None)
    capture_ts: Loose = msgspec.field(name="capture_ts", default=None)
    geotag: _Geotag | None = None
    camera_info: _CameraInfo | None = msgspec.field(name="camera_info", default=None)


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of one state of a car; Dropped for other states; else Rejected."""
    try:
        event = msgspec.convert(payload, _Event)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    return (_read(event) if event.car_state in _STATES else Dropped(reason="other_event"),)


def _read(event: _Event) -> Outcome:
    claimed_at = clean.epoch(event.capture_ts, _NS_PER_S)
    if claimed_at is None:
        return Rejected(reason="time", pointer="/capture_ts")
    try:
        plate_raw = clean.reading(event.plate_utf8)
    except ValueError:
        return Rejected(reason="shape", pointer="/plateUTF8")
    serial = (event.camera_info or _CameraInfo()).serial_number
    geotag = event.geotag or _Geotag()
    return Read(
        key=clean.key(serial, event.car_id, event.car_state, event.capture_ts),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.fraction(event.plate_confidence) if plate_raw else None,
        region=clean.region(event.plate_country),
        position=clean.position(clean.number(geotag.lat), clean.number(geotag.lon)),
    )
