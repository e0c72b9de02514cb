"""Whether this process's clock agrees with the broker's, which says with each record when it was appended."""

import time
from typing import Final

import structlog

LIMIT_S: Final = 60.0
"""Clocks that differ by more than this are wrong: reads would be dropped too early, or land in another day."""

SAY_S: Final = 60.0
"""How often that is said."""

_LOG: Final = structlog.get_logger()


class Clocks:
    """Compares both, and says so if they differ."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._said_s = -SAY_S

    def compare(self, appended_ms: int, *, since_s: float | None) -> None:
        """Compare, by the time (ms) of a record that is here now.

        It was appended after `since_s` (of the monotonic clock), or, if that is None, at any time before now.
        """
        ahead_s = time.time() - appended_ms / 1000
        now_s = time.monotonic()
        is_ahead = since_s is not None and ahead_s > LIMIT_S + now_s - since_s
        if (is_ahead or ahead_s < -LIMIT_S) and now_s - self._said_s >= SAY_S:
            self._said_s = now_s
            _LOG.error("clock_differs", ahead_of_the_broker_s=round(ahead_s))
