"""What becomes of one read when it arrives: a detection, a dead letter, a refusal, or nothing. Pure.

The times that a camera claims are judged here, once, so that every later reader has the same captured_at and no read
lies where the index has no day.
"""

from datetime import datetime, timedelta
from typing import Final

from ingest import deadletter
from ingest.formats.read import Dropped, Read, Rejected
from schemas import ephemeral
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Detection, event_id
from schemas.owners import OwnerRules

Verdict = Detection | DeadLetter | Dropped | Rejected

_TAKEN_WITHIN: Final = timedelta(seconds=ephemeral.TAKEN_WITHIN_S)


def captured_at(camera: Camera, claimed_at: datetime, received_at: datetime) -> datetime:
    """Return the capture time that the registry's rule for this camera's clock makes of claim and arrival."""
    if camera.clock_use == "arrival":
        return received_at
    if camera.clock_use == "offset":
        return claimed_at + timedelta(seconds=camera.clock_offset_s)
    return claimed_at


def is_ahead(captured: datetime, received_at: datetime, future_limit_s: float) -> bool:
    """Tell whether a capture time lies so far ahead of the arrival that the clock behind it is wrong."""
    return captured > received_at + timedelta(seconds=future_limit_s)


def decide(
    read: Read, *, format_: str, camera: Camera, received_at: datetime, rules: OwnerRules, future_limit_s: float
) -> Verdict:
    """Return the detection of a read.

    A read in another format than the one that its camera is bound to, or that names another camera than the one that it
    came from, is Rejected, and nothing of it is kept. One that is older than its owner may keep is Dropped: nothing of
    it may be written anywhere, so a dead letter is no place for it either. One that lies more than `future_limit_s`
    seconds ahead by a clock that is used becomes a dead letter, `clock_future`. Of a camera with ephemeral handling
    there are no dead letters, and what arrives too late to be gone in time is past its retention.
    """
    if camera.format not in (None, format_):
        return Rejected(reason="other_format")
    if read.camera_id is not None and read.camera_id != camera.camera_id:
        return Rejected(reason="other_camera", pointer="/camera_id")
    is_ephemeral = camera.handling == "ephemeral"
    captured = captured_at(camera, read.claimed_at, received_at)
    if is_ephemeral:
        is_past = captured < received_at - _TAKEN_WITHIN
    else:  # what is exactly as old as its owner keeps reads is past that, here as further on
        is_past = captured <= received_at - timedelta(days=rules.days(camera.owner))
    if is_past:
        return Dropped(reason="past_retention")
    ahead = is_ahead(captured, received_at, future_limit_s)
    if ahead and is_ephemeral:
        return Dropped(reason="clock_future")
    detection = _detection(read, format_, camera, captured, received_at)
    return deadletter.of_detection("gateway", "clock_future", detection, received_at) if ahead else detection


def _detection(read: Read, format_: str, camera: Camera, captured: datetime, received_at: datetime) -> Detection:
    return Detection(
        event_id=event_id(camera.camera_id, read.key),
        camera_id=camera.camera_id,
        owner=camera.owner,
        format=format_,
        claimed_at=read.claimed_at,
        captured_at=captured,
        received_at=received_at,
        plate_raw=read.plate_raw,
        plate_confidence=read.plate_confidence,
        candidates=read.candidates,
        region=read.region,
        region_confidence=read.region_confidence,
        make=read.make,
        model=read.model,
        colour=read.colour,
        body=read.body,
        position=read.position,
        heading_deg=read.heading_deg,
        lane=read.lane,
    )
