"""A detection: what a camera claims it saw. One message, frozen, never corrected in place.

Only the fields named here leave a parser: vehicles only, no attribute of a person, no picture but by reference.

The shapes are `gc=False`: they cannot hold themselves, so the garbage collector need not look at millions of them.
"""

import hashlib
import uuid
from datetime import datetime
from typing import Final

import msgspec

EVENT_NAMESPACE: Final = uuid.UUID("6d6a1c6c-6f0e-5d0c-9b53-3a1d4b1f0c11")
"""Namespace of event ids (UUID version 5, RFC 9562)."""

_UNVERSIONED: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_5: Final = 0x5 << 76 | 0x2 << 62

MAX_CANDIDATES: Final = 10
MAX_RAW_PLATE_LENGTH: Final = 32
MAX_WORD_LENGTH: Final = 40


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reading that the camera thought possible, with its confidence from 0 to 1."""

    plate: str
    confidence: float


class Attribute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A word for the make, model, colour or body of a vehicle, with its confidence from 0 to 1 if one was given."""

    value: str
    confidence: float | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """WGS 84 degrees."""

    latitude: float
    longitude: float


class Crop(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The picture of the plate alone, by reference: the SHA-256 (hex) of its bytes, which lie outside the stream."""

    sha256: str


class Detection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One read as a camera claimed it: the value of the topic `detections`.

    `claimed_at` is the camera's own capture time, `received_at` when the gateway took the message; `captured_at` is
    the time that the registry's clock rule makes of the two, fixed at the gateway so that every later reader agrees.
    `position` is where the camera claims to stand; the registry stays the authority. Confidences run from 0 to 1
    whatever scale the vendor uses.
    """

    event_id: uuid.UUID
    camera_id: str
    owner: str
    format: str
    claimed_at: datetime
    captured_at: datetime
    received_at: datetime
    plate_raw: str | None = None
    plate_confidence: float | None = None
    candidates: tuple[Candidate, ...] = ()
    region: str | None = None
    region_confidence: float | None = None
    make: Attribute | None = None
    model: Attribute | None = None
    colour: Attribute | None = None
    body: Attribute | None = None
    position: Position | None = None
    heading_deg: float | None = None
    lane: int | None = None
    crop: Crop | None = None


def event_id(camera_id: str, key: str) -> uuid.UUID:
    """Return the deterministic id of one camera message.

    `key` is the vendor's own key of the message, which always includes the claimed time (counters restart at reboot).
    The camera's registry id is part of the name, so that no camera can suppress another's reads.
    """
    name = f"{camera_id}\x1f{key}".encode()
    digest = hashlib.sha1(EVENT_NAMESPACE.bytes + name, usedforsecurity=False).digest()
    # What uuid.uuid5 does, in half its time: the gateway makes one for every read.
    return uuid.UUID(int=int.from_bytes(digest[:16], "big") & _UNVERSIONED | _VERSION_5)


def default_key(claimed_at: datetime, plate_raw: str | None, lane: int | None) -> str:
    """Return the key of a message whose format has none: claimed time, raw plate and lane."""
    return f"{claimed_at.isoformat()}\x1f{plate_raw or ''}\x1f{'' if lane is None else lane}"
