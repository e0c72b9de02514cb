"""How a camera is doing: what processes report of it, and what is known of it from all reports. Numbers, and no read.

A report counts once, however often it arrives, and the order in which reports of several processes arrive changes
nothing: sums, minima, maxima and sets alone are kept (see `ingest.health`).
"""

import uuid
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

REPORTERS: Final = ""
"""The `camera_id` under which processes report themselves: as long as one does, a camera's silence is its own."""

CONFIDENCE_UNIT: Final = 10_000
"""Confidences are added up in ten-thousandths: sums of whole numbers are the same in any order."""

HEARD_SLOT_S: Final = 300
HEARD_SLOTS: Final = 14 * 86_400 // HEARD_SLOT_S
"""Two weeks of five minutes each: in which of them a camera was heard is its rhythm."""

RECENT_SLOT_S: Final = 600
RECENT_SLOTS: Final = 6
HOUR_S: Final = 3600
HOURS: Final = 24

SKEW_SLOT_S: Final = 600
SKEW_SLOTS: Final = 48

Refusal = Literal[
    "wrong_key", "wrong_proof", "untrusted_proxy", "retired", "not_active", "ephemeral",
    "no_format", "unreadable", "too_fast",
]  # fmt: skip
REFUSALS: Final[frozenset[str]] = frozenset(get_args(Refusal))
"""Why a whole request of a known camera was refused. `unreadable`: no body that can be read, or none in time."""


class CameraReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one process saw of one camera in a few seconds: the value of the topic `camera-health`.

    `source` names a run of the process, and `sequence` grows with each of its reports: that is how a report is known
    again. Times are those of arrival. Items are counted as their camera was told; `rejected` and `refused` (whole
    requests) by reason. `confidence_total` is in ten-thousandths. Skew is arrival less claimed time: `skew_low_s` is a
    low one of `skews` reads, since whatever delays a read makes it larger.
    """

    camera_id: str
    source: uuid.UUID
    sequence: int
    until: datetime
    last_seen_at: datetime | None = None
    first_read_at: datetime | None = None
    last_read_at: datetime | None = None
    accepted: int = 0
    dropped: int = 0
    rejected: dict[str, int] = {}
    refused: dict[str, int] = {}
    confidence_total: int = 0
    confidences: int = 0
    positions: int = 0
    positions_off: int = 0
    skews: int = 0
    skew_low_s: float | None = None


class Counts(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What was counted of a camera in one hour, or in ten minutes."""

    accepted: int = 0
    dropped: int = 0
    rejected: dict[str, int] = {}
    refused: dict[str, int] = {}
    confidence_total: int = 0
    confidences: int = 0
    positions: int = 0
    positions_off: int = 0
    skews: int = 0
    conflicting: int = 0


class CameraState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a camera: a row of the table `camera_health`.

    Slots are numbered from the Unix epoch on. `heard` has a bit (the lowest first) for each slot of `HEARD_SLOT_S` in
    which a read was accepted, from `heard_slot`, the newest, backwards. `recent` and `hours` count by slots of
    `RECENT_SLOT_S` and `HOUR_S`; `skews` has the lowest skew of each of the newest slots with reads. `sources` has the
    last report of each process that counts already, `letters` the offset of the last dead letter of each partition;
    `letter_ids` are the newest ones, since whoever writes letters may write one twice.
    """

    last_seen_at: datetime | None = None
    last_read_at: datetime | None = None
    heard_slot: int = 0
    heard: bytes = b""
    recent: dict[int, int] = {}
    hours: dict[int, Counts] = {}
    skews: dict[int, float] = {}
    sources: dict[str, int] = {}
    letters: dict[str, int] = {}
    letter_ids: tuple[str, ...] = ()


def slot(at: datetime, width_s: int) -> int:
    """Return the number of the slot of this width that a time is in."""
    return int(at.timestamp() // width_s)


def encode(state: CameraState) -> bytes:
    """Return a state as the table keeps it."""
    return msgspec.json.encode(state)


def decode(data: bytes) -> CameraState:
    """Return a state from the table; empty bytes are a camera of which nothing is known. Raises msgspec errors."""
    return msgspec.json.decode(data, type=CameraState) if data else CameraState()
