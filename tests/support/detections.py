"""Detections and sightings for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.detections import Detection, Position, event_id
from schemas.plate import plate_key
from schemas.sightings import Sighting

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def detection(number: int = 0, **changes: Any) -> Detection:
    """Return a detection of camera `cam-1` of the agency `north`, one second after the one of the number before."""
    captured_at = changes.get("captured_at", NOW - timedelta(hours=1) + timedelta(seconds=number))
    values: dict[str, Any] = {
        "event_id": event_id(changes.get("camera_id", "cam-1"), f"key-{number}"),
        "camera_id": "cam-1",
        "owner": "north",
        "format": "native",
        "claimed_at": captured_at,
        "captured_at": captured_at,
        "received_at": captured_at + timedelta(seconds=2),
        "plate_raw": f"ABC {number:04d}",
        "plate_confidence": 0.95,
        **changes,
    }
    return Detection(**values)


def sighting(number: int = 0, **changes: Any) -> Sighting:
    """Return a sighting of camera `cam-1` of the agency `north`."""
    captured_at = changes.get("captured_at", NOW - timedelta(hours=1) + timedelta(seconds=number))
    plate = changes.get("plate", f"ABC{number:04d}")
    values: dict[str, Any] = {
        "pass_id": event_id("cam-1", f"key-{number}"),
        "captured_at": captured_at,
        "received_at": captured_at + timedelta(seconds=2),
        "plate": plate,
        "plate_key": plate_key(plate) if plate else "~cam-1",
        "camera_id": "cam-1",
        "owner": "north",
        "position": Position(latitude=42.3601, longitude=-71.0589),
        "timezone": "America/New_York",
        "clock_uncertainty_s": 2.0,
        "skew_s": 2.0,
        **changes,
    }
    return Sighting(**values)
