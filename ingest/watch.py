"""The worker behind camera health: reports and dead letters of cameras, folded into the table, batch by batch."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from ingest import deadletter, isolating
from ingest.errors import IngestError, Unwritable
from ingest.health import Letter, Unfit, check
from ingest.ports import UNOBSERVED, Fetched, Message, Observer, Part, Sink, Source
from ingest.runner import Finish, Limits, Runner
from schemas import topics, wire
from schemas.deadletters import DeadLetter, Reason
from schemas.health import CameraReport

NAME: Final = "health"

Change = CameraReport | Letter


class TooManyUnusable(IngestError):
    """So many messages in a row could not be used that the fault is likely ours: nothing of this batch is committed."""


class States(Part, Protocol):
    """What is known of each camera, kept durably."""

    async def fold(self, changes: Sequence[Change]) -> None:
        """Fold changes into the states of their cameras, all or none; what is in already changes nothing.

        Raises Unavailable, Misconfigured; and Unwritable if the values of one are refused.
        """
        ...


class Watch(Runner):
    """One running worker. What it can't use becomes a dead letter, unless it is one."""

    def __init__(
        self,
        source: Source,
        states: States,
        letters: Sink[DeadLetter],
        *,
        parts: Sequence[Part] = (),
        limits: Limits | None = None,
        observer: Observer = UNOBSERVED,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know where to read, what to keep up to date, and where to set aside what cannot be used."""
        super().__init__(NAME, source, parts=(*parts, states), limits=limits, observer=observer)
        self._states = states
        self._letters = letters
        self._clock = clock
        self._folded = 0
        self._unusable = 0
        self._in_a_row = 0

    async def _prepare(self, fetched: Fetched) -> Finish:
        return partial(self._work_off, fetched)

    async def _work_off(self, fetched: Fetched) -> None:
        now = self._clock()
        found = [_change(message, now) for message in fetched.messages]
        changes = [(at, one) for at, one in enumerate(found) if isinstance(one, Change)]
        refused = await self._fold([change for _, change in changes]) if changes else {}
        for place, says in refused.items():
            at, change = changes[place]
            found[at] = _poisoned(change, says)
        self._watch(fetched.messages, found)
        letters = [
            self._letter(message, one)
            for message, one in zip(fetched.messages, found, strict=True)
            if isinstance(one, _Unusable) and message.topic == topics.CAMERA_HEALTH
        ]
        if letters:
            with self._timed("letters"):
                await self._through_outages(lambda: self._letters.write(letters))
        if await self._commit(fetched):
            self._count(found, letters)

    async def _fold(self, changes: Sequence[Change]) -> dict[int, str]:
        """Fold changes; return the places of those that the states refuse, and what they say of each."""
        says: dict[int, str] = {}

        async def fold(start: int, stop: int) -> None:
            try:
                await self._through_outages(lambda: self._states.fold(changes[start:stop]))
            except Unwritable as error:
                says[start] = str(error)  # the last time that it is said of a place, it is of that one alone
                raise

        with self._timed("write"):
            return {at: says[at] for at in await isolating.refused(fold, len(changes), self._limits.failures)}

    def _count(self, found: Sequence["_Found"], letters: Sequence[DeadLetter]) -> None:
        folded = sum(isinstance(one, Change) for one in found)
        self._folded += folded
        self._unusable += sum(isinstance(one, _Unusable) for one in found)
        reasons = Counter(letter.reason for letter in letters)
        self._observer.made(written=folded, dropped=len(found) - folded - len(letters), again=0, letters=reasons)

    def _done(self) -> Mapping[str, int]:
        return {"folded": self._folded, "unusable": self._unusable}

    def _watch(self, messages: Sequence[Message], found: Sequence["_Found"]) -> None:
        """Say which messages of a batch cannot be used. Raises TooManyUnusable if there are too many in a row.

        What was folded beside them may be folded again.
        """
        unusable = Counter[tuple[str, str]]()
        longest = 0
        for message, one in zip(messages, found, strict=True):
            if isinstance(one, _Unusable):
                unusable[message.topic, one.says] += 1
                self._in_a_row += 1
                longest = max(longest, self._in_a_row)
            else:
                self._in_a_row = 0
        for (topic, says), number in unusable.items():
            structlog.get_logger().error("unusable", stage=NAME, topic=topic, reason=says, messages=number)
        if longest > self._limits.failures:
            raise TooManyUnusable(f"more than {self._limits.failures} messages in a row cannot be used")

    def _letter(self, message: Message, unusable: "_Unusable") -> DeadLetter:
        size, place = len(message.value or b""), f"{message.topic}\x1f{message.partition}\x1f{message.offset}"
        if unusable.reason == "undecodable":
            return deadletter.of_bytes(NAME, place, size, self._clock())
        return deadletter.of_report(unusable.reason, place, unusable.camera_id, size, self._clock())


class _Unusable(NamedTuple):
    """A message of which nothing can be folded: the reason of its letter, what the log says, and whom it speaks of."""

    reason: Reason
    says: str
    camera_id: str = ""


_Found = CameraReport | Letter | _Unusable | None


def _change(message: Message, now: datetime) -> _Found:
    """Return what a message says of a camera; None if nothing."""
    try:
        change = _decoded(message)
    except wire.Undecodable as error:
        return _Unusable("undecodable", str(error))
    if change is None:
        return None
    try:
        check(change, now)
    except Unfit as error:
        return _poisoned(change, str(error))
    return change


def _poisoned(change: Change, says: str) -> _Unusable:
    return _Unusable("poisoned", says, "" if isinstance(change, Letter) else change.camera_id)


def _decoded(message: Message) -> Change | None:
    value = message.value or b""
    if message.topic == topics.CAMERA_HEALTH:
        return wire.decode(value, CameraReport)
    letter = wire.decode(value, DeadLetter)
    if letter.camera_id is None or letter.reason != "conflicting_resend":
        return None
    return Letter(partition=message.partition, offset=message.offset, letter=letter)
