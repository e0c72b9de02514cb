"""A batch stage: fetch, decode, a pure function, what the stage remembers, one write, commit.

Writes are idempotent: a batch may come again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from ingest import deadletter, isolating, traces
from ingest.errors import Misconfigured, Oversized, SetAside, Unwritable
from ingest.failures import FAILURES, STALE, UNWRITABLE, Failures
from ingest.failures import TooManyFailures as TooManyFailures
from ingest.made import Counts, Form, Made
from ingest.ports import (
    UNOBSERVED,
    Atomic,
    Fetched,
    Kept,
    Message,
    Observer,
    Part,
    Place,
    Sink,
    Source,
    Step,
    Trace,
)
from ingest.runner import Finish, Runner
from ingest.runner import Limits as Limits
from schemas import wire
from schemas.deadletters import DeadLetter, Reason
from schemas.deadletters import Stage as StageName
from schemas.detections import Detection
from schemas.offsets import Written
from schemas.sightings import Sighting

In = TypeVar("In", bound=Detection | Sighting)
Out = TypeVar("Out")
Taken = TypeVar("Taken", contravariant=True)

SLICE: Final = 128
"""Of so many messages after one another all is worked out before the next ones are looked at.

What is made on the way is let go of while it is still in the processor's cache: in slices of 5,000 the same work takes
a sixth more time.
"""

BREATH: Final = 2 * SLICE
"""After so many messages the loop's other tasks have their turn."""

_NOT_EVEN_SHORT: Final = "the topic of dead letters takes not even short ones"
_LOG: Final = structlog.get_logger()


class Memory(Protocol[Taken, Out]):
    """What a stage remembers from batch to batch, partition by partition.

    It is lost with the process, and made again out of the messages from where the stage has kept the offsets.
    """

    def resume(self, written: Mapping[Place, Written]) -> None:
        """Forget everything, and begin with these partitions, of which so much was written before."""
        ...

    def advance(
        self,
        messages: Sequence[Message],
        items: Sequence[Taken | DeadLetter],
        outcomes: Sequence[Out | DeadLetter | None],
    ) -> Sequence[Sequence[Out | DeadLetter] | Exception | None]:
        """Take messages, what they hold, and the function's outcomes; return what is to be written of each.

        None: it was worked off before, and is only read again. An exception, which is returned and not raised: its
        item cannot be used, for the reason of a SetAside, or because it is poison.
        """
        ...

    def kept(self, places: Collection[Place], idle_s: Mapping[Place, float]) -> Mapping[Place, Kept]:
        """Return what to commit of partitions, once what was made is written; `idle_s` as in `Fetched`."""
        ...


class State(Protocol):
    """State that the function reads, and that can be brought up to date."""

    async def caught_up(self) -> None:
        """Return when everything that is there now has been read. Raises Unavailable."""
        ...


def as_it_is(item: Out) -> Out:
    """Return an item: the `form` of a stage whose sink takes what its function returns."""
    return item


@dataclass(frozen=True, kw_only=True)
class Work(Generic[In, Out, Form]):
    """What a stage does: the name it signs with, how it reads bytes (or raises wire.Undecodable), and a pure function.

    The function returns one outcome for each item, in order: what to write, a dead letter, or None for a read that is
    dropped without trace. It may be called again with any part of a batch. A stage with a memory writes what that
    makes of the outcomes. `form` makes of each what the sink takes.
    """

    name: StageName
    decode: Callable[[bytes], In]
    function: Callable[[Sequence[In]], Sequence[Out | DeadLetter | None]]
    form: Callable[[Out], Form]
    memory: Memory[In, Out] | None = None


@dataclass
class _Batch(Generic[Form]):
    """What was worked out of a batch; `kept` is what to commit of it, once this batch is written and no later one."""

    fetched: Fetched
    made: Made[Form]
    kept: Mapping[Place, Kept]
    traced: Mapping[int, Trace]


class Stage(Runner, Generic[In, Out, Form]):
    """One running batch stage. `run` raises TooManyFailures besides what every runner does."""

    def __init__(
        self,
        source: Source,
        work: Work[In, Out, Form],
        sink: Sink[Form],
        letters: Sink[DeadLetter],
        *,
        atomic: Atomic[Form] | None = None,
        parts: Sequence[Part] = (),
        state: State | None = None,
        limits: Limits | None = None,
        observer: Observer = UNOBSERVED,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know what to read, do and write. `run` starts `parts` in this order, then the source, and stops them.

        `state` is what the function reads besides its batch. With `atomic`, this writes and commits in place of the two
        sinks and the source.
        """
        super().__init__(
            work.name, source, parts=(*parts, atomic) if atomic is not None else parts, limits=limits, observer=observer
        )
        self.counts = Counts()
        self._work, self._sink, self._letters = work, sink, letters
        self._atomic = atomic
        self._state = state
        self._clock = clock
        self._failures = Failures(self._limits.failures, self._limits.failure_window, FAILURES)
        self._unwritable = Failures(self._limits.failures, self._limits.failure_window, UNWRITABLE)
        self._epoch: int | None = None
        self._poisons: Counter[str] = Counter()

    async def _prepare(self, fetched: Fetched) -> Finish:
        self.counts.fetched += len(fetched.messages)
        traced = self._observer.traced(fetched.messages)
        made = await self._worked_out(fetched)
        if self._poisons:
            _LOG.error("poisoned", stage=self._work.name, errors=dict(self._poisons))
            self._poisons.clear()
        if made.letters or not self._failures.is_clean:
            self._failures.watch(made.failed())
        # Said now, since the memory is further by the time at which this is committed.
        batch = _Batch(fetched, made, self._kept(fetched), traced)
        return partial(self._deliver, batch)

    async def _worked_out(self, fetched: Fetched) -> Made[Form]:
        memory = self._work.memory
        if memory is not None and fetched.epoch != self._epoch:
            memory.resume(fetched.written)
            self._epoch = fetched.epoch
        made: Made[Form] = Made(len(fetched.messages))
        spent: dict[Step, float] = {"decode": 0.0, "function": 0.0, "memory": 0.0}
        for start in range(0, len(fetched.messages), SLICE):
            messages = fetched.messages[start : start + SLICE]
            began = time.perf_counter()
            decoded = [self._decoded(message) for message in messages]
            read = time.perf_counter()
            outcomes = await self._outcomes(decoded)
            applied = time.perf_counter()
            if memory is None:
                made.take(start, outcomes, self._work.form)
            else:
                told = self._told(memory, messages, decoded, outcomes)
                made.take_several(start, outcomes, told, self._work.form)
            spent["decode"] += read - began
            spent["function"] += applied - read
            spent["memory"] += time.perf_counter() - applied
            if start % BREATH == 0:
                await asyncio.sleep(0)  # the batch before is being written meanwhile: whoever takes it must not run dry
        for step, seconds in spent.items():
            self._observer.took(step, seconds)
        return made

    async def _deliver(self, batch: _Batch[Form]) -> None:
        if self._atomic is not None:
            await self._deliver_at_once(batch, self._atomic)
            return
        made = batch.made
        write = traces.writer(self._sink, batch.traced, made.places)
        try:
            too_large = await self._write("write", write, made.items)
            left_out = self._left_out(batch.fetched, {made.places[at] for at in too_large})
        except Unwritable:
            left_out = await self._written_but_refused(batch)
        made.leave_out(left_out)
        if left_out or not self._unwritable.is_clean:
            self._unwritable.watch(made.failed())
        await self._set_down(made.letters)
        committed = await self._commit(batch.fetched, batch.kept)
        if committed:
            self._count(made)
        traces.end(batch.traced, made, committed=committed)

    async def _deliver_at_once(self, batch: _Batch[Form], atomic: Atomic[Form]) -> None:
        """Write and commit what comes of each partition, all or nothing; partitions beside one another."""
        # An idle partition that was taken over, and of which nothing was read since, has nothing to say.
        members: dict[Place, set[int]] = {place: set() for place in {*batch.fetched.positions, *batch.kept}}
        for at, message in enumerate(batch.fetched.messages):
            members[message.topic, message.partition].add(at)
        parts = zip(members, batch.made.split(list(members.values())), strict=True)
        with self._timed("write"):
            tries = [self._deliver_place(batch, atomic, place, part) for place, part in parts]
            found = await asyncio.gather(*tries, return_exceptions=True)
        for left_out in found:
            if isinstance(left_out, BaseException):
                raise left_out
            batch.made.leave_out(left_out)
        if batch.made.letters or not self._unwritable.is_clean:
            self._unwritable.watch(batch.made.failed())
        self._observer.finished(committed=True)
        self._committed(batch.fetched)
        self._count(batch.made)
        traces.end(batch.traced, batch.made, committed=True)

    async def _deliver_place(
        self, batch: _Batch[Form], atomic: Atomic[Form], place: Place, part: Made[Form]
    ) -> Mapping[int, DeadLetter]:
        """Write what comes of one partition; return the letters of messages that were left out for their size."""
        kept = batch.kept.get(place)
        fetched = batch.fetched
        offset, beside = (fetched.positions[place], "") if kept is None else (kept[0], fetched.beside(place, kept[1]))
        left_out: dict[int, DeadLetter] = {}
        short: set[int] = set()
        while True:
            whole = [deadletter.shortened(one) if at in short else one for at, one in enumerate(part.letters)]
            headers = traces.headers(batch.traced, part.places)
            write = partial(atomic.write, place, part.items, whole, offset, beside, headers)
            try:
                await self._through_outages(write)
                return left_out
            except Oversized as error:
                items = len(part.items)
                over = {part.places[at] for at in error.places if at < items}
                large = {at - items for at in error.places if at >= items}
            if over:
                letters = self._left_out(batch.fetched, over)
                left_out |= letters
                part.leave_out(letters)
                short = set()  # letters have moved
            elif large & short:
                raise Misconfigured(_NOT_EVEN_SHORT)
            else:
                short |= large

    async def _written_but_refused(self, batch: _Batch[Form]) -> dict[int, DeadLetter]:
        """Write all but the items that are refused alone; return a letter for each message of theirs."""
        made = batch.made
        too_large: set[int] = set()

        async def write(start: int, stop: int) -> None:
            places = made.places[start:stop]
            writing = traces.writer(self._sink, batch.traced, places)
            too_large.update(places[at] for at in await self._write("write", writing, made.items[start:stop]))

        refused = {made.places[at] for at in await isolating.refused(write, len(made.items), self._limits.failures)}
        return self._left_out(batch.fetched, too_large - refused) | self._left_out(batch.fetched, refused, "poisoned")

    def _left_out(self, fetched: Fetched, places: Collection[int], why: Reason = "too_large") -> dict[int, DeadLetter]:
        """Return a letter for each message of which something can't be written: it is too large, or is refused."""
        if places:
            _LOG.error("unwritable" if why == "poisoned" else why, stage=self._work.name, messages=len(places))
        return {at: self._set_aside(self._decoded(fetched.messages[at]), SetAside(why)) for at in places}

    def _count(self, made: Made[Form]) -> None:
        self.counts.add(made)
        reasons = Counter(letter.reason for letter in made.letters)
        self._observer.made(written=len(made.items), dropped=len(made.dropped), again=len(made.again), letters=reasons)

    async def _set_down(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters; one that is too large itself is shortened. Raises Misconfigured if that is too long, too."""
        too_large = await self._write("letters", self._letters.write, letters)
        if await self._write("letters", self._letters.write, [deadletter.shortened(letters[at]) for at in too_large]):
            raise Misconfigured(_NOT_EVEN_SHORT)

    async def _write(self, step: Step, write: traces.Write, items: Sequence[Any]) -> Sequence[int]:
        """Write items; return the places of those that are too large for where they go."""

        async def attempt() -> Sequence[int]:
            try:
                await write(items)
            except Oversized as error:
                return error.places
            return ()

        if not items:
            return ()
        with self._timed(step):
            return await self._through_outages(attempt)

    def _done(self) -> Mapping[str, int]:
        return vars(self.counts)

    def _told(
        self,
        memory: Memory[In, Out],
        messages: Sequence[Message],
        decoded: Sequence[In | DeadLetter],
        outcomes: Sequence[Out | DeadLetter | None],
    ) -> Sequence[Sequence[Out | DeadLetter] | DeadLetter | None]:
        told = memory.advance(messages, decoded, outcomes)
        return [
            self._set_aside(item, one) if isinstance(one, Exception) else one
            for item, one in zip(decoded, told, strict=True)
        ]

    def _kept(self, fetched: Fetched) -> Mapping[Place, Kept]:
        memory = self._work.memory
        return memory.kept({*fetched.positions, *fetched.idle_s}, fetched.idle_s) if memory is not None else {}

    def _decoded(self, message: Message) -> In | DeadLetter:
        value = message.value or b""
        try:
            return self._work.decode(value)
        except wire.Undecodable:
            place = f"{message.topic}\x1f{message.partition}\x1f{message.offset}"
            return deadletter.of_bytes(self._work.name, place, len(value), self._clock())

    async def _outcomes(self, decoded: Sequence[In | DeadLetter]) -> list[Out | DeadLetter | None]:
        outcomes = self._applied(decoded)
        if self._state is not None and _any_stale(outcomes):
            await self._through_outages(self._state.caught_up)
            outcomes = self._applied(decoded)
        return outcomes

    def _applied(self, decoded: Sequence[In | DeadLetter]) -> list[Out | DeadLetter | None]:
        items: list[Any] = [item for item in decoded if not isinstance(item, DeadLetter)]
        outcomes = self._isolating(items)
        if len(items) == len(decoded):
            return outcomes
        following = iter(outcomes)
        return [item if isinstance(item, DeadLetter) else next(following) for item in decoded]

    def _isolating(self, items: Sequence[In]) -> list[Out | DeadLetter | None]:
        """Apply the function; where it raises, halve the batch until the items at fault stand alone."""
        if not items:
            return []
        try:
            outcomes = list(self._work.function(items))
        except Exception as error:  # noqa: BLE001 - a function that raises on one message must not stop all others
            if len(items) == 1:
                return [self._poisoned(items[0], error)]
            middle = len(items) // 2
            return self._isolating(items[:middle]) + self._isolating(items[middle:])
        if len(outcomes) != len(items):
            raise AssertionError("a stage's function returns one outcome for each item")
        return outcomes

    def _poisoned(self, item: Detection | Sighting, error: Exception) -> DeadLetter:
        # The name of the error alone: its text may quote the message.
        self._poisons[type(error).__name__] += 1
        return self._letter("poisoned", item)

    def _set_aside(self, item: In | DeadLetter, error: Exception) -> DeadLetter:
        if isinstance(item, DeadLetter):
            return item
        return self._letter(error.reason, item) if isinstance(error, SetAside) else self._poisoned(item, error)

    def _letter(self, reason: Reason, item: Detection | Sighting) -> DeadLetter:
        if isinstance(item, Detection):
            return deadletter.of_detection(self._work.name, reason, item, self._clock())
        return deadletter.of_sighting(self._work.name, reason, item, self._clock())


def _any_stale(outcomes: Sequence[object]) -> bool:
    return any(isinstance(outcome, DeadLetter) and outcome.reason in STALE for outcome in outcomes)
