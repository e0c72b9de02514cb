"""Plate Recognizer Stream: the JSON of its webhook, in plate mode and in vehicle mode.

With pictures it comes as a form whose field `json` is this message; the picture in `upload` is thrown away before
this module is asked. `direction` is left out on purpose: it is an angle in the picture, not a compass bearing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import Attribute, Candidate

MAX_RESULTS: Final = 100


class _Reading(msgspec.Struct, frozen=True):
    plate: Loose = None
    score: Loose = None


class _Value(msgspec.Struct, frozen=True):
    value: Loose = None
    score: Loose = None


class _Colour(msgspec.Struct, frozen=True):
    color: Loose = None
    value: Loose = None
    score: Loose = None


class _MakeModel(msgspec.Struct, frozen=True):
    make: Loose = None
    model: Loose = None
    score: Loose = None


class _Region(msgspec.Struct, frozen=True):
    code: Loose = None
    score: Loose = None


class _PlateProps(msgspec.Struct, frozen=True):
    plate: list[_Value] | None = None
    region: list[_Value] | None = None


class _Plate(msgspec.Struct, frozen=True):
    """A plate in vehicle mode."""

    props: _PlateProps | None = None


class _VehicleProps(msgspec.Struct, frozen=True):
    make_model: list[_MakeModel] | None = None
    color: list[_Colour] | None = None


class _Vehicle(msgspec.Struct, frozen=True):
    type: Loose = None
    score: Loose = None
    props: _VehicleProps | None = None


class _Result(msgspec.Struct, frozen=True):
    plate: str | _Plate | None = None
    score: Loose = None
    candidates: list[_Reading] | None = None
    region: _Region | None = None
    model_make: list[_MakeModel] | None = None
    color: list[_Colour] | None = None
    vehicle: _Vehicle | None = None


class _Data(msgspec.Struct, frozen=True):
    camera_id: Loose = None
    timestamp: str | None = None
    results: Annotated[list[_Result], msgspec.Meta(max_length=MAX_RESULTS)] | None = None


class _Message(msgspec.Struct, frozen=True):
    """The allow-list."""

    data: _Data


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return a read for each result; Dropped for a message without results; else Rejected."""
    try:
        data = msgspec.convert(payload, _Message).data
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    if data.results is None:
        return (Dropped(reason="other_event"),)
    if not data.results:
        return (Dropped(reason="no_vehicle"),)
    claimed_at = clean.moment(data.timestamp)
    if claimed_at is None:
        return (Rejected(reason="time", pointer="/data/timestamp"),)
    return tuple(_read(data, claimed_at, index, result) for index, result in enumerate(data.results))


def _read(data: _Data, claimed_at: datetime, index: int, result: _Result) -> Outcome:
    if result.plate is None and result.vehicle is None:
        return Dropped(reason="no_vehicle")
    vehicle = result.vehicle or _Vehicle()
    if clean.is_not_motor(vehicle.type):
        return Rejected(reason="not_a_motor_vehicle")
    try:
        plate_raw, confidence, candidates = _plate(result)
    except ValueError:
        return Rejected(reason="shape", pointer=f"/data/results/{index}/plate")
    props = vehicle.props or _VehicleProps()
    region, region_confidence = _region(result)
    make, model = _make_model(result.model_make or props.make_model or ())
    return Read(
        key=clean.key(data.camera_id, claimed_at.isoformat(), index),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=confidence if plate_raw else None,
        candidates=candidates if plate_raw else (),
        region=region,
        region_confidence=region_confidence if region else None,
        make=make,
        model=model,
        colour=_colour(result.color or props.color or ()),
        body=clean.worded(vehicle.type, clean.fraction(vehicle.score)),
    )


def _plate(result: _Result) -> tuple[str | None, float | None, tuple[Candidate, ...]]:
    """Return plate, confidence and candidates. Raises ValueError if the plate is longer than any plate."""
    if isinstance(result.plate, _Plate):
        values = (result.plate.props or _PlateProps()).plate or []
        best = max(values, key=lambda value: clean.fraction(value.score) or 0.0, default=_Value())
        candidates = clean.readings((value.value, clean.fraction(value.score)) for value in values)
        return clean.reading(best.value), clean.fraction(best.score), candidates
    readings = result.candidates or []
    candidates = clean.readings((reading.plate, clean.fraction(reading.score)) for reading in readings)
    return clean.reading(result.plate), clean.fraction(result.score), candidates


def _region(result: _Result) -> tuple[str | None, float | None]:
    if isinstance(result.plate, _Plate):
        values = (result.plate.props or _PlateProps()).region or []
        best = max(values, key=lambda value: clean.fraction(value.score) or 0.0, default=_Value())
        return clean.region(best.value), clean.fraction(best.score)
    given = result.region or _Region()
    return clean.region(given.code), clean.fraction(given.score)


def _make_model(guesses: Sequence[_MakeModel]) -> tuple[Attribute | None, Attribute | None]:
    best = max(guesses, key=lambda guess: clean.fraction(guess.score) or 0.0, default=_MakeModel())
    confidence = clean.fraction(best.score)
    return clean.worded(best.make, confidence), clean.worded(best.model, confidence)


def _colour(guesses: Sequence[_Colour]) -> Attribute | None:
    best = max(guesses, key=lambda guess: clean.fraction(guess.score) or 0.0, default=_Colour())
    return clean.worded(best.color if best.color is not None else best.value, clean.fraction(best.score))
