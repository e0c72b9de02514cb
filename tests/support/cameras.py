"""Cameras for tests, with the keys that open the gateway to them."""

import secrets
from datetime import UTC, datetime
from typing import Any

from schemas import keys
from schemas.cameras import Camera

REGISTERED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def new_id() -> str:
    """Return a camera id that no other test has: they share a broker."""
    return f"cam-{secrets.token_hex(6)}"


def camera(camera_id: str | None = None, **changes: Any) -> tuple[Camera, str]:
    """Return a camera of the agency `north`, with changes, and its key."""
    made = keys.new()
    values: dict[str, Any] = {
        "camera_id": camera_id or new_id(),
        "owner": "north",
        "name": "Bridge, lane 1",
        "latitude": 42.3601,
        "longitude": -71.0589,
        "timezone": "America/New_York",
        "key_prefix": made.prefix,
        "key_sha256": made.sha256,
        "registered_at": REGISTERED_AT,
        **changes,
    }
    return Camera(**values), made.key
