"""Errors of the write side, sorted by what the caller must do: retry, slow down, set aside, refuse.

None of them carries a text of the message at fault: a plate or a key in an exception would end in a log.
"""

from collections.abc import Sequence
from typing import Literal

from schemas.deadletters import Reason


class IngestError(Exception):
    """Base of all errors of the write side."""


class Retry(IngestError):
    """Nothing is known to have happened: do the same again later. Deterministic ids make that harmless."""


class Unavailable(Retry):
    """A part that we depend on (the broker, the database) does not answer in time."""


class NotYet(Unavailable):
    """A source cannot tell yet what comes next. It has lost its hold of nothing, and may be asked again."""


class Unsettled(IngestError):
    """Nobody can tell whether something was written: the process must end, and its successor begins at the offsets."""


class Fenced(IngestError):
    """Another worker was given what this one was working on: the process must end, and has written nothing of it."""


class SlowDown(IngestError):
    """More arrives than can be held; do the same again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1) -> None:
        """Know how long the caller should wait."""
        super().__init__("too much at once")
        self.retry_after_s = retry_after_s


class Limited(SlowDown):
    """One camera brings more than a camera may; the others are unaffected. The reason may be a metric's label."""

    Reason = Literal["requests", "items", "bytes"]

    def __init__(self, reason: Reason, retry_after_s: int = 1) -> None:
        """Know what there was too much of, and how long the camera should wait."""
        super().__init__(retry_after_s)
        self.reason: Limited.Reason = reason


class SetAside(IngestError):
    """This message can never be used: put it into the dead letters with this reason and go on."""

    def __init__(self, reason: Reason) -> None:
        """Know the reason; it is one of a closed list, so it may be a metric's label."""
        super().__init__(reason)
        self.reason: Reason = reason


class Refuse(IngestError):
    """The request is at fault: sending it again as it is changes nothing."""


class PublishError(Refuse):
    """The broker has refused one record for good (too large, not authorised); the others are unaffected."""


class TooLarge(PublishError):
    """This record is larger than its topic takes."""


class Oversized(IngestError):
    """Some of what was to be written is larger than its topic takes. Everything else of it is written."""

    def __init__(self, places: Sequence[int]) -> None:
        """Know the places of those in the list that was to be written, from 0."""
        super().__init__(f"{len(places)} records are larger than their topic takes")
        self.places = tuple(places)


class Unwritable(IngestError):
    """The values of something that was to be written are refused; the rest may be written without it.

    Halving what was to be written finds it (`ingest.isolating`).
    """


class Unreadable(IngestError):
    """The client can't read what stands next in a topic, and so nothing behind it, until that has expired."""


class Misconfigured(IngestError):
    """The installation is wrong (a missing topic, other partitions than its file says): a human must mend it."""
