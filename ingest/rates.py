"""How fast one camera may push, so that one that floods does not starve the others. Pure: the caller tells the time.

A bucket is one number a camera: the moment at which all that it took will have been earned again (the generic cell
rate algorithm). Buckets that are full again are forgotten, so a gateway remembers those cameras alone that pushed
within the last moments.
"""

import math
from typing import Final

import msgspec

from ingest.errors import Limited

SWEEP_AT: Final = 1024
"""With so many buckets the full ones are forgotten; then again with twice those that are left."""


class Rate(msgspec.Struct, frozen=True):
    """So many a second, and so many at once by whom took none before."""

    per_s: float
    burst: int


class Buckets:
    """The buckets of all cameras for one rate."""

    def __init__(self, rate: Rate) -> None:
        """Begin with full ones."""
        self._interval_s = 1 / rate.per_s
        self._depth_s = rate.burst / rate.per_s
        self._full_at: dict[str, float] = {}
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        """Return how many buckets are remembered."""
        return len(self._full_at)

    def wait_s(self, camera_id: str, now_s: float) -> float:
        """Return how long this camera has to wait until its bucket is not empty: 0 if it is not."""
        debt_s = self._full_at.get(camera_id, now_s) - now_s - self._depth_s + self._interval_s
        # Sums of floats are off by a little; a camera that waited as it was told is not sent away for that.
        return debt_s if debt_s > 1e-6 else 0.0

    def take(self, camera_id: str, number: int, now_s: float) -> None:
        """Take so many, even if there are fewer: what is missing has to be earned before `wait_s` is 0 again."""
        full_at = max(self._full_at.get(camera_id, now_s), now_s)
        self._full_at[camera_id] = full_at + number * self._interval_s
        if len(self._full_at) >= self._sweep_at:
            self._full_at = {camera: at for camera, at in self._full_at.items() if at > now_s}
            self._sweep_at = max(SWEEP_AT, 2 * len(self._full_at))


class Rates:
    """What one camera may push: requests, and items in them."""

    def __init__(self, requests: Rate, items: Rate) -> None:
        """Begin with nothing taken."""
        self._requests = Buckets(requests)
        self._items = Buckets(items)

    def request(self, camera_id: str, now_s: float) -> None:
        """Count a request before its body is read. Raises Limited: then it is not counted.

        How many items come is seen later, so a camera that took more than it had is refused until it earned them.
        """
        waits: tuple[tuple[float, Limited.Reason], ...] = (
            (self._requests.wait_s(camera_id, now_s), "requests"),
            (self._items.wait_s(camera_id, now_s), "items"),
        )
        wait_s, reason = max(waits)
        if wait_s > 0:
            raise Limited(reason, math.ceil(wait_s))
        self._requests.take(camera_id, 1, now_s)

    def items(self, camera_id: str, number: int, now_s: float) -> None:
        """Count the items of a request that was let in."""
        self._items.take(camera_id, number, now_s)
