"""Reads that may be matched and not kept: each is looked up among the plates that are wanted now, and let go. Pure."""

from collections import Counter
from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from schemas import ephemeral
from schemas.detections import Detection
from schemas.plate import normalise

Outcome = Literal["matched", "discarded", "late"]
"""What became of a read. `late`: it is past its time, and was not looked at."""

NOBODY: Final[frozenset[str]] = frozenset()
"""The plates that are wanted as long as there are no hot lists: none, so that every read is discarded."""

_WITHIN: Final = timedelta(seconds=ephemeral.MATCHED_WITHIN_S)


class Tally:
    """How many reads had which outcome since the process started; no more than that is kept of any."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.of: Counter[str] = Counter()

    def add(self, outcome: Outcome | Literal["unusable", "expired"], number: int = 1) -> None:
        """Count reads. `unusable`: no read, or matching failed. `expired`: gone from the topic before they were got."""
        self.of[outcome] += number

    @property
    def seen(self) -> int:
        """Reads that the matcher got."""
        return self.of.total() - self.of["expired"]

    @property
    def lost(self) -> int:
        """Reads that nobody compared with anything, though they were in order."""
        return self.of["late"] + self.of["expired"]


def match(wanted: Container[str], now: datetime, batch: Sequence[Detection]) -> list[Outcome]:
    """Return what became of each read, in order. `wanted` are plates in normal form."""
    return [_one(wanted, now, detection) for detection in batch]


def _one(wanted: Container[str], now: datetime, detection: Detection) -> Outcome:
    if detection.received_at < now - _WITHIN:
        return "late"
    plate = normalise(detection.plate_raw)
    return "matched" if plate is not None and plate in wanted else "discarded"
