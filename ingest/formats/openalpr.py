"""OpenALPR / Rekor agents: the JSON that `alprd` and Scout push to a webhook, versions 2 and 3.

An agent sends a message again until it gets a 2xx, so what is in order but of no use is dropped, not rejected:
previews (`is_preview`: a group that is still being read) and every `data_type` but `alpr_group`.

`travel_direction` is left out on purpose: it is an angle in the picture, not a compass bearing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.read import EARLIEST, LATEST, Dropped, Outcome, Read, Rejected
from schemas.detections import MAX_CANDIDATES, Attribute, Candidate

LATER: Final = frozenset({"alpr_results", "alpr_alert", "vehicle", "heartbeat"})
"""What agents send besides groups. None of it is indexed yet."""

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
    """The allow-list: what is not named here does not exist for us, `vehicle_signature` and pictures included."""

    best_uuid: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    epoch_start: Annotated[int, msgspec.Meta(ge=0, lt=_LATEST_MS)]
    company_id: Identifier | int = ""
    agent_uid: Identifier | int = ""
    camera_id: Identifier | int = ""
    is_preview: bool = False
    best_plate_number: str | None = None
    best_confidence: float | None = None
    candidates: list[_Reading] = []
    best_region: str | None = None
    best_region_confidence: float | None = None
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    vehicle: _Vehicle | None = None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of an `alpr_group`; Dropped for an agent's other messages; else Rejected."""
    try:
        kind = msgspec.convert(payload, _Kind).data_type
        if kind in LATER:
            return (Dropped(reason="not_supported_yet"),)
        if kind != "alpr_group":
            return (Rejected(reason="shape", pointer="/data_type"),)
        group = msgspec.convert(payload, _Group)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    return (Dropped(reason="preview") if group.is_preview else _read(group),)


def _read(group: _Group) -> Outcome:
    try:
        plate_raw = clean.plate(group.best_plate_number)
    except ValueError:
        return Rejected(reason="shape", pointer="/best_plate_number")
    region = clean.text(group.best_region)
    vehicle = group.vehicle or _Vehicle()
    return Read(
        key=_key(group),
        claimed_at=EARLIEST + timedelta(milliseconds=group.epoch_start),
        plate_raw=plate_raw,
        plate_confidence=clean.percent(group.best_confidence),
        candidates=_candidates(group.candidates),
        region=region if region and len(region) <= 16 else None,
        region_confidence=clean.percent(group.best_region_confidence),
        make=_best(vehicle.make),
        model=_best(vehicle.make_model),
        colour=_best(vehicle.color),
        body=_best(vehicle.body_type),
        position=clean.position(group.gps_latitude, group.gps_longitude),
    )


def _key(group: _Group) -> str:
    """Return the message's key. `best_uuid` alone is not one: agents send it with other messages and times too."""
    parts = (group.company_id, group.agent_uid, group.camera_id, "alpr_group", group.best_uuid, group.epoch_start)
    return "\x1f".join(str(part) for part in parts)


def _best(guesses: Sequence[_Guess]) -> Attribute | None:
    if not guesses:
        return None
    best = max(guesses, key=lambda guess: guess.confidence or 0.0)
    return clean.word(best.name, clean.percent(best.confidence))


def _candidates(readings: Sequence[_Reading]) -> tuple[Candidate, ...]:
    found = []
    for reading in readings[:MAX_CANDIDATES]:
        confidence = clean.percent(reading.confidence)
        try:
            plate = clean.plate(reading.plate)
        except ValueError:
            continue  # no plate is that long: the others are still readings
        if plate is not None and confidence is not None:
            found.append(Candidate(plate=plate, confidence=confidence))
    return tuple(found)
