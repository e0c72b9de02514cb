"""The worker behind camera health: reports and dead letters of cameras, folded into the table, batch by batch."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import structlog

from ingest.errors import IngestError
from ingest.health import Letter
from ingest.ports import UNOBSERVED, Fetched, Message, Observer, Part, Source
from ingest.runner import Finish, Limits, Runner
from schemas import topics, wire
from schemas.deadletters import DeadLetter
from schemas.health import CameraReport

NAME: Final = "health"

Change = CameraReport | Letter


class TooManyUnusable(IngestError):
    """So many messages in a row were none that the fault is likely ours: nothing of this batch is committed."""


class States(Part, Protocol):
    """What is known of each camera, kept durably."""

    async def fold(self, changes: Sequence[Change]) -> None:
        """Fold changes into the states of their cameras, all or none; what is in already changes nothing.

        Raises Unavailable, Misconfigured.
        """
        ...


class Watch(Runner):
    """One running worker."""

    def __init__(
        self, source: Source, states: States, *, limits: Limits | None = None, observer: Observer = UNOBSERVED
    ) -> None:
        """Know where to read and what to keep up to date."""
        super().__init__(NAME, source, parts=(states,), limits=limits, observer=observer)
        self._states = states
        self._folded = 0
        self._unusable = 0
        self._in_a_row = 0

    async def _prepare(self, fetched: Fetched) -> Finish:
        return partial(self._work_off, fetched)

    async def _work_off(self, fetched: Fetched) -> None:
        found = [self._change(message) for message in fetched.messages]
        changes = [change for change in found if change is not None]
        if changes:
            with self._timed("write"):
                await self._through_outages(lambda: self._states.fold(changes))
        if await self._commit(fetched):
            self._folded += len(changes)
            self._observer.made(written=len(changes), dropped=len(found) - len(changes), again=0, letters={})

    def _done(self) -> Mapping[str, int]:
        return {"folded": self._folded, "unusable": self._unusable}

    def _change(self, message: Message) -> Change | None:
        """Return what a message says of a camera; None if nothing, or if it can't be read."""
        try:
            change = _decoded(message)
        except wire.Undecodable as error:
            self._unusable += 1
            self._in_a_row += 1
            if self._in_a_row == 1:
                structlog.get_logger().error("unusable", stage=NAME, topic=message.topic, reason=str(error))
            if self._in_a_row > self._limits.failures:
                raise TooManyUnusable(f"more than {self._limits.failures} messages in a row are none") from None
            return None
        self._in_a_row = 0
        return change


def _decoded(message: Message) -> Change | None:
    value = message.value or b""
    if message.topic == topics.CAMERA_HEALTH:
        return wire.decode(value, CameraReport)
    letter = wire.decode(value, DeadLetter)
    if letter.camera_id is None or letter.reason != "conflicting_resend":
        return None
    return Letter(partition=message.partition, offset=message.offset, letter=letter)
