"""Reports of cameras for tests."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.health import fold
from schemas.health import CameraReport, CameraState

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOURCE = uuid.UUID(int=1)


def report(sequence: int = 1, at: datetime = NOW, **changes: Any) -> CameraReport:
    """Return a report of one accepted read that arrived at a time, and was reported at once."""
    values: dict[str, Any] = {
        "camera_id": "cam-1",
        "source": SOURCE,
        "sequence": sequence,
        "until": at,
        "last_seen_at": at,
        "first_read_at": at,
        "last_read_at": at,
        "accepted": 1,
        **changes,
    }
    return CameraReport(**values)


def folded(reports: Iterable[CameraReport], state: CameraState | None = None) -> CameraState:
    """Return what is known after these reports."""
    state = state or CameraState()
    for each in reports:
        state = fold(state, each)
    return state


def every(minutes: float, since: datetime, until: datetime) -> list[CameraReport]:
    """Return reports of a camera that reads once in so many minutes."""
    number = int((until - since) / timedelta(minutes=minutes))
    return [report(n + 1, since + n * timedelta(minutes=minutes)) for n in range(number + 1)]
