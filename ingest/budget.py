"""A bound on what is held in memory at once, whatever the load, and on each camera's share of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ingest.errors import Limited, SlowDown

REQUEST_BYTES: Final = 8 * 1024
"""About what a request takes besides its body: it counts, so that many empty ones are bounded too."""


class Budget:
    """Bytes that may be held at once over all requests, and those of them that one camera may hold."""

    def __init__(self, limit_bytes: int, share_bytes: int | None = None) -> None:
        """Begin with nothing held. Without `share_bytes` one camera may hold all."""
        self._limit_bytes = limit_bytes
        self._share_bytes = limit_bytes if share_bytes is None else share_bytes
        self._of_camera: dict[str, int] = {}  # of those alone that hold something: bounded by what is held
        self.held_bytes = 0

    @contextmanager
    def holding(self, camera_id: str) -> Iterator["Held"]:
        """Open one request's part; all of it is given back at the end."""
        held = Held(self, camera_id)
        try:
            yield held
        finally:
            self._give_back(camera_id, held.size_bytes)

    def take(self, camera_id: str, size_bytes: int) -> None:
        """Take from the budget. Raises Limited or SlowDown, and takes nothing, if it is more than is left."""
        of_camera = self._of_camera.get(camera_id, 0) + size_bytes
        if of_camera > self._share_bytes:
            raise Limited("bytes")
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise SlowDown
        self._of_camera[camera_id] = of_camera
        self.held_bytes += size_bytes

    def _give_back(self, camera_id: str, size_bytes: int) -> None:
        self.held_bytes -= size_bytes
        left = self._of_camera.get(camera_id, 0) - size_bytes
        if left > 0:
            self._of_camera[camera_id] = left
        else:
            self._of_camera.pop(camera_id, None)


class Held:
    """One request's part of a budget."""

    def __init__(self, budget: Budget, camera_id: str) -> None:
        """Begin with nothing."""
        self._budget = budget
        self._camera_id = camera_id
        self.size_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Hold so many bytes more. Raises SlowDown if there is no room, Limited if the camera has its share."""
        self._budget.take(self._camera_id, size_bytes)
        self.size_bytes += size_bytes
