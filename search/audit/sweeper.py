"""The sweeper: it ends, as abandoned, what has had no end for too long, so that the log says what is unknown.

A crash between a question's record and its end leaves an intent or page open. Two sweepers at once do no harm: an
entry has one end, and the second is refused.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from schemas.entries import Entry
from search.audit.errors import AlreadyEnded, LogError
from search.audit.ports import Log, Reader, Unended

BATCH: Final = 1000
INTERVAL_S: Final = 15.0


def _now() -> datetime:
    return datetime.now(UTC)


class Sweeper:
    """Ends what is open for longer than `after_s` seconds."""

    def __init__(self, log: Log, reader: Reader, after_s: float, clock: Callable[[], datetime] = _now) -> None:
        """Read with `reader`, write to `log`."""
        self._log = log
        self._reader = reader
        self._after_s = after_s
        self._clock = clock
        self._start = 0

    async def sweep(self) -> int:
        """End all that is due and return how many were ended here. Raises LogUnavailable."""
        ended = 0
        while True:
            size = (await self._reader.head()).size
            found = await self._reader.unended(self._start, self._after_s, BATCH)
            results = await asyncio.gather(*(self._end(item) for item in found if item.due))
            ended += sum(results)
            # Nothing before this is open: the next sweep need not look there.
            young = [item.index for item in found if not item.due]
            if len(found) < BATCH:
                self._start = min(young, default=size)
                return ended
            self._start = min(young, default=found[-1].index + 1)
            if young:
                return ended

    async def _end(self, item: Unended) -> bool:
        entry = Entry(
            kind="abandoned",
            public={"type": "sweep", "at": _iso(self._clock()), "agency": item.agency, "intent": item.index},
            ends=item.index,
        )
        try:
            await self._log.append(entry)
        except AlreadyEnded:
            return False
        return True

    async def run(
        self, swept: Callable[[int], None], failed: Callable[[LogError], None], interval_s: float = INTERVAL_S
    ) -> None:
        """Sweep now and then, until cancelled. `swept` is told how many were ended, `failed` what kept it from that."""
        while True:
            try:
                swept(await self.sweep())
            except LogError as error:
                failed(error)
            await asyncio.sleep(interval_s)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
