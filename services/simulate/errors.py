"""The data file of reading errors, typed. Nothing of `search` or `schemas` reads it."""

import importlib.resources
from pathlib import Path
from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class PlateErrors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Substitutions a character, a dropped character a read, and what each character is taken for."""

    character_error: Share
    look_alike_share: Share
    dropped_character: Share
    look_alikes: dict[str, str]


class AttributeErrors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shares of reads in which an attribute is missing or wrong."""

    unknown: Share
    wrong: Share


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A beta distribution by its mean and its weight (alpha + beta)."""

    mean: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
    weight: Annotated[float, msgspec.Meta(gt=0.0)]


class Confidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Confidence of right and of wrong readings."""

    right: Spread
    wrong: Spread


class CandidateLists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a list of candidates comes along, how long it is, and whether it holds the truth."""

    share: Share
    most: Annotated[int, msgspec.Meta(ge=1, le=10)]
    truth_when_wrong: Share


class Duplicates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of the passes that are read a second time, and the seconds until then."""

    share: Share
    least_s: Annotated[float, msgspec.Meta(gt=0.0)]
    most_s: Annotated[float, msgspec.Meta(lt=30.0)]


class ErrorModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `errors.yaml`; the meaning of each field stands there."""

    version: int
    missed_pass: Share
    unread_plate: Share
    plate: PlateErrors
    region: AttributeErrors
    make: AttributeErrors
    model: AttributeErrors
    colour: AttributeErrors
    body: AttributeErrors
    colours_near: dict[str, list[str]]
    confidence: Confidence
    candidates: CandidateLists
    duplicates: Duplicates
    heading_unknown: Share
    lanes: Annotated[int, msgspec.Meta(ge=1)]
    position_error_m: Annotated[float, msgspec.Meta(ge=0.0)]


def load_errors(path: Path | None = None) -> ErrorModel:
    """Return the error model of a YAML file, by default the one beside this module.

    Raises msgspec.ValidationError if a field is missing, unknown or out of its range.
    """
    source = path if path is not None else importlib.resources.files(__package__) / "errors.yaml"
    return msgspec.yaml.decode(source.read_bytes(), type=ErrorModel)
