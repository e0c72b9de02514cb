"""A sighting: a detection that was normalised, placed and checked. It is what is indexed and searched."""

import uuid
from datetime import datetime
from typing import Final, Literal

import msgspec

from schemas.detections import Candidate, Crop, Position

NORMALISER_VERSION: Final = 1
"""Version of the rules that made a plate out of a raw text; re-normalising stored rows is a migration."""

MAX_SAID_BYTES: Final = 64
"""Four of them have to fit into an entry of the covering index, beside everything else that has no fixed length."""

StoredDoubt = Literal[
    "low_confidence",
    "attributes_disagree",
    "clock_skew",
    "position_disagrees",
    "implausible_format",
    "arrival_time",
]
"""Doubts that are known when a read is indexed. `lookalike` and `region_conflict` depend on the question."""


class Trait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The make, model, colour or body of a vehicle, with its confidence from 0 to 1 if one was given.

    `value` is a word of the closed list (`schemas.vocabulary`), but for a model, of which there is no list; `code` is
    its NCIC code if it has one. `said` is the camera's own word, unless that is `value` letter by letter: at
    most `MAX_WORD_LENGTH` characters and `MAX_SAID_BYTES` bytes of UTF-8.
    """

    value: str
    confidence: float | None = None
    code: str | None = None
    said: str | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The camera's own words of a sighting, as the index keeps them: one JSON object, without those that are None."""

    make: str | None = None
    model: str | None = None
    colour: str | None = None
    body: str | None = None


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The value of the topic `sightings` and a row of the index.

    `plate` is None for a vehicle without a readable plate; `plate_key` is then `~` and the camera's id. `skew_s` is
    arrival minus claimed time in seconds. `position` is the registry's at the time of the read. A row whose
    `superseded_by` is set is a grave: the pass was moved to that plate key by a later revision, and the row is never
    returned.
    """

    pass_id: uuid.UUID
    revision: int = 0
    captured_at: datetime
    received_at: datetime
    plate: str | None
    plate_key: str
    plate_raw: str | None = None
    plate_confidence: float | None = None
    candidates: tuple[Candidate, ...] = ()
    region: str | None = None
    region_confidence: float | None = None
    camera_id: str
    owner: str
    position: Position
    timezone: str
    clock_uncertainty_s: float
    skew_s: float
    make: Trait | None = None
    model: Trait | None = None
    colour: Trait | None = None
    body: Trait | None = None
    heading_deg: float | None = None
    lane: int | None = None
    doubts: tuple[StoredDoubt, ...] = ()
    normaliser_version: int = NORMALISER_VERSION
    superseded_by: str | None = None
    crop: Crop | None = None
