"""NGSI: entities of type `AnprFlowObserved`, alone or in the notification of a subscription.

An entity's `id` names what observes, not the observation: two cars of one second have the same. Coordinates are
GeoJSON's: longitude first.
"""

from typing import Annotated, Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import Attribute, Position

MAX_ENTITIES: Final = 100
_TYPE: Final = "AnprFlowObserved"


class _Named(msgspec.Struct, frozen=True):
    name: Loose = None
    confidence: Loose = None


class _Country(msgspec.Struct, frozen=True):
    code: Loose = None
    confidence: Loose = None


class _Plate(msgspec.Struct, frozen=True):
    identifier: Loose = None
    confidence: Loose = None


class _Vehicle(msgspec.Struct, frozen=True, rename="camel"):
    brand: _Named | None = None
    model: _Named | None = None
    color: _Named | None = None
    country: _Country | None = None
    license_plate: _Plate | None = None


class _Location(msgspec.Struct, frozen=True):
    coordinates: list[Loose] | None = None


class _Observation(msgspec.Struct, frozen=True, rename="camel"):
    """The allow-list."""

    id: Loose = None
    date_observed: str | None = None
    lane_id: Loose = None
    vehicle_plate_not_read: bool | None = None
    observed_vehicle: _Vehicle | None = None
    location: _Location | None = None


class _Kind(msgspec.Struct, frozen=True):
    type: str


class _Notification(msgspec.Struct, frozen=True):
    data: Annotated[list[Any], msgspec.Meta(max_length=MAX_ENTITIES)]


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of each `AnprFlowObserved`; Dropped for other entities; else Rejected."""
    if not (isinstance(payload, dict) and "data" in payload and "dateObserved" not in payload):
        return (_entity(payload, ""),)
    try:
        entities = msgspec.convert(payload, _Notification).data
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    if not entities:
        return (Dropped(reason="no_vehicle"),)
    return tuple(_entity(entity, f"/data/{index}") for index, entity in enumerate(entities))


def _entity(entity: Any, at: str) -> Outcome:
    try:
        if msgspec.convert(entity, _Kind).type != _TYPE:
            return Dropped(reason="other_event")
        return _read(msgspec.convert(entity, _Observation), at)
    except msgspec.ValidationError as error:
        return clean.misshapen(error, at)


def _read(seen: _Observation, at: str) -> Outcome:
    claimed_at = clean.moment(seen.date_observed)
    if claimed_at is None:
        return Rejected(reason="time", pointer=f"{at}/dateObserved")
    vehicle = seen.observed_vehicle or _Vehicle()
    plate, country = vehicle.license_plate or _Plate(), vehicle.country or _Country()
    try:
        plate_raw = None if seen.vehicle_plate_not_read else clean.reading(plate.identifier)
    except ValueError:
        return Rejected(reason="shape", pointer=f"{at}/observedVehicle/licensePlate/identifier")
    region = clean.region(country.code)
    return Read(
        key=clean.key(seen.id, claimed_at.isoformat(), seen.lane_id, plate.identifier),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.fraction(plate.confidence) if plate_raw else None,
        region=region,
        region_confidence=clean.fraction(country.confidence) if region else None,
        make=_word(vehicle.brand),
        model=_word(vehicle.model),
        colour=_word(vehicle.color),
        position=_position(seen.location),
        lane=clean.lane(seen.lane_id),
    )


def _word(named: _Named | None) -> Attribute | None:
    return clean.worded(named.name, clean.fraction(named.confidence)) if named else None


def _position(location: _Location | None) -> Position | None:
    coordinates = (location and location.coordinates) or []
    if len(coordinates) < 2:
        return None
    return clean.position(clean.number(coordinates[1]), clean.number(coordinates[0]))
