"""What a parser makes of a payload: a read, or why there is none."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from schemas.detections import Attribute, Candidate, Position

Reason = Literal[
    "not_json", "duplicate_key", "too_deep", "too_large", "not_xml", "wrong_charset", "not_multipart", "too_many_parts",
    "no_message", "not_gzip", "shape", "time", "not_a_motor_vehicle",
    "preview", "heartbeat", "no_vehicle", "other_event",
    "past_retention", "clock_future",
    "refused_by_broker", "other_camera", "other_format",
]  # fmt: skip
"""Why an item was not accepted. Each is a label of a metric, so the list is closed."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Claimed times outside are no times: every later sum of one with an offset stays inside the calendar."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One read as a vendor's message states it, before the registry has a say: vendor's words, our units.

    `key` is the vendor's key of the message, which includes the claimed time. Confidences run from 0 to 1. `camera_id`
    is the registry's id of the camera that the message names, where its format has room for one. `picture` is what the
    vendor calls the picture of the plate alone: nobody has looked at it yet.
    """

    key: str
    claimed_at: datetime
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
    camera_id: str | None = None
    picture: bytes | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The payload is at fault. `pointer` (RFC 6901) names the place in it where that is known."""

    reason: Reason
    pointer: str = ""


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """The payload is in order, and is left alone on purpose: it is counted, and nothing of it is kept."""

    reason: Reason


Outcome = Read | Rejected | Dropped
Parser = Callable[[Any], tuple[Outcome, ...]]
"""Takes one payload as JSON values; returns what was in it, in the payload's order."""
