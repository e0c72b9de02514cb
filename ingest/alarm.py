"""When a topic that forgets soon is not read in time: said once when it begins, and once when it is over. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

ALARM_S: Final = 180.0
"""Age of the oldest unread record of an inbox that is an alarm: what is lost at ten minutes can still be saved."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a topic has been read: records behind which no offset lies, and when the oldest of them was appended.

    `lost` are those that expired before they were read, since the last commit, and those that no client can read.
    """

    unread: int
    oldest_at: datetime | None
    lost: int = 0

    def age_s(self, now: datetime) -> float:
        """Return the age of the oldest unread record in seconds, 0 if there is none."""
        return max(0.0, (now - self.oldest_at).total_seconds()) if self.oldest_at is not None else 0.0

    def is_late(self, now: datetime) -> bool:
        """Tell whether it is an alarm."""
        return self.age_s(now) >= ALARM_S or self.lost > 0


class Alarm:
    """Which networks are read too late. `tell` hears of each beginning (True) and end (False)."""

    def __init__(self, tell: Callable[[str, Standing, bool], None]) -> None:
        """Begin without any."""
        self._tell = tell
        self.late: frozenset[str] = frozenset()

    def heed(self, standings: Mapping[str, Standing], now: datetime) -> None:
        """Take in how all networks stand."""
        late = frozenset(name for name, standing in standings.items() if standing.is_late(now))
        for name in sorted(late ^ self.late):
            self._tell(name, standings[name], name in late)
        self.late = late
