"""A camera as the registry knows it: the authority for owner, position, time zone and trust in its clock."""

from datetime import datetime
from typing import Literal

import msgspec

ClockUse = Literal["trusted", "offset", "arrival"]
"""How captured_at is made: the claimed time; the claimed time plus a fixed offset; or the time of arrival."""

DEFAULT_CLOCK_UNCERTAINTY_S = 2.0


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """One registered camera: the value of the compacted topic `cameras` and a row of the table `camera`.

    `key_sha256` is the SHA-256 (hex) of the camera's whole key text; the key itself is shown once and kept nowhere.
    `revision` grows by one with each change, so that a replayed older record never undoes a newer one.
    """

    camera_id: str
    owner: str
    name: str
    latitude: float
    longitude: float
    timezone: str
    key_prefix: str
    key_sha256: str
    heading_deg: float | None = None
    clock_use: ClockUse = "trusted"
    clock_offset_s: float = 0.0
    clock_uncertainty_s: float = DEFAULT_CLOCK_UNCERTAINTY_S
    active: bool = True
    registered_at: datetime
    revision: int = 0
