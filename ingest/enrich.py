"""Detections into sightings: normalised, placed by the registry, checked. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from ingest import deadletter, normalise, plates, regions
from ingest.retention import Cutoffs
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason
from schemas.detections import MAX_CANDIDATES, Detection, Position
from schemas.owners import OwnerRules
from schemas.plate import no_plate_key, plate_key
from schemas.plate import normalise as normal_form
from schemas.sightings import Sighting, StoredDoubt

LOW_CONFIDENCE: Final = 0.8
"""A plate read with less is doubtful. Readers are right about nine times in ten over all, less often below this."""

POSITION_TOLERANCE_M: Final = 1000.0
"""How far a camera's own position may be from the registry's before the two disagree."""

CLOCK_AHEAD_S: Final = 30.0
"""A capture that claims to be later than its arrival by more than this has a wrong clock."""

CLOCK_BEHIND_S: Final = 900.0
"""An arrival later than this after the capture: a message held back, or a slow clock. Nobody can tell which."""

Outcome = Sighting | DeadLetter | None
"""What became of a detection; None: it must not be kept (any longer), and leaves no trace but a count."""

_AHEAD: Final = timedelta(seconds=-CLOCK_AHEAD_S)
_BEHIND: Final = timedelta(seconds=CLOCK_BEHIND_S)
_EARTH_RADIUS_M: Final = 6_371_008.8


class Cameras(Protocol):
    """What the enricher asks of the registry."""

    def get(self, camera_id: str) -> Camera | None:
        """Return a camera by its id, retired ones too."""
        ...


class _Place:
    """What all reads of a camera have in common, worked out once."""

    __slots__ = ("camera", "is_ephemeral", "no_plate_key", "owner", "position")

    def __init__(self, camera: Camera | None) -> None:
        self.camera = camera
        self.owner = camera.owner if camera is not None else None
        # Its reads may not be kept: it may have been standard when a read came in.
        self.is_ephemeral = camera is not None and camera.handling == "ephemeral"
        if camera is not None:
            self.position = Position(latitude=camera.latitude, longitude=camera.longitude)
            self.no_plate_key = no_plate_key(camera.camera_id)

    def is_expired(self, detection: Detection, cutoffs: Cutoffs) -> bool:
        """Say whether a read is past its owner's days; where registry and message differ, the stricter one's."""
        cutoff = cutoffs.of(detection.owner)
        if self.owner is not None and detection.owner != self.owner:
            cutoff = max(cutoff, cutoffs.of(self.owner))
        return detection.captured_at <= cutoff


class Places:
    """What is worked out of each camera, kept for as long as the registry's record of it is the same."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._of: dict[str, _Place] = {}

    def of(self, camera: Camera | None) -> _Place:
        """Return what reads of a camera have in common; None is one that the registry does not know."""
        if camera is None:
            return _NOWHERE
        found = self._of.get(camera.camera_id)
        if found is None or found.camera is not camera:
            found = self._of[camera.camera_id] = _Place(camera)
        return found


_NOWHERE: Final = _Place(None)


def enrich(
    cameras: Cameras, rules: OwnerRules, now: datetime, batch: Sequence[Detection], places: Places | None = None
) -> list[Outcome]:
    """Return what became of each detection, in order. `places` spares work from one batch to the next."""
    cutoffs = Cutoffs(rules, now)
    places = places or Places()
    met: dict[str, _Place] = {}
    outcomes: list[Outcome] = []
    for detection in batch:
        place = met.get(detection.camera_id)
        if place is None:
            place = met[detection.camera_id] = places.of(cameras.get(detection.camera_id))
        outcomes.append(_one(place, cutoffs, now, detection))
    return outcomes


def _one(place: _Place, cutoffs: Cutoffs, now: datetime, detection: Detection) -> Outcome:
    # Before everything else: a dead letter would be a trace of a read that must not be kept.
    if place.is_ephemeral or place.is_expired(detection, cutoffs):
        return None
    camera = place.camera
    if camera is None:
        return _letter("unknown_camera", detection, now)
    if camera.owner != detection.owner:
        return _letter("wrong_owner", detection, now)
    if not camera.active:
        return _letter("retired_camera", detection, now)
    return _sighting(detection, camera, place)


def _letter(reason: Reason, detection: Detection, now: datetime) -> DeadLetter:
    return deadletter.of_detection("enricher", reason, detection, now)


def _sighting(detection: Detection, camera: Camera, place: _Place) -> Sighting:
    plate = normal_form(detection.plate_raw)
    region = regions.region(detection.region)
    make = normalise.make(detection.make)
    model, disagree = normalise.model(detection.model, make)
    return Sighting(
        pass_id=detection.event_id,
        captured_at=detection.captured_at,
        received_at=detection.received_at,
        plate=plate,
        plate_key=plate_key(plate) if plate is not None else place.no_plate_key,
        plate_raw=detection.plate_raw,
        plate_confidence=detection.plate_confidence,
        candidates=detection.candidates[:MAX_CANDIDATES],
        region=region,
        region_confidence=detection.region_confidence if region is not None else None,
        camera_id=camera.camera_id,
        owner=camera.owner,
        position=place.position,
        timezone=camera.timezone,
        clock_uncertainty_s=camera.clock_uncertainty_s,
        skew_s=(detection.received_at - detection.claimed_at).total_seconds(),
        make=make,
        model=model,
        colour=normalise.colour(detection.colour),
        body=normalise.body(detection.body),
        heading_deg=detection.heading_deg,
        lane=detection.lane,
        doubts=_doubts(detection, camera, plate, region, attributes_disagree=disagree),
        crop=detection.crop,
    )


def _doubts(
    detection: Detection, camera: Camera, plate: str | None, region: str | None, *, attributes_disagree: bool
) -> tuple[StoredDoubt, ...]:
    """Return what speaks against a read as far as one read tells, in the order of the list of doubts."""
    doubts: list[StoredDoubt] = []
    if plate is not None and detection.plate_confidence is not None and detection.plate_confidence < LOW_CONFIDENCE:
        doubts.append("low_confidence")
    if attributes_disagree:
        doubts.append("attributes_disagree")
    if camera.clock_use != "arrival" and _clock_is_off(detection):
        doubts.append("clock_skew")
    if detection.position is not None and position_disagrees(detection.position, camera):
        doubts.append("position_disagrees")
    if plate is not None and plates.is_impossible(plate, region):
        doubts.append("implausible_format")
    if camera.clock_use == "arrival":
        doubts.append("arrival_time")
    return tuple(doubts)


def _clock_is_off(detection: Detection) -> bool:
    # The capture time is the claimed one after the camera's fixed offset: that offset alone is no doubt.
    return not _AHEAD <= detection.received_at - detection.captured_at <= _BEHIND


def position_disagrees(claimed: Position, camera: Camera) -> bool:
    """Say whether a camera claims to be elsewhere than where it is registered."""
    unset = (
        (claimed.latitude == 0 and claimed.longitude == 0) or abs(claimed.latitude) > 90 or abs(claimed.longitude) > 180
    )
    return not unset and _distance_m(claimed, camera) > POSITION_TOLERANCE_M


def _distance_m(claimed: Position, camera: Camera) -> float:
    """Great-circle distance by the haversine formula, on a sphere of the Earth's mean radius."""
    first, second = math.radians(claimed.latitude), math.radians(camera.latitude)
    half = math.sin((second - first) / 2) ** 2
    half += math.cos(first) * math.cos(second) * math.sin(math.radians(camera.longitude - claimed.longitude) / 2) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(math.sqrt(half))
