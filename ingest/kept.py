"""Reads as the enricher keeps them while later ones may join their passes: as few bytes as may be. Pure.

Nearly every vehicle is read once, so that nearly no read is looked at again, and a minute's reads are many.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from schemas.detections import Candidate, Crop, Position
from schemas.sightings import Sighting, StoredDoubt, Trait

_Word = tuple[str, float | None, str | None, str | None]

_Packed = tuple[
    int, datetime, datetime, str | None, str, str | None, float | None, tuple[tuple[str, float], ...],
    str | None, float | None, str, str, float, float, str, float, float,
    _Word | None, _Word | None, _Word | None, _Word | None, float | None, int | None,
    tuple[StoredDoubt, ...], int, str | None, str | None,
]  # fmt: skip


def pack(read: Sighting) -> bytes:
    """Return everything of a read but its pass id."""
    place, crop = read.position, read.crop
    return _encode(
        (
            read.revision, read.captured_at, read.received_at, read.plate, read.plate_key, read.plate_raw,
            read.plate_confidence, [(one.plate, one.confidence) for one in read.candidates],
            read.region, read.region_confidence, read.camera_id, read.owner, place.latitude, place.longitude,
            read.timezone, read.clock_uncertainty_s, read.skew_s,
            _word(read.make), _word(read.model), _word(read.colour), _word(read.body), read.heading_deg, read.lane,
            read.doubts, read.normaliser_version, read.superseded_by, None if crop is None else crop.sha256,
        )
    )  # fmt: skip


def unpack(pass_id: int, packed: bytes) -> Sighting:
    """Return a packed read again, with its pass id (as number)."""
    (
        revision, captured_at, received_at, plate, plate_key, plate_raw, plate_confidence, candidates,
        region, region_confidence, camera_id, owner, latitude, longitude, timezone, clock_uncertainty_s, skew_s,
        make, model, colour, body, heading_deg, lane, doubts, normaliser_version, superseded_by, crop,
    ) = _decode(packed)  # fmt: skip
    return Sighting(
        pass_id=UUID(int=pass_id),
        revision=revision,
        captured_at=captured_at,
        received_at=received_at,
        plate=plate,
        plate_key=plate_key,
        plate_raw=plate_raw,
        plate_confidence=plate_confidence,
        candidates=tuple(Candidate(plate=text, confidence=confidence) for text, confidence in candidates),
        region=region,
        region_confidence=region_confidence,
        camera_id=camera_id,
        owner=owner,
        position=Position(latitude=latitude, longitude=longitude),
        timezone=timezone,
        clock_uncertainty_s=clock_uncertainty_s,
        skew_s=skew_s,
        make=_trait(make),
        model=_trait(model),
        colour=_trait(colour),
        body=_trait(body),
        heading_deg=heading_deg,
        lane=lane,
        doubts=doubts,
        normaliser_version=normaliser_version,
        superseded_by=superseded_by,
        crop=None if crop is None else Crop(sha256=crop),
    )


def _word(trait: Trait | None) -> _Word | None:
    return None if trait is None else (trait.value, trait.confidence, trait.code, trait.said)


def _trait(word: _Word | None) -> Trait | None:
    return None if word is None else Trait(value=word[0], confidence=word[1], code=word[2], said=word[3])


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Packed).decode
