"""OpenALPR / Rekor agents: the JSON that `alprd` and Scout push to a webhook, versions 2 and 3.

An agent sends a message again until it gets a 2xx, so what is in order but of no use is dropped, not rejected:
previews (`is_preview`: a group that is still being read), heartbeats, frames in which nothing was read.

An `alpr_alert` is the group that it wraps, which the agent may send by itself too: it has the same key, and the
list's name and description are not looked at.

`travel_direction` is left out on purpose: it is an angle in the picture, not a compass bearing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.read import EARLIEST, LATEST, Dropped, Outcome, Read, Rejected
from schemas.detections import Attribute, Candidate

MAX_RESULTS: Final = 100

_LATEST_MS: Final = int((LATEST - EARLIEST).total_seconds()) * 1000

Identifier = Annotated[str, msgspec.Meta(max_length=256)]


class _Kind(msgspec.Struct, frozen=True):
    data_type: str


class _Reading(msgspec.Struct, frozen=True):
    plate: str
    confidence: float | None = None


class _Guess(msgspec.Struct, frozen=True):
    name: str
    confidence: float | None = None


class _Vehicle(msgspec.Struct, frozen=True):
    make: list[_Guess] = []
    make_model: list[_Guess] = []
    color: list[_Guess] = []
    body_type: list[_Guess] = []


class _Group(msgspec.Struct, frozen=True):
    """The allow-list: what is not named here does not exist for us, `vehicle_signature` and other pictures included."""

    best_uuid: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    epoch_start: Annotated[int, msgspec.Meta(ge=0, lt=_LATEST_MS)]
    company_id: Identifier | int | None = None
    agent_uid: Identifier | int | None = None
    camera_id: Identifier | int | None = None
    is_preview: bool = False
    best_plate_number: str | None = None
    best_confidence: float | None = None
    candidates: list[_Reading] = []
    best_region: str | None = None
    best_region_confidence: float | None = None
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    vehicle: _Vehicle | None = None
    best_plate: Any = None


class _Alert(msgspec.Struct, frozen=True):
    """The allow-list of an alert: the group it wraps."""

    group: _Group


class _Result(msgspec.Struct, frozen=True):
    plate: str | None = None
    confidence: float | None = None
    region: str | None = None
    region_confidence: float | None = None
    candidates: list[_Reading] = []


class _Frame(msgspec.Struct, frozen=True):
    """The allow-list of `alpr_results`: the plates of one picture."""

    uuid: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    epoch_time: Annotated[int, msgspec.Meta(ge=0, lt=_LATEST_MS)]
    results: Annotated[list[_Result], msgspec.Meta(max_length=MAX_RESULTS)]
    company_id: Identifier | int | None = None
    agent_uid: Identifier | int | None = None
    camera_id: Identifier | int | None = None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the reads of one message of an agent; Dropped for what is no read; else Rejected."""
    try:
        kind = msgspec.convert(payload, _Kind).data_type
        if kind == "heartbeat":
            return (Dropped(reason="heartbeat"),)
        if kind == "alpr_results":
            return _frame(msgspec.convert(payload, _Frame))
        if kind == "alpr_alert":
            return (_group(msgspec.convert(payload, _Alert).group, "alpr_group", "/group"),)
        if kind in ("alpr_group", "vehicle"):
            return (_group(msgspec.convert(payload, _Group), kind),)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    return (Rejected(reason="shape", pointer="/data_type"),)


def _group(group: _Group, kind: str, at: str = "") -> Outcome:
    if group.is_preview:
        return Dropped(reason="preview")
    try:
        plate_raw = clean.reading(group.best_plate_number) if kind == "alpr_group" else None
    except ValueError:
        return Rejected(reason="shape", pointer=f"{at}/best_plate_number")
    region = clean.region(group.best_region)
    vehicle = group.vehicle or _Vehicle()
    return Read(
        key=_key(group, kind, group.best_uuid, group.epoch_start),
        claimed_at=EARLIEST + timedelta(milliseconds=group.epoch_start),
        plate_raw=plate_raw,
        plate_confidence=clean.percent(group.best_confidence) if plate_raw else None,
        candidates=_candidates(group.candidates) if plate_raw else (),
        region=region,
        region_confidence=clean.percent(group.best_region_confidence) if region else None,
        make=_best(vehicle.make),
        model=_best(vehicle.make_model),
        colour=_best(vehicle.color),
        body=_best(vehicle.body_type),
        position=clean.position(group.gps_latitude, group.gps_longitude),
        picture=_picture(group.best_plate) if plate_raw else None,
    )


def _picture(best_plate: Any) -> bytes | None:
    return clean.picture(best_plate.get("plate_crop_jpeg")) if isinstance(best_plate, dict) else None


def _frame(frame: _Frame) -> tuple[Outcome, ...]:
    if not frame.results:
        return (Dropped(reason="no_vehicle"),)
    return tuple(_result(frame, index, result) for index, result in enumerate(frame.results))


def _result(frame: _Frame, index: int, result: _Result) -> Outcome:
    try:
        plate_raw = clean.reading(result.plate)
    except ValueError:
        return Rejected(reason="shape", pointer=f"/results/{index}/plate")
    region = clean.region(result.region)
    return Read(
        key=_key(frame, "alpr_results", frame.uuid, frame.epoch_time, index),
        claimed_at=EARLIEST + timedelta(milliseconds=frame.epoch_time),
        plate_raw=plate_raw,
        plate_confidence=clean.percent(result.confidence) if plate_raw else None,
        candidates=_candidates(result.candidates) if plate_raw else (),
        region=region,
        region_confidence=clean.percent(result.region_confidence) if region else None,
    )


def _key(message: _Group | _Frame, kind: str, uuid: str, *rest: int) -> str:
    """Return the message's key. The uuid alone is not one: agents send it with other messages and times too."""
    return clean.key(message.company_id, message.agent_uid, message.camera_id, kind, uuid, *rest)


def _best(guesses: Sequence[_Guess]) -> Attribute | None:
    if not guesses:
        return None
    best = max(guesses, key=lambda guess: guess.confidence or 0.0)
    return clean.word(best.name, clean.percent(best.confidence))


def _candidates(readings: Sequence[_Reading]) -> tuple[Candidate, ...]:
    return clean.readings((reading.plate, clean.percent(reading.confidence)) for reading in readings)
