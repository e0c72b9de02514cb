"""How long a read of a camera with `ephemeral` handling can be anywhere: the parts of a sum, in one place.

The law behind it (N.H. RSA 261:75-b) has an unmatched read deleted within three minutes of its capture. The broker's
part of the sum is in `topics/ephemeral.yaml` and in the broker's own configuration.
"""

from typing import Final

from schemas import topics

LIMIT_S: Final = 180.0
"""From the capture on."""

TAKEN_WITHIN_S: Final = 30.0
"""A read that arrives longer than this after its capture is not taken: it could not be gone in time."""

WAITING_S: Final = 40.0
"""The longest that a producer holds a record for a broker that does not answer."""

MATCHED_WITHIN_S: Final = 60.0
"""A read that the matcher comes to longer than this after its arrival is not looked at: it is lost, and counted."""


def longest_s(check_interval_ms: int) -> float:
    """Return how many seconds after its capture the last copy of a read is off the broker's disk, at the worst.

    `check_interval_ms` is the broker's `log.retention.check.interval.ms`: how often it looks for what is to go.
    """
    topic = topics.load(topics.EPHEMERAL)
    broker_ms = topic.retention_ms + topic.segment_ms + check_interval_ms + (topic.delete_delay_ms or 0)
    return TAKEN_WITHIN_S + WAITING_S + broker_ms / 1000
