"""What a process counts of each camera until it reports: bounded, and without anything of a read. Pure."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from ingest.enrich import position_disagrees
from ingest.formats.read import Read
from schemas.cameras import Camera
from schemas.health import CONFIDENCE_UNIT, REPORTERS, CameraReport

SKEWS_KEPT: Final = 256
LOW: Final = 10
"""A tenth of the skews is below the one that is reported: one wrong stamp among many does not make it."""


class Taken(Protocol):
    """One item of a request, as its camera is told of it."""

    @property
    def status(self) -> str:
        """`accepted`, `dropped` or `rejected`."""
        ...

    @property
    def reason(self) -> str | None:
        """Why, unless it was accepted."""
        ...


class Seen:
    """What the reads of one request say of their camera."""

    def __init__(self) -> None:
        """Begin with no read."""
        self.confidence_total = 0
        self.confidences = 0
        self.positions = 0
        self.positions_off = 0
        self.skews: list[float] = []

    def read(self, read: Read, camera: Camera, received_at: datetime) -> None:
        """Take a read of a camera; one that names another camera says nothing of this one."""
        if read.camera_id is not None and read.camera_id != camera.camera_id:
            return
        self.skews.append((received_at - read.claimed_at).total_seconds())
        if read.plate_confidence is not None:
            self.confidences += 1
            self.confidence_total += round(read.plate_confidence * CONFIDENCE_UNIT)
        if read.position is not None:
            self.positions += 1
            self.positions_off += position_disagrees(read.position, camera)


class _Tally:
    """One camera, since the last report."""

    def __init__(self) -> None:
        self.last_seen_at: datetime | None = None
        self.first_read_at: datetime | None = None
        self.last_read_at: datetime | None = None
        self.statuses: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.seen = Seen()
        self.skews = 0

    def add(self, seen: Seen) -> None:
        mine = self.seen
        mine.confidence_total += seen.confidence_total
        mine.confidences += seen.confidences
        mine.positions += seen.positions
        mine.positions_off += seen.positions_off
        self.skews += len(seen.skews)
        mine.skews = thinned(mine.skews + seen.skews)

    def report(self, camera_id: str, source: uuid.UUID, sequence: int, until: datetime) -> CameraReport:
        return CameraReport(
            camera_id=camera_id,
            source=source,
            sequence=sequence,
            until=until,
            last_seen_at=self.last_seen_at,
            first_read_at=self.first_read_at,
            last_read_at=self.last_read_at,
            accepted=self.statuses["accepted"],
            dropped=self.statuses["dropped"],
            rejected=dict(self.rejected),
            refused=dict(self.refused),
            confidence_total=self.seen.confidence_total,
            confidences=self.seen.confidences,
            positions=self.seen.positions,
            positions_off=self.seen.positions_off,
            skews=self.skews,
            skew_low_s=low(self.seen.skews),
        )


class Tallies:
    """Every camera that was heard of since the last report: one small tally each, whatever it sends."""

    def __init__(self, source: uuid.UUID | None = None) -> None:
        """Begin with none; `source` names this run of the process."""
        self._source = source or uuid.uuid4()
        self._sequence = 0
        self._tallies: dict[str, _Tally] = {}

    def took(self, camera_id: str, at: datetime, items: Sequence[Taken], seen: Seen) -> None:
        """Count a request that was answered item by item."""
        tally = self._of(camera_id, at)
        tally.statuses.update(item.status for item in items)
        tally.rejected.update(item.reason or "" for item in items if item.status == "rejected")
        tally.add(seen)
        if any(item.status == "accepted" for item in items):
            tally.first_read_at = min(tally.first_read_at or at, at)
            tally.last_read_at = max(tally.last_read_at or at, at)

    def refused(self, camera_id: str, reason: str) -> None:
        """Count a refused request, by one of `schemas.health.Refusal`. It need not have come from the camera."""
        self._of(camera_id, None).refused[reason] += 1

    def heard(self, camera_id: str, at: datetime) -> None:
        """Note that a camera proved itself, whatever it sent."""
        self._of(camera_id, at)

    def take(self, now: datetime) -> list[CameraReport]:
        """Return a report of each camera, and of this process itself, and begin anew."""
        taken, self._tallies = self._tallies, {}
        self._sequence += 1
        itself = CameraReport(
            camera_id=REPORTERS, source=self._source, sequence=self._sequence, until=now, last_seen_at=now
        )
        return [
            itself,
            *(tally.report(camera_id, self._source, self._sequence, now) for camera_id, tally in taken.items()),
        ]

    def _of(self, camera_id: str, at: datetime | None) -> _Tally:
        tally = self._tallies.get(camera_id)
        if tally is None:
            tally = self._tallies[camera_id] = _Tally()
        if at is not None:
            tally.last_seen_at = max(tally.last_seen_at or at, at)
        return tally


def thinned(values: list[float]) -> list[float]:
    """Return at most `SKEWS_KEPT` of the values, spread over them by rank, the lowest among them."""
    while len(values) > SKEWS_KEPT:
        values = sorted(values)[::2]
    return values


def low(values: Sequence[float]) -> float | None:
    """Return a value that a tenth of them is below; the lowest of a few; None of none."""
    return sorted(values)[(len(values) - 1) // LOW] if values else None
