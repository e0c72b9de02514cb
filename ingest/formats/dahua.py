"""Dahua cameras: the event `TrafficJunction`, as their event stream sends it.

Riders, faces, seats, belts, phones and smoking are sent too: none of it is named here, so none of it is looked at.
`UTC` is taken as the camera claims it. Many cameras send local time in it; the registry says which clocks to trust.
"""

from typing import Annotated, Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected

MAX_EVENTS: Final = 100
_TRAFFIC: Final = "TrafficJunction"


class _Gps(msgspec.Struct, frozen=True, rename="pascal"):
    latitude: Loose = None
    longitude: Loose = None


class _CommInfo(msgspec.Struct, frozen=True, rename="pascal"):
    country: Loose = None
    snap_category: Loose = None
    gps: _Gps | None = msgspec.field(name="GPSInfo", default=None)


class _Plate(msgspec.Struct, frozen=True, rename="pascal"):
    text: Loose = None
    confidence: Loose = None


class _Vehicle(msgspec.Struct, frozen=True, rename="pascal"):
    object_type: Loose = None


class _TrafficCar(msgspec.Struct, frozen=True, rename="pascal"):
    machine_name: Loose = None
    vehicle_sign: Loose = None
    vehicle_color: Loose = None
    vehicle_size: Loose = None


class _Data(msgspec.Struct, frozen=True, rename="pascal"):
    """The allow-list."""

    utc: Loose = msgspec.field(name="UTC", default=None)
    utc_ms: Loose = msgspec.field(name="UTCMS", default=None)
    group_id: Loose = msgspec.field(name="GroupID", default=None)
    event_seq: Loose = None
    lane: Loose = None
    comm_info: _CommInfo | None = None
    object: _Plate | None = None
    vehicle: _Vehicle | None = None
    traffic_car: _TrafficCar | None = None


class _Event(msgspec.Struct, frozen=True, rename="pascal"):
    code: str
    data: Any = None
    index: Loose = None


class _Params(msgspec.Struct, frozen=True, rename="camel"):
    event_list: Annotated[list[_Event], msgspec.Meta(max_length=MAX_EVENTS)]


class _Message(msgspec.Struct, frozen=True):
    params: _Params


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of each `TrafficJunction`; Dropped for other events; Rejected for traffic without a motor."""
    try:
        if isinstance(payload, dict) and "Code" in payload:
            return (_event(msgspec.convert(payload, _Event), ""),)
        events = msgspec.convert(payload, _Message).params.event_list
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    if not events:
        return (Dropped(reason="other_event"),)
    return tuple(_event(event, f"/params/eventList/{index}") for index, event in enumerate(events))


def _event(event: _Event, at: str) -> Outcome:
    if event.code != _TRAFFIC:
        return Dropped(reason="other_event")
    try:
        return _read(msgspec.convert(event.data, _Data), event.index, f"{at}/Data")
    except msgspec.ValidationError as error:
        return clean.misshapen(error, f"{at}/Data")


def _read(data: _Data, channel: Loose, at: str) -> Outcome:
    about, car = data.comm_info or _CommInfo(), data.traffic_car or _TrafficCar()
    vehicle = data.vehicle or _Vehicle()
    if clean.is_not_motor(about.snap_category) or clean.is_not_motor(vehicle.object_type):
        return Rejected(reason="not_a_motor_vehicle")
    seconds, milliseconds = clean.whole(data.utc), clean.whole(data.utc_ms) or 0
    claimed_at = None if seconds is None else clean.epoch(seconds * 1000 + milliseconds % 1000, 1000)
    if claimed_at is None:
        return Rejected(reason="time", pointer=f"{at}/UTC")
    plate = data.object or _Plate()
    try:
        plate_raw = clean.reading(plate.text)
    except ValueError:
        return Rejected(reason="shape", pointer=f"{at}/Object/Text")
    gps = about.gps or _Gps()
    return Read(
        key=clean.key(car.machine_name, channel, data.group_id, data.event_seq, data.utc, data.utc_ms),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.scaled(plate.confidence) if plate_raw else None,
        region=clean.region(about.country),
        make=clean.worded(car.vehicle_sign),
        colour=clean.worded(car.vehicle_color),
        body=clean.worded(car.vehicle_size),
        position=clean.position(clean.number(gps.latitude), clean.number(gps.longitude)),
        lane=clean.lane(data.lane),
    )
