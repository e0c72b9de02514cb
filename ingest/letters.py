"""What operators may do with the dead letters of their agency: see that they are there, look into one, put them back.

A letter holds a plate. It is shown only for a reason that is on the record first; putting letters back on the stream is
recorded first, too.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from ingest import deadletter, replay
from ingest.errors import IngestError, Refuse, Unavailable
from ingest.ports import Letters, Publisher, Registry
from ingest.replay import Kept, MakeLookup, Result
from schemas import topics, wire
from schemas.deadletters import DeadLetter, Reason, Stage
from schemas.detections import Detection
from schemas.entries import Entry
from schemas.owners import OwnerRules
from schemas.queries import Asker, Role

OPERATOR: Final[Role] = "camera_operator"
MAX_LETTERS: Final = 500
MAX_IDS: Final = 500
MIN_NOTE: Final = 3
MAX_NOTE: Final = 500

_CURSOR = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}\.[0-9]{1,6}\.[0-9]{1,15}\Z")]
_Note = Annotated[str, msgspec.Meta(min_length=MIN_NOTE, max_length=MAX_NOTE)]
_Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which letters: all that is set must hold. Pages go on before the place `before`, the `next` of a page."""

    letter_ids: Annotated[tuple[uuid.UUID, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)] | None = None
    reason: Reason | None = None
    stage: Stage | None = None
    camera_id: _Slug | None = None
    since: _Moment | None = None
    before: _CURSOR | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LETTERS)] = 100


class ReplayWanted(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which letters to put back. `dry_run` only says what would become of them; `note` is for the auditor."""

    dry_run: bool = False
    force: bool = False
    note: _Note | None = None


class RevealWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which letter to look into, and why."""

    letter_id: uuid.UUID
    note: _Note


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a letter's detection without a reason: when, and nothing of the vehicle."""

    claimed_at: datetime
    captured_at: datetime
    received_at: datetime
    has_plate: bool


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it is listed. `replayed_as` is the capture time with which it was put back, if it was."""

    letter_id: uuid.UUID
    stage: Stage
    reason: Reason
    at: datetime
    camera_id: str | None
    format: str | None
    size_bytes: int | None
    replayed_as: datetime | None
    detection: Redacted | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Letters, the newest first. `cut`: there are older ones than were looked at; a later `since` is none of them."""

    letters: tuple[LetterView, ...]
    next: str | None
    cut: bool


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """A letter with its detection, and the entry of the audit log that says who looked."""

    letter: LetterView
    detection: Detection
    entry: int


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one letter."""

    letter_id: uuid.UUID
    result: Result


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the letters of a page, the newest first. Without an entry, nothing was put back."""

    counts: dict[Result, int]
    letters: tuple[Judged, ...]
    next: str | None
    cut: bool
    entry: int | None


class Forbidden(Refuse):
    """Do not repeat this: the role is missing."""


class NotFound(Refuse):
    """Your agency has no such letter, or not any more."""


class Unrecorded(IngestError):
    """The audit log took no entry: nothing was shown, and nothing put back."""


Place = tuple[int, int, int]
"""Where a letter stands: time of writing, partition, offset. Later ones are greater."""

Record = Callable[[Entry], Awaitable[int]]
"""Appends an entry and returns its index. Raises Unrecorded."""


class LetterBox:
    """The dead letters, as operators come to them."""

    def __init__(
        self,
        letters: Letters,
        registry: Registry,
        publisher: Publisher,
        record: Record,
        lookup: MakeLookup,
        rules: OwnerRules,
        *,
        future_limit_s: float,
        count: Callable[[Reason, Result, int], None] = lambda *_: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know the parts; `count` is told what became of letters that were to be put back."""
        self._letters = letters
        self._registry = registry
        self._publisher = publisher
        self._record = record
        self._lookup = lookup
        self._rules = rules
        self._future_limit_s = future_limit_s
        self._count = count
        self._now = now
        self._one_look = asyncio.Lock()

    async def find(self, asker: Asker, wanted: Wanted) -> Page:
        """Return letters without what they hold. Raises Forbidden, Unavailable."""
        found, cut = await self._look(asker, wanted, with_expired=False)
        page = found[: wanted.limit]
        return Page(letters=tuple(map(_view, page)), next=_next(found, wanted.limit), cut=cut)

    async def reveal(self, asker: Asker, wanted: RevealWanted) -> Revealed:
        """Return a letter with its detection, once that is on the record.

        Raises Forbidden, NotFound (also for one that holds no detection), Unrecorded, Unavailable.
        """
        one = Wanted(letter_ids=(wanted.letter_id,), limit=1)
        found, _ = await self._look(asker, one, with_expired=False)
        if not found or found[0].letter.detection is None:
            raise NotFound("Your agency has no dead letter of this id that holds a read.")
        letter = found[0].letter
        index = await self._record(replay.entry("reveal", asker, [letter], wanted.note, self._now(), self._lookup))
        return Revealed(letter=_view(found[0]), detection=found[0].letter.detection, entry=index)

    async def replay(self, asker: Asker, wanted: ReplayWanted) -> Replayed:
        """Put letters back on the stream as far as the registry and the owners' rules of today allow it.

        Raises Forbidden; Unrecorded, and then nothing was put back; Unavailable, and then some may have been: doing it
        again is harmless.
        """
        found, cut = await self._look(asker, wanted, with_expired=True)
        page = found[: wanted.limit]
        verdicts = [self._judged(kept, wanted.force) for kept in page]
        good = [
            (kept.letter, verdict)
            for kept, verdict in zip(page, verdicts, strict=True)
            if isinstance(verdict, Detection)
        ]
        index, refused = None, set[uuid.UUID]()
        if good and not wanted.dry_run:
            letters = [letter for letter, _ in good]
            index = await self._record(replay.entry("replay", asker, letters, wanted.note, self._now(), self._lookup))
            refused = await self._put_back(good)
        judged = tuple(
            Judged(letter_id=kept.letter.letter_id, result=_result(kept, verdict, refused))
            for kept, verdict in zip(page, verdicts, strict=True)
        )
        if not wanted.dry_run:
            self._tell(page, judged)
        counts = Counter(one.result for one in judged)
        return Replayed(counts=dict(counts), letters=judged, next=_next(found, wanted.limit), cut=cut, entry=index)

    def _judged(self, kept: Kept, force: bool) -> Detection | Result:
        return replay.judge(
            kept, self._registry, self._rules, self._now(), future_limit_s=self._future_limit_s, force=force
        )

    async def _put_back(self, good: list[tuple[DeadLetter, Detection]]) -> set[uuid.UUID]:
        """Write the markers and then the detections; return the letters whose detection the broker refused."""
        markers = [replay.marker(letter, detection) for letter, detection in good]
        records = [(deadletter.key(one), wire.encode(one)) for one in markers]
        if any(await self._publisher.publish(topics.DEAD_LETTERS, records)):
            raise Unavailable("the broker refuses the markers")
        again = [(detection.camera_id.encode(), wire.encode(detection)) for _, detection in good]
        results = await self._publisher.publish(topics.DETECTIONS, again)
        return {letter.letter_id for (letter, _), error in zip(good, results, strict=True) if error is not None}

    def _tell(self, page: Iterable[Kept], judged: Iterable[Judged]) -> None:
        told = Counter((kept.letter.reason, one.result) for kept, one in zip(page, judged, strict=True))
        for (reason, result), number in told.items():
            self._count(reason, result, number)

    async def _look(self, asker: Asker, wanted: Wanted, *, with_expired: bool) -> tuple[list[Kept], bool]:
        """Return the agency's letters that are wanted, each once, the newest first; and whether older ones are left."""
        if OPERATOR not in asker.roles:
            raise Forbidden(f"This needs the role {OPERATOR}.")
        await self._registry.caught_up()
        now = self._now()
        letter_ids = None if wanted.letter_ids is None else frozenset(wanted.letter_ids)
        found = _Found(_place(wanted.before), wanted.limit + 1)

        def take(place: Place, letter: DeadLetter) -> None:
            if letter.replayed_as is not None:
                found.mark(letter.letter_id, letter.replayed_as)
            elif (
                _is_wanted(letter, wanted, letter_ids)
                and replay.is_seen_by(letter, asker.agency, self._registry)
                and (with_expired or not self._expired(letter, now))
            ):
                found.put(place, letter)

        async with self._one_look:  # so that what is held in memory at once is bounded
            cut = await self._letters.look(wanted.since, take)
        return found.newest(), cut

    def _expired(self, letter: DeadLetter, now: datetime) -> bool:
        detection = letter.detection
        return detection is not None and replay.is_expired(detection, self._registry, self._rules, now)


class _Found:
    """The newest letters before a place, each once: no more are kept than a page needs, however many there are."""

    def __init__(self, before: Place | None, wanted: int) -> None:
        self._before = before
        self._wanted = wanted
        self._letters: dict[uuid.UUID, tuple[Place, DeadLetter]] = {}
        self._marks: dict[uuid.UUID, datetime] = {}

    def put(self, place: Place, letter: DeadLetter) -> None:
        """Take a letter; one that was written again stands where it was written last."""
        self._letters.pop(letter.letter_id, None)
        if self._before is None or place < self._before:
            self._letters[letter.letter_id] = place, letter
        if len(self._letters) >= 2 * self._wanted:
            self._letters = {letter.letter_id: (place, letter) for place, letter in self._sorted()}

    def mark(self, letter_id: uuid.UUID, replayed_as: datetime) -> None:
        """Take the capture time with which a letter was put back."""
        self._marks[letter_id] = replayed_as

    def newest(self) -> list[Kept]:
        """Return as many as are wanted, the newest first."""
        return [
            Kept(place=place, letter=letter, replayed_as=self._marks.get(letter.letter_id))
            for place, letter in self._sorted()
        ]

    def _sorted(self) -> list[tuple[Place, DeadLetter]]:
        return sorted(self._letters.values(), key=lambda one: one[0], reverse=True)[: self._wanted]


def _is_wanted(letter: DeadLetter, wanted: Wanted, letter_ids: frozenset[uuid.UUID] | None) -> bool:
    return (
        (letter_ids is None or letter.letter_id in letter_ids)
        and wanted.reason in (None, letter.reason)
        and wanted.stage in (None, letter.stage)
        and wanted.camera_id in (None, letter.camera_id)
    )


def _result(kept: Kept, verdict: Detection | Result, refused: set[uuid.UUID]) -> Result:
    if not isinstance(verdict, Detection):
        return verdict
    return "refused_by_broker" if kept.letter.letter_id in refused else "replayed"


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    at, partition, offset = map(int, cursor.split("."))
    return at, partition, offset


def _next(found: list[Kept], limit: int) -> str | None:
    return ".".join(map(str, found[limit - 1].place)) if len(found) > limit else None


def _view(kept: Kept) -> LetterView:
    letter, detection = kept.letter, kept.letter.detection
    return LetterView(
        letter_id=letter.letter_id,
        stage=letter.stage,
        reason=letter.reason,
        at=letter.at,
        camera_id=letter.camera_id,
        format=letter.format,
        size_bytes=letter.size_bytes,
        replayed_as=kept.replayed_as,
        detection=None
        if detection is None
        else Redacted(
            claimed_at=detection.claimed_at,
            captured_at=detection.captured_at,
            received_at=detection.received_at,
            has_plate=detection.plate_raw is not None,
        ),
    )
