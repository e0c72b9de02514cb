"""A bound on what is held in memory at once, whatever the load."""

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.errors import SlowDown


class Budget:
    """Bytes that may be held at once over all requests."""

    def __init__(self, limit_bytes: int) -> None:
        """Begin with nothing held."""
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    @contextmanager
    def holding(self) -> Iterator["Held"]:
        """Open one request's share; all of it is given back at the end."""
        held = Held(self)
        try:
            yield held
        finally:
            self.held_bytes -= held.size_bytes

    def take(self, size_bytes: int) -> None:
        """Take from the budget. Raises SlowDown, and takes nothing, if that is more than is left."""
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise SlowDown
        self.held_bytes += size_bytes


class Held:
    """One request's share of a budget."""

    def __init__(self, budget: Budget) -> None:
        """Begin with nothing."""
        self._budget = budget
        self.size_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Hold so many bytes more. Raises SlowDown if the budget has no room for them."""
        self._budget.take(size_bytes)
        self.size_bytes += size_bytes
