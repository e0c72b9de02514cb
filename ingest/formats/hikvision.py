"""Hikvision cameras: the ISAPI `EventNotificationAlert` of type ANPR (XML, or multipart with XML and pictures).

`isDataRetransmission` is not looked at: a message that is sent again is the same message. Seat belts, phones and
smoking (`pilotsafebelt`, `uphone`, `smoking`), the vehicle list's name and pictures are not looked at either.
"""

from typing import Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import Attribute, Position

_ANPR: Final = "ANPR"
_NO_REGION: Final = "NON"
_NO_MAKE: Final = 0


class _Angle(msgspec.Struct, frozen=True):
    degree: Loose = None
    minute: Loose = None
    sec: Loose = None


class _Gps(msgspec.Struct, frozen=True, rename="camel"):
    longitude_type: str | None = None
    latitude_type: str | None = None
    longitude: _Angle | None = msgspec.field(name="Longitude", default=None)
    latitude: _Angle | None = msgspec.field(name="Latitude", default=None)


class _Vehicle(msgspec.Struct, frozen=True, rename="camel"):
    color: Loose = None
    vehicle_logo_recog: Loose = None


class _Anpr(msgspec.Struct, frozen=True, rename="camel"):
    license_plate: Loose = None
    original_license_plate: Loose = None
    confidence_level: Loose = None
    line: Loose = None
    vehicle_type: Loose = None
    vehicle_info: _Vehicle | None = None


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    """The allow-list."""

    event_type: str
    date_time: str | None = None
    mac_address: Loose = None
    channel_id: Loose = msgspec.field(name="channelID", default=None)
    uuid: Loose = msgspec.field(name="UUID", default=None)
    anpr: _Anpr | None = msgspec.field(name="ANPR", default=None)
    gps: _Gps | None = msgspec.field(name="DeviceGPSInfo", default=None)
    country_abbreviation: Loose = None


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    event_type: str


class _Named(msgspec.Struct, frozen=True):
    alert: _Kind = msgspec.field(name="EventNotificationAlert")


class _Message(msgspec.Struct, frozen=True):
    alert: _Event = msgspec.field(name="EventNotificationAlert")


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of an ANPR event; Dropped for the camera's other events; else Rejected."""
    try:
        if msgspec.convert(payload, _Named).alert.event_type.upper() != _ANPR:
            return (Dropped(reason="other_event"),)
        event = msgspec.convert(payload, _Message).alert
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    if event.anpr is None:
        return (Rejected(reason="shape", pointer="/EventNotificationAlert/ANPR"),)
    return (_read(event, event.anpr),)


def _read(event: _Event, anpr: _Anpr) -> Outcome:
    if clean.is_not_motor(anpr.vehicle_type):
        return Rejected(reason="not_a_motor_vehicle")
    claimed_at = clean.moment(event.date_time)
    if claimed_at is None:
        return Rejected(reason="time", pointer="/EventNotificationAlert/dateTime")
    try:
        plate_raw = clean.reading(anpr.license_plate) or clean.reading(anpr.original_license_plate)
    except ValueError:
        return Rejected(reason="shape", pointer="/EventNotificationAlert/ANPR/licensePlate")
    region = clean.region(event.country_abbreviation)
    vehicle = anpr.vehicle_info or _Vehicle()
    return Read(
        key=clean.key(event.mac_address, event.channel_id, event.uuid, claimed_at.isoformat(), plate_raw),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.of_hundred(anpr.confidence_level) if plate_raw else None,
        region=None if region == _NO_REGION else region,
        make=_make(vehicle.vehicle_logo_recog),
        colour=clean.worded(vehicle.color),
        body=clean.worded(anpr.vehicle_type),
        position=_position(event.gps) if event.gps else None,
        lane=clean.lane(anpr.line),
    )


def _make(number: Loose) -> Attribute | None:
    """Return the vendor's number of a make, marked as Hikvision's: the vocabulary has the word for it, or has not."""
    code = clean.whole(number)
    return None if code is None or code == _NO_MAKE else clean.worded(f"hikvision:{code}")


def _position(gps: _Gps) -> Position | None:
    latitude, longitude = _degrees(gps.latitude), _degrees(gps.longitude)
    if latitude is None or longitude is None:
        return None
    south, west = gps.latitude_type == "S", gps.longitude_type == "W"
    return clean.position(-latitude if south else latitude, -longitude if west else longitude)


def _degrees(angle: _Angle | None) -> float | None:
    if angle is None:
        return None
    degree, minute, second = (clean.number(part) for part in (angle.degree, angle.minute, angle.sec))
    if degree is None or minute is None or second is None or not (0 <= minute < 60 and 0 <= second < 60):
        return None
    return degree + minute / 60 + second / 3600
