"""Dahua cameras: ITSAPI, which pushes `TollgateInfo` for each vehicle and `KeepAlive` in between.

`AccurateTime` is local time; `TimeZone` is the number of a row in Dahua's list of zones, not an offset. Where it is
missing the time is taken as UTC: the registry then has to know the camera's offset, or not to trust its clock.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import default_key

_HOURS: Final = (
    0, 1, 2, 3, 3.5, 4, 4.5, 5, 5.5, 5.75, 6, 6.5, 7, 8, 9, 9.5, 10, 11, 12, 13,
    -1, -2, -3, -3.5, -4, -5, -6, -7, -8, -9, -10, -11, -12,
)  # fmt: skip
"""Offsets from UTC in Dahua's list of time zones (HTTP API, NTP.TimeZone), by number."""


class _Plate(msgspec.Struct, frozen=True, rename="pascal"):
    plate_number: Loose = None
    confidence: Loose = None
    region: Loose = None


class _SnapInfo(msgspec.Struct, frozen=True, rename="pascal"):
    accurate_time: str | None = None
    time_zone: Loose = None


class _Vehicle(msgspec.Struct, frozen=True, rename="pascal"):
    vehicle_color: Loose = None
    vehicle_sign: Loose = None
    vehicle_type: Loose = None


class _Picture(msgspec.Struct, frozen=True, rename="pascal"):
    """The allow-list. Pictures, and how many people are in the car, are in the same object."""

    plate: _Plate | None = None
    snap_info: _SnapInfo | None = None
    vehicle: _Vehicle | None = None


class _Message(msgspec.Struct, frozen=True, rename="pascal"):
    picture: _Picture


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of a `TollgateInfo`; Dropped for a `KeepAlive`; else Rejected."""
    if isinstance(payload, dict) and "Active" in payload and "Picture" not in payload:
        return (Dropped(reason="heartbeat"),)
    try:
        return (_read(msgspec.convert(payload, _Message).picture),)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)


def _read(picture: _Picture) -> Outcome:
    plate, vehicle = picture.plate or _Plate(), picture.vehicle or _Vehicle()
    if clean.is_not_motor(vehicle.vehicle_type):
        return Rejected(reason="not_a_motor_vehicle")
    claimed_at = _time(picture.snap_info or _SnapInfo())
    if claimed_at is None:
        return Rejected(reason="time", pointer="/Picture/SnapInfo/AccurateTime")
    try:
        plate_raw = clean.reading(plate.plate_number)
    except ValueError:
        return Rejected(reason="shape", pointer="/Picture/Plate/PlateNumber")
    return Read(
        key=default_key(claimed_at, plate_raw, None),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.scaled(plate.confidence) if plate_raw else None,
        region=clean.region(plate.region),
        make=clean.worded(vehicle.vehicle_sign),
        colour=clean.worded(vehicle.vehicle_color),
        body=clean.worded(vehicle.vehicle_type),
    )


def _time(snap: _SnapInfo) -> datetime | None:
    try:
        local = datetime.fromisoformat(clean.time_text(snap.accurate_time))
        if local.tzinfo is not None:
            return clean.utc(local)
        number = clean.whole(snap.time_zone)
        if number is None:
            return clean.utc(local.replace(tzinfo=UTC))
        return clean.utc(local.replace(tzinfo=timezone(timedelta(hours=_HOURS[number]))))
    except (ValueError, OverflowError, IndexError):
        return None
