"""The door for questions: decide, append the intent, read through the gate, append the end, answer.

The order is the point of it: nothing is read before its record is durable, and nothing leaves before the record of what
leaves is. A question that was begun is carried to its end even if the client has gone: it runs in a task of its own.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Literal, cast

import msgspec
import structlog

from schemas.entries import Disclosure, Entry, disclose
from schemas.plate import plate_key
from schemas.problems import Problem
from schemas.queries import MAX_POINTS, Answer, Asker, Point, Receipt, TrajectoryRequest, TravelLimits, Withheld
from search import record
from search.audit.errors import LogError
from search.audit.lookups import Lookups
from search.audit.ports import Appended, Log
from search.audit.receipts import receipt_of
from search.cursor import Cursors
from search.errors import Forbidden, Unavailable
from search.export import geojson
from search.idempotency import Keys
from search.matching import Sought
from search.policy import Policy
from search.ports import Index, Owners, Row, Scopes
from search.trajectory import Carry, Page, page

Format = Literal["json", "geojson"]

BUDGET_S: Final = 2.8
"""Seconds that a request may take in all."""

AT_ONCE: Final = 1024
"""Questions that are worked on at once; further ones are told to come back."""


class NobodyPermits(Forbidden):
    """No owner of cameras permits the question: it is on the record, and so is the refusal."""

    class Document(Problem, frozen=True, kw_only=True, omit_defaults=True):
        """The problem document, with why reads were withheld and where the question stands in the log."""

        withheld: Withheld
        intent: int
        receipt: Receipt

    def __init__(self, withheld: Withheld, intent: int, receipt: Receipt) -> None:
        """Know what to tell the asker of the record."""
        super().__init__("No owner of cameras permits this question. It was recorded, and so was the refusal.")
        self._record = (withheld, intent, receipt)

    def problem(self) -> Problem:
        """Return the problem document with the record."""
        withheld, intent, receipt = self._record
        return self.Document(status=self.status, detail=self.detail, withheld=withheld, intent=intent, receipt=receipt)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the door is made of: ports, keys, the owners' rules and the settings of an answer."""

    log: Log
    index: Index
    scopes: Scopes
    owners: Owners
    keys: Keys
    lookups: Lookups
    cursors: Cursors
    policy: Policy
    travel: TravelLimits
    pass_window_s: float


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: who asks what and how, and when (loop time) its time is up."""

    asker: Asker
    request: TrajectoryRequest
    format: Format
    deadline: float


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer belongs: a new question, or a page of a recorded intent from a position on."""

    intent: int | None = None
    carry: Carry | None = None
    delivered: int = 0
    lookup: bytes | None = None

    @property
    def limit(self) -> int:
        """How many points may still be delivered."""
        return MAX_POINTS - self.delivered


class _Open(msgspec.Struct, frozen=True, kw_only=True):
    """A question whose record is durable, with the disclosure that opens the gate."""

    asked: record.Asked
    entry: record.Opened
    receipt: Receipt
    disclosure: Disclosure
    limit: int


class Door:
    """Answers questions. Every public method is safe to call from many requests at once."""

    def __init__(self, parts: Parts, *, budget_s: float = BUDGET_S, at_once: int = AT_ONCE) -> None:
        """Ask with these parts; a request has `budget_s` seconds in all, and at most `at_once` are worked on."""
        self._parts = parts
        self._budget_s = budget_s
        self._at_once = at_once
        self._at_work: set[asyncio.Task[bytes]] = set()

    async def trajectory(
        self, asker: Asker, request: TrajectoryRequest, form: Format = "json", key: str | None = None
    ) -> bytes:
        """Answer a question, or a further page of one, and return the answer's bytes.

        `request` has its plate in normal form and its times in UTC, as `questions.decode` leaves it; `key` is its
        idempotency key. Raises Invalid, Forbidden, Conflict; NobodyPermits, which is on the record; Unavailable: what
        was recorded until then has its end, or gets one from the sweeper.
        """
        if "investigator" not in asker.roles:
            raise Forbidden("This needs the role investigator.")
        if len(self._at_work) >= self._at_once:
            raise Unavailable
        call = _Call(
            asker=asker,
            request=request,
            format=form,
            deadline=asyncio.get_running_loop().time() + self._budget_s,
        )
        task = asyncio.create_task(self._answer(call, key), name="question")
        self._at_work.add(task)
        task.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._budget_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable from None

    async def drain(self, limit_s: float = 5.0) -> None:
        """Wait until the questions that were begun have their ends, at most `limit_s` seconds."""
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=limit_s)

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._at_work.discard(task)
        if not task.cancelled():
            task.exception()  # its client may be gone: then nobody else takes note of it

    async def _answer(self, call: _Call, key: str | None) -> bytes:
        parts, person = self._parts, call.asker.person
        if call.request.cursor is not None:
            # A page never makes a new intent, however often it is asked for: it needs no idempotency key.
            cursor = parts.cursors.open(person, call.request)
            return await self._ask(call, _Place(intent=cursor.intent, carry=cursor.carry, delivered=cursor.delivered))
        if key is None:
            return await self._ask(call, _Place())
        async with _until(call.deadline):
            held = await parts.keys.hold(person, key, call.request)
        try:
            return await self._ask(call, _Place(intent=held.intent, lookup=held.lookup))
        finally:
            await parts.keys.settle(held)

    async def _ask(self, call: _Call, place: _Place) -> bytes:
        opened = await self._open(call, place)
        if not opened.asked.decisions.permitted:
            await self._append(record.denial(opened.asked, _now(), opened.entry))
            raise NobodyPermits(opened.asked.decisions.withheld(), opened.entry.intent, opened.receipt)
        found, points, end = await self._read(call, place, opened)
        outcome = await self._append(end)
        return self._encode(call, place, opened, found, points, outcome)

    async def _open(self, call: _Call, place: _Place) -> _Open:
        """Decide, and record the question: when this returns, and not before, the gate opens for it."""
        parts = self._parts
        limit = min(call.request.limit, place.limit)
        async with _until(call.deadline):
            decisions = parts.policy.decide(call.asker, call.request.purpose.code, await parts.owners.known())
            scope = await parts.scopes.put(decisions.scope_body)
        asked = record.Asked(asker=call.asker, request=call.request, format=call.format, decisions=decisions)
        disclosure = disclose("question", record.question(call.request, scope, limit, place.carry))
        if place.intent is None:
            entry = record.intent(asked, _now(), disclosure, parts.lookups, place.lookup)
        else:
            entry = record.page(asked, _now(), disclosure, place.intent, parts.lookups)
        async with _until(call.deadline):
            appended = await self._append(entry)
        intent = appended.index if place.intent is None else place.intent
        return _Open(
            asked=asked,
            entry=record.Opened(index=appended.index, intent=intent),
            receipt=receipt_of(appended),
            disclosure=disclosure,
            limit=limit,
        )

    async def _read(self, call: _Call, place: _Place, opened: _Open) -> tuple[Page, bytes, Entry]:
        """Read one page; return it, its points' bytes and its outcome. If that fails, the end is a failure."""
        reason: record.FailureReason = "internal"
        try:
            _hurry(call.deadline)
            async with asyncio.timeout_at(call.deadline):
                rows = await self._parts.index.trajectory(opened.entry.index, opened.disclosure.encoded())
            found = self._page(call, place, opened, rows)
            points = msgspec.json.encode(found.points)
            end = self._outcome(call, opened, found, len(rows[: opened.limit]), points)
            _hurry(call.deadline)  # else the record would say that something was delivered, to nobody
        except Unavailable:
            reason = "index_unavailable"
        except TimeoutError:
            reason = "out_of_time"
        except Exception as error:  # noqa: BLE001 - whatever it was, the question needs its end
            structlog.get_logger().error("question failed", error=type(error).__name__)
        else:
            return found, points, end
        await self._append(record.failure(opened.asked, _now(), opened.entry, reason))
        raise Unavailable

    def _page(self, call: _Call, place: _Place, opened: _Open, rows: list[Row]) -> Page:
        return page(
            rows,
            Sought(plate=call.request.plate, region=call.request.region),
            limit=opened.limit,
            pass_window_s=self._parts.pass_window_s,
            limits=self._parts.travel,
            carry=place.carry,
        )

    async def _append(self, entry: Entry) -> Appended:
        try:
            return await self._parts.log.append(entry)
        except LogError as error:
            structlog.get_logger().warning(
                "not recorded", kind=entry.kind, error=type(error).__name__, sqlstate=error.code
            )
            raise Unavailable from None

    def _outcome(self, call: _Call, opened: _Open, found: Page, rows: int, points: bytes) -> Entry:
        keys = [self._parts.lookups.mac("delivered_key", plate_key(call.request.plate))] if found.points else []
        return record.outcome(
            opened.asked,
            _now(),
            opened.entry,
            rows=rows,
            delivered=[point.pass_id for point in found.points],
            delivered_keys=keys,
            result=hashlib.sha256(points).hexdigest(),
        )

    def _encode(
        self, call: _Call, place: _Place, opened: _Open, found: Page, points: bytes, outcome: Appended
    ) -> bytes:
        withheld = opened.asked.decisions.withheld()
        delivered = place.delivered + len(found.points)
        following = None
        if found.carry is not None and delivered < MAX_POINTS:
            following = self._parts.cursors.seal(
                opened.entry.intent, found.carry, delivered, call.asker.person, call.request
            )
        answer = Answer(
            # The bytes that were hashed for the record, spliced in as they are.
            points=cast("tuple[Point, ...]", msgspec.Raw(points)) if call.format == "json" else found.points,
            legs=found.legs,
            splits=found.splits,
            limits=self._parts.travel,
            withheld=withheld,
            complete=withheld.owners == 0 and found.carry is None,
            intent=opened.entry.intent,
            outcome=outcome.index,
            receipt=opened.receipt,
            next=following,
        )
        return msgspec.json.encode(answer) if call.format == "json" else geojson.encode(answer, found.previous)


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """Raise Unavailable when the time (loop time) of a request is up before anything was read."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise Unavailable from None


def _hurry(deadline: float) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise TimeoutError


def _now() -> datetime:
    return datetime.now(UTC)
