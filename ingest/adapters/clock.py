"""Whether this process's clock agrees with the broker's, which says with each record when it was appended."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import TopicPartition

LIMIT_S: Final = 60.0
"""Clocks that differ by more than this are wrong: reads would be dropped too early, or land in another day."""

SAY_S: Final = 60.0
"""How often that is said."""

ANSWERED_S: Final = 5.0
"""What a broker said of a partition's end is remembered if it was said within this."""

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


class FetchedClocks:
    """Compares both by what a consumer fetches.

    What lies behind a partition's end, as it was known, was appended since.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._clocks = Clocks()
        self._ends: dict[TopicPartition, tuple[int, float]] = {}

    def compare(self, consumer: Any, found: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Compare by the last messages that were fetched, and remember the ends of what the consumer has."""
        for at, messages in found.items():
            end, since_s = self._ends.get(at, (0, None))
            is_behind = since_s is not None and messages[-1].offset >= end
            self._clocks.compare(messages[-1].timestamp, since_s=since_s if is_behind else None)
            if is_behind:
                del self._ends[at]  # it has served
        before, self._ends = self._ends, {}
        for at in consumer.assignment():
            end, answer = consumer.highwater(at), consumer.last_poll_timestamp(at)
            ago_s = math.inf if answer is None else max(0.0, time.time() - answer / 1000)
            if end is not None and ago_s < ANSWERED_S and before.get(at, (end,))[0] == end:
                self._ends[at] = end, time.monotonic() - ago_s
            elif at in before:
                self._ends[at] = before[at]
