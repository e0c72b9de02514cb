"""A dead letter: a message that could not be used, with the reason, and nothing of it that was not allow-listed."""

import uuid
from datetime import datetime
from typing import Literal

import msgspec

from schemas.detections import Detection

Stage = Literal["gateway", "enricher", "indexer", "matcher", "health"]
"""Who sets a message aside. The matcher's letters are counted and written nowhere."""

Reason = Literal[
    "undecodable",
    "clock_future",
    "unknown_camera",
    "retired_camera",
    "wrong_owner",
    "poisoned",
    "conflicting_resend",
    "beginning_gone",
    "too_large",
]
"""Why a message could not be used. Each is a label of the metric, so the list is closed."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the topic `dead-letters`.

    `detection` is the allow-listed message where there was one; bytes that could not be decoded are not kept, since
    they may hold what the system must not know: only their length is. So it is with a detection that is too large for
    this topic. A letter whose detection is put back on the
    stream is written once more before that, without the detection and with the capture time that it is given: every
    later replay gives it the same, so that none makes a second row.
    """

    letter_id: uuid.UUID
    stage: Stage
    reason: Reason
    at: datetime
    camera_id: str | None = None
    format: str | None = None
    detection: Detection | None = None
    size_bytes: int | None = None
    replayed_as: datetime | None = None
