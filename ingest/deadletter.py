"""Dead letters out of messages that could not be used. Pure.

A letter's id is made from what it is about, so that a batch which is worked off twice writes the same letters twice.
"""

import uuid
from datetime import datetime
from typing import Final

import msgspec

from schemas import wire
from schemas.cameras import is_id
from schemas.deadletters import DeadLetter, Reason, Stage
from schemas.detections import Detection
from schemas.sightings import Sighting

LETTER_NAMESPACE: Final = uuid.UUID("0c0a5a52-0d5b-5a5e-8a51-6a2f0a1d9b77")
"""Namespace of letter ids (UUID version 5, RFC 9562)."""


LONGEST_NAME: Final = 64
"""Characters of a camera's id or a format's name in a letter that was shortened."""


def of_detection(stage: Stage, reason: Reason, detection: Detection, at: datetime) -> DeadLetter:
    """Return the letter of a detection: it holds what was allow-listed, and nothing else ever reached a topic."""
    return DeadLetter(
        letter_id=uuid.uuid5(LETTER_NAMESPACE, f"{stage}\x1f{reason}\x1f{detection.event_id}"),
        stage=stage,
        reason=reason,
        at=at,
        camera_id=detection.camera_id,
        format=detection.format,
        detection=detection,
    )


def of_sighting(stage: Stage, reason: Reason, sighting: Sighting, at: datetime) -> DeadLetter:
    """Return the letter of a sighting: its detection is no longer at hand, so the letter names the camera alone."""
    return DeadLetter(
        letter_id=uuid.uuid5(LETTER_NAMESPACE, f"{stage}\x1f{reason}\x1f{sighting.pass_id}\x1f{sighting.revision}"),
        stage=stage,
        reason=reason,
        at=at,
        camera_id=sighting.camera_id,
    )


def of_bytes(stage: Stage, place: str, size_bytes: int, at: datetime) -> DeadLetter:
    """Return the letter of bytes that are no message: their size is all that is kept.

    `place` says where in the stream they stand (topic, partition and offset).
    """
    return DeadLetter(
        letter_id=uuid.uuid5(LETTER_NAMESPACE, f"{stage}\x1fundecodable\x1f{place}"),
        stage=stage,
        reason="undecodable",
        at=at,
        size_bytes=size_bytes,
    )


def of_report(reason: Reason, place: str, camera_id: str, size_bytes: int, at: datetime) -> DeadLetter:
    """Return the letter of a camera's report that the health worker can't use: its size and its camera alone.

    `place` as in `of_bytes`. What has not the form of a camera's id is left out: whoever wrote the report may have put
    anything there, and a letter's camera is listed without a reason on the record.
    """
    return DeadLetter(
        letter_id=uuid.uuid5(LETTER_NAMESPACE, f"health\x1f{reason}\x1f{place}"),
        stage="health",
        reason=reason,
        at=at,
        camera_id=camera_id if is_id(camera_id) else None,
        size_bytes=size_bytes,
    )


def shortened(letter: DeadLetter) -> DeadLetter:
    """Return a letter that has a few hundred bytes at the most: the size of its detection instead of the detection.

    Names that are too long to be those of a camera or a format are left out.
    """
    size_bytes = letter.size_bytes if letter.detection is None else len(wire.encode(letter.detection))
    return msgspec.structs.replace(
        letter,
        camera_id=_name(letter.camera_id),
        format=_name(letter.format),
        detection=None,
        size_bytes=size_bytes,
    )


def _name(text: str | None) -> str | None:
    return text if text is not None and len(text) <= LONGEST_NAME else None


def key(letter: DeadLetter) -> bytes:
    """Return the key of a letter in its topic: the camera, or nothing where none is known."""
    return (letter.camera_id or "").encode()
