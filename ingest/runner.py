"""The loop of every worker that reads a topic in batches: fetch, work out, write, commit, and bear outages for a while.

Offsets move only after everything that a batch leads to is acknowledged, so a crash at any point does a batch again. An
error that is not an outage ends the process: a worker that goes on after it loses messages.

Two batches are under way at the most: while one is written and committed, the next is fetched and worked out. It is
written only when the one before is committed, so a batch that fails leaves everything after it unwritten.
"""

import asyncio
import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from ingest.errors import IngestError, Misconfigured, NotYet, Retry
from ingest.ports import UNOBSERVED, Fetched, Kept, Observer, Part, Place, Source, Step

_LOG: Final = structlog.get_logger()

T = TypeVar("T")

Finish = Callable[[], Awaitable[None]]
"""Writes what a batch leads to, and commits it."""

STOP_S: Final = 5.0
"""How long a write that was called off may take to end."""

LAST_S: Final = 1.0
"""How long a start, or a fetch, may go on when the worker was told to end: without a broker it might for ever."""


class Stopped(Exception):
    """The worker was told to end while it waited for a part to come back."""


async def unless_stopped(waiting: Coroutine[Any, Any, T], stop: asyncio.Event) -> T:
    """Wait for what a worker has no batch of yet. Raises Stopped if it is told to end, and that does not come."""
    work, stopping = asyncio.create_task(waiting), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=LAST_S)
        if not work.done():
            raise Stopped
        return work.result()
    finally:
        stopping.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=STOP_S)
            if work.done() and not work.cancelled():
                work.exception()  # of what was called off: nobody minds


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an outage is borne before the worker ends, how often it is tried, and how many failures are.

    The worker ends with more than `failures` in a row; a stage also with more than half of the last `failure_window`
    messages. It ends after `refusals` batches in a row that it could not commit, too: two workers of one name take the
    partitions from each other for ever, and write the same again and again.
    """

    outage_s: float = 120.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0
    failures: int = 200
    failure_window: int = 1000
    refusals: int = 20
    report_s: float = 30.0


class Runner(ABC):
    """One running worker. A kind of worker says what a batch leads to (`_prepare`), and what it has done (`_done`)."""

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        parts: Sequence[Part] = (),
        limits: Limits | None = None,
        observer: Observer = UNOBSERVED,
    ) -> None:
        """Know what it calls itself, where it reads, and whom it tells of it.

        `run` starts `parts` in this order, then the source.
        """
        self._observer = observer
        self._name = name
        self._source = source
        self._parts = (*parts, source)
        self._limits = limits or Limits()
        self._stop = asyncio.Event()
        self._reported = time.monotonic()
        self._refused = 0
        self._writing: asyncio.Task[None] | None = None
        self._waits = 0

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; the batches at hand are finished first. Calls `ready` once messages are awaited.

        Raises Unavailable after an outage that lasts, Misconfigured, and whatever is unexpected: the process must end
        then, and be started again by whoever runs it.
        """
        self._stop = stop
        try:
            for part in self._parts:
                await self._through_outages(partial(self._started, part))
            ready()
            await self._loop()
        except Stopped:
            pass
        finally:
            await self._call_off()
            self._report()
            for part in reversed(self._parts):
                await part.stop()

    @abstractmethod
    async def _prepare(self, fetched: Fetched) -> Finish:
        """Work out what a batch leads to, and return what writes and `_commit`s it: awaited once those before are."""

    @abstractmethod
    def _done(self) -> Mapping[str, int]:
        """Return what the worker has done since it started, for its log."""

    async def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                await self._step()
        except Exception:
            await self._written()  # what came before the error is good
            raise
        await self._written()

    async def _step(self) -> None:
        fetched = await self._fetched()
        if not fetched.positions and not fetched.idle_s:
            self._observer.empty(fetched.unanswered_s)
            self._observer.lag(fetched.lag)
            return
        self._observer.fetched(len(fetched.messages))
        _LOG.debug("fetched", positions=_by_partition(fetched), records=len(fetched.messages))
        finish = await self._prepare(fetched)
        await self._written()
        self._writing = asyncio.create_task(self._finish(fetched, finish))
        if time.monotonic() - self._reported > self._limits.report_s:
            self._report()

    async def _fetched(self) -> Fetched:
        async def attempt() -> Fetched:
            if self._writing is not None and self._writing.done():
                # What has ended it is no less true while nothing can be fetched. It is never NotYet: a source's word.
                await self._written()
            with self._timed("fetch"):
                return await unless_stopped(self._source.fetch(), self._stop)

        return await self._through_outages(attempt, NotYet)

    async def _started(self, part: Part) -> None:
        await unless_stopped(part.start(), self._stop)

    async def _finish(self, fetched: Fetched, finish: Finish) -> None:
        async with self._source.holding(fetched) as ours:
            if ours:
                await finish()
            else:
                self._observer.finished(committed=False)

    async def _written(self) -> None:
        """Wait until the batch that is being written is. Raises what its write, or its commit, raises."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _call_off(self) -> None:
        """End a write that nobody waits for any more; its batch is done again by whoever has the partitions next."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait({writing}, timeout=STOP_S)

    async def _commit(self, fetched: Fetched, kept: Mapping[Place, Kept] | None = None) -> bool:
        """Move the group's offsets past a batch, or to what is kept of a partition (`ports.Source.commit`).

        False if another worker has the partitions and does it again. Raises Misconfigured when that does not end.
        """
        with self._timed("commit"):
            committed = await self._source.commit(fetched, kept or {})
        self._observer.finished(committed=committed)
        if not committed:
            _LOG.warning("commit_refused", reason="another worker has the partitions, and does the batch again")
            self._refused += 1
            if self._refused >= self._limits.refusals:
                raise Misconfigured("no batch can be committed: another worker has the same PLATETRAIL_INSTANCE")
            return False
        self._committed(fetched)
        return True

    def _committed(self, fetched: Fetched) -> None:
        self._refused = 0
        self._observer.lag(fetched.lag)
        _LOG.debug("committed", positions=_by_partition(fetched))

    async def _through_outages(self, attempt: Callable[[], Awaitable[T]], outage: type[Retry] = Retry) -> T:
        """Do something until the part it needs is there, and return what came of it.

        `outage` is what says that the part is not there; anything else is raised at once. Raises it (Unavailable), too,
        when the outage lasts too long, and Stopped if the worker is told to end meanwhile.
        """
        deadline = time.monotonic() + self._limits.outage_s
        wait_s = self._limits.first_wait_s
        said = False
        while True:
            try:
                result = await attempt()
            except outage as error:
                if time.monotonic() > deadline:
                    raise
                if not said:
                    said = True
                    self._waits += 1
                    if self._waits == 1:  # partitions are written beside one another: it is one outage
                        _LOG.warning("waiting", stage=self._name, error=str(error))
                        self._observer.waiting(begun=True)
            except IngestError as error:
                if not isinstance(error, Retry):  # it answers again, if not as was hoped: who asked may go on
                    self._note_back(said)
                raise
            else:
                self._note_back(said)
                return result
            await self._sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, self._limits.longest_wait_s)

    def _note_back(self, waited: bool) -> None:
        if not waited:
            return
        self._waits -= 1
        if not self._waits:
            self._observer.waiting(begun=False)
            _LOG.info("back", stage=self._name)

    @contextlib.contextmanager
    def _timed(self, step: Step) -> Iterator[None]:
        """Tell the observer how long a block took, unless it raises."""
        began = time.perf_counter()
        yield
        self._observer.took(step, time.perf_counter() - began)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped

    def _report(self) -> None:
        self._reported = time.monotonic()
        _LOG.info("progress", stage=self._name, **self._done())


def _by_partition(fetched: Fetched) -> dict[str, int]:
    return {f"{topic}/{partition}": offset for (topic, partition), offset in fetched.positions.items()}
