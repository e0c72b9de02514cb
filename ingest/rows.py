"""Sightings into rows of the index, checked against what the table takes. Pure.

What the table would refuse is found here, sighting by sighting: a statement that fails fails for a whole batch.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from schemas.detections import MAX_RAW_PLATE_LENGTH, MAX_WORD_LENGTH, Candidate
from schemas.sightings import MAX_SAID_BYTES, Said, Sighting, Trait

COLUMNS: Final = (
    "pass_id", "captured_at", "plate_key", "revision", "superseded_by", "plate", "owner", "region", "camera_id",
    "latitude", "longitude", "timezone", "clock_uncertainty_s", "skew_s", "received_at", "plate_raw",
    "plate_confidence", "region_confidence", "candidates", "make", "make_confidence", "model", "model_confidence",
    "colour", "colour_confidence", "body", "body_confidence", "heading_deg", "lane", "doubts", "normaliser_version",
    "said", "crop",
)  # fmt: skip
"""The columns of a row, in its order."""

_SHA256: Final = re.compile("[0-9a-f]{64}")
_MAX_LANE: Final = 2**15 - 1
_JSON: Final = msgspec.json.Encoder()


class Unfit(ValueError):
    """A sighting that the table would refuse. Names the field, never its value."""


class Row(NamedTuple):
    """A row, and the two things by which it replaces or gives way to another."""

    key: tuple[object, ...]
    revision: int
    values: tuple[object, ...]


def rows(sightings: Sequence[Sighting]) -> list[Row]:
    """Return the row of each sighting, in order. Raises Unfit if the table would refuse one."""
    return [_row(sighting) for sighting in sightings]


def newest(batch: Iterable[Row]) -> list[Row]:
    """Return, of the rows with one key, the one of the highest revision: two in one statement are an error."""
    kept: dict[tuple[object, ...], Row] = {}
    for row in batch:
        other = kept.get(row.key)
        if other is None or other.revision < row.revision:
            kept[row.key] = row
    return list(kept.values())


def _row(s: Sighting) -> Row:
    _check(s)
    key = (s.pass_id, s.captured_at, s.plate_key)
    values = (
        *key, s.revision, s.superseded_by, s.plate, s.owner, s.region, s.camera_id,
        s.position.latitude, s.position.longitude, s.timezone, s.clock_uncertainty_s, s.skew_s, s.received_at,
        s.plate_raw, s.plate_confidence, s.region_confidence, _candidates(s.candidates),
        *_pair(s.make), *_pair(s.model), *_pair(s.colour), *_pair(s.body),
        s.heading_deg, s.lane, ",".join(s.doubts) or None, s.normaliser_version, _said(s),
        bytes.fromhex(s.crop.sha256) if s.crop else None,
    )  # fmt: skip
    return Row(key, s.revision, values)


def _pair(trait: Trait | None) -> tuple[str | None, float | None]:
    return (None, None) if trait is None else (trait.value, trait.confidence)


def _said(s: Sighting) -> bytes | None:
    traits = {"make": s.make, "model": s.model, "colour": s.colour, "body": s.body}
    said = {name: trait.said for name, trait in traits.items() if trait is not None and trait.said is not None}
    return _JSON.encode(Said(**said)) if said else None


def _candidates(candidates: tuple[Candidate, ...]) -> bytes | None:
    return _JSON.encode(candidates) if candidates else None


def _check(s: Sighting) -> None:
    _text("plate_raw", s.plate_raw, MAX_RAW_PLATE_LENGTH)
    for name, trait in (("make", s.make), ("model", s.model), ("colour", s.colour), ("body", s.body)):
        if trait is not None:
            _text(name, trait.value, MAX_WORD_LENGTH)
            _text(name, trait.said, MAX_WORD_LENGTH)
            if len((trait.said or "").encode()) > MAX_SAID_BYTES:
                raise Unfit(f"{name} was said in too many bytes")
            _within(name, trait.confidence, 1.0)
    _within("plate_confidence", s.plate_confidence, 1.0)
    _within("region_confidence", s.region_confidence, 1.0)
    _within("heading_deg", s.heading_deg, 360.0)
    _within("lane", s.lane, _MAX_LANE)
    if s.crop is not None and not _SHA256.fullmatch(s.crop.sha256):
        raise Unfit("crop is no SHA-256")
    if s.captured_at.tzinfo is None or s.received_at.tzinfo is None:
        raise Unfit("a time without its offset")


def _text(name: str, text: str | None, longest: int) -> None:
    if text is not None and (len(text) > longest or "\0" in text):
        raise Unfit(f"{name} is too long, or holds a zero byte")


def _within(name: str, number: float | None, limit: float) -> None:
    if number is not None and not 0 <= number <= limit:
        raise Unfit(f"{name} is out of range")
