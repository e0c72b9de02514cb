"""Tallies onto the stream, every few seconds, for as long as a process runs. Reads never wait for it."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from ingest.errors import IngestError
from ingest.ports import Publisher
from ingest.tally import Tallies
from schemas import topics, wire
from schemas.health import CameraReport

Outcome = Literal["sent", "waiting", "refused"]
"""What became of an attempt to report: `waiting` is tried again, `refused` is lost in part or whole."""

LAST_S: Final = 3.0
"""How long the last report may take when the process ends."""


class Reporting:
    """Publishes what was counted since the last report. What a crash loses is at most the counts of one interval.

    Its publisher is one of its own: a topic that is missing must not make the one of the reads doubtful.
    """

    def __init__(
        self,
        tallies: Tallies,
        publisher: Publisher,
        *,
        every_s: float,
        count: Callable[[Outcome], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know what is counted, and where it goes how often. `count` is told of each attempt."""
        self._tallies = tallies
        self._publisher = publisher
        self._every_s = every_s
        self._count = count
        self._clock = clock
        self._unsent: list[CameraReport] = []
        self._told = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Reporting":
        """Begin to report."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, with a last report if the broker takes it at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), LAST_S)

    async def flush(self) -> bool:
        """Report; False if the broker did not take it: the same reports are sent again, and count once."""
        if not self._unsent:
            self._unsent = self._tallies.take(self._clock())
        records = [(report.camera_id.encode(), wire.encode(report)) for report in self._unsent]
        try:
            refused = [error for error in await self._publisher.publish(topics.CAMERA_HEALTH, records) if error]
        except IngestError as error:
            self._count("waiting")
            self._tell(str(error))
            return False
        self._unsent = []
        self._count("refused" if refused else "sent")
        if refused:
            self._tell(str(refused[0]))
        else:
            self._told = False
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 - health must never be what ends a gateway, nor end unseen
                self._tell(type(error).__name__)

    def _tell(self, reason: str) -> None:
        """Log that cameras are not reported on, once until it is over."""
        if not self._told:
            structlog.get_logger().warning("camera health is not reported", reason=reason)
        self._told = True
