"""Platetrail's own format: one JSON object a read."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from ingest import pictures
from ingest.formats import clean
from ingest.formats.read import Outcome, Read, Rejected
from schemas.detections import (
    MAX_CANDIDATES,
    MAX_RAW_PLATE_LENGTH,
    MAX_WORD_LENGTH,
    Attribute,
    Candidate,
    Position,
    default_key,
)

Confidence = Annotated[float, msgspec.Meta(ge=0, le=1, description="from 0 to 1")]


class NativeWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word for make, model, colour or body, in the camera's own vocabulary."""

    value: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD_LENGTH)]
    confidence: Confidence | None = None


class NativeCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """Another reading that the camera thought possible."""

    plate: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_RAW_PLATE_LENGTH)]
    confidence: Confidence


class NativePosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where the camera believes it is (WGS 84). 0,0 and what is out of range count as unknown."""

    latitude: float
    longitude: float


class NativeDetection(msgspec.Struct, frozen=True, kw_only=True):
    """One read. Fields that are not listed are ignored, and never stored."""

    captured_at: Annotated[
        datetime, msgspec.Meta(tz=True, description="RFC 3339 with offset, by the camera's own clock")
    ]
    plate: (
        Annotated[str, msgspec.Meta(max_length=MAX_RAW_PLATE_LENGTH, description="as read; null if none was read")]
        | None
    ) = None
    plate_confidence: Confidence | None = None
    candidates: Annotated[
        list[NativeCandidate], msgspec.Meta(description=f"best first; the first {MAX_CANDIDATES} are kept")
    ] = []
    region: (
        Annotated[str, msgspec.Meta(max_length=16, description="country, or country and state, such as `us-ma`")] | None
    ) = None
    region_confidence: Confidence | None = None
    make: NativeWord | None = None
    model: NativeWord | None = None
    colour: NativeWord | None = None
    body: NativeWord | None = None
    lane: Annotated[int, msgspec.Meta(ge=0, le=99)] | None = None
    heading_deg: Annotated[float, msgspec.Meta(ge=0, le=360, description="of the vehicle, from true north")] | None = (
        None
    )
    position: NativePosition | None = None
    camera_id: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=128,
                description="of the camera that proves itself; a read that names another one is rejected",
            ),
        ]
        | None
    ) = None
    key: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=128,
                description="the camera's own id of this read; without it, time, plate and lane identify it",
            ),
        ]
        | None
    ) = None
    crop: (
        Annotated[
            str,
            msgspec.Meta(
                description=f"the plate alone: JPEG or PNG in base64, at most {pictures.MAX_WIDTH} x"
                f" {pictures.MAX_HEIGHT} pixels and {pictures.MAX_BYTES // 1024} KiB; another picture is left out"
            ),
        ]
        | None
    ) = None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of one native detection, or Rejected with the place that is wrong."""
    try:
        item = msgspec.convert(payload, NativeDetection)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    claimed_at = clean.utc(item.captured_at)
    if claimed_at is None:
        return (Rejected(reason="time", pointer="/captured_at"),)
    plate_raw = clean.plate(item.plate)
    return (
        Read(
            key=_key(item, claimed_at, plate_raw),
            claimed_at=claimed_at,
            plate_raw=plate_raw,
            plate_confidence=item.plate_confidence,
            candidates=_candidates(item.candidates) if item.candidates else (),
            region=clean.text(item.region),
            region_confidence=item.region_confidence,
            make=_word(item.make),
            model=_word(item.model),
            colour=_word(item.colour),
            body=_word(item.body),
            position=_position(item.position),
            heading_deg=item.heading_deg,
            lane=item.lane,
            camera_id=item.camera_id,
            picture=clean.picture(item.crop),
        ),
    )


_SEPARATOR: Final = "\x1f"


def _key(item: NativeDetection, claimed_at: datetime, plate_raw: str | None) -> str:
    """Return the read's key. A camera's own one is joined with the time: counters restart at reboot."""
    if item.key is None:
        return default_key(claimed_at, plate_raw, item.lane)
    return f"{item.key}{_SEPARATOR}{claimed_at.isoformat()}"


def _word(given: NativeWord | None) -> Attribute | None:
    return clean.word(given.value, given.confidence) if given else None


def _position(given: NativePosition | None) -> Position | None:
    return clean.position(given.latitude, given.longitude) if given else None


def _candidates(given: list[NativeCandidate]) -> tuple[Candidate, ...]:
    cleaned = ((clean.plate(item.plate), item.confidence) for item in given[:MAX_CANDIDATES])
    return tuple(Candidate(plate=plate, confidence=confidence) for plate, confidence in cleaned if plate)
