"""When so much fails that the fault is likely ours: the worker ends, rather than to drain the topic. Pure."""

from collections import deque
from collections.abc import Container, Sequence
from typing import Final

from ingest.errors import IngestError
from schemas.deadletters import DeadLetter, Reason

FAILURES: Final[frozenset[Reason]] = frozenset({"undecodable", "poisoned", "unknown_camera"})
"""Reasons that speak of us rather than of one camera: too many in a row stop the worker."""

UNWRITABLE: Final[frozenset[Reason]] = frozenset({"too_large", "poisoned"})
"""The same, of what is found only when it is written."""

STALE: Final[frozenset[Reason]] = frozenset({"unknown_camera", "wrong_owner", "retired_camera"})
"""Reasons that a registry which lags behind the messages would give wrongly."""


class TooManyFailures(IngestError):
    """So many messages could not be used that the fault is likely ours: nothing of this batch is committed.

    But where what is written and what is committed are one transaction, which messages are too large to be written is
    known only then: of a batch with too many of those, everything is committed, and nothing after it.
    """


class Failures:
    """Counts messages that could not be used, for reasons that speak of us rather than of one camera."""

    def __init__(self, in_a_row: int, window: int, reasons: Container[Reason]) -> None:
        """Bear `in_a_row` of them, and half of the last `window` messages."""
        self._most_in_a_row = in_a_row
        self._window = window
        self._reasons = reasons
        self._in_a_row = 0
        self._last: deque[bool] = deque()
        self._of_last = 0

    def watch(self, made: Sequence[Sequence[object] | None]) -> None:
        """Count what became of messages; None is one that is only read again. Raises TooManyFailures."""
        if self.is_clean and not any(isinstance(part, DeadLetter) for one in made if one for part in one):
            return  # good ones before the first that failed change nothing, and most batches are these
        for one in made:
            if one is not None:
                self._count(any(isinstance(part, DeadLetter) and part.reason in self._reasons for part in one))

    @property
    def is_clean(self) -> bool:
        """Say whether none of the last messages failed: good ones need not be counted then."""
        return not self._of_last

    def _count(self, failed: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._in_a_row > self._most_in_a_row:
            raise TooManyFailures(f"more than {self._most_in_a_row} messages in a row could not be used")
        self._last.append(failed)
        self._of_last += failed
        if len(self._last) > self._window:
            self._of_last -= self._last.popleft()
        if self._of_last * 2 > self._window:
            raise TooManyFailures(f"more than half of {self._window} messages could not be used")
