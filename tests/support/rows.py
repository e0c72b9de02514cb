"""Rows as the gate returns them, for tests of what is made of them."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from search.ports import Row

START = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def row(at_s: float = 0.0, camera_id: str = "cam-1", plate: str = "ABC123", **changes: Any) -> Row:
    """Return a row captured `at_s` seconds after `START`, with whatever else is changed."""
    fields: dict[str, Any] = {
        "pass_id": uuid.UUID(int=next(_numbers)),
        "captured_at": START + timedelta(seconds=at_s),
        "plate": plate,
        "region": "US-MO",
        "owner": "north",
        "camera_id": camera_id,
        "latitude": 38.0,
        "longitude": -90.0,
        "timezone": "America/Chicago",
        "clock_uncertainty_s": 2.0,
        "skew_s": 0.4,
        "plate_raw": plate,
    }
    return Row(**(fields | changes))
