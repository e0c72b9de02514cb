"""Looks at the inboxes of camera networks again and again: what is not read in time there is lost."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from ingest.alarm import Alarm, Standing
from ingest.errors import Unavailable
from ingest.ports import Part
from schemas import topics

LOOK_S: Final = 5.0
"""How often they are looked at."""


class Inboxes(Part, Protocol):
    """Says how far the inboxes have been read: whoever asks need not be the one who reads."""

    async def look(self) -> Mapping[str, Standing]:
        """Return how each network's inbox stands. Raises Unavailable."""
        ...


class Lookout:
    """Looks at the inboxes again and again, and knows whether all is well."""

    def __init__(
        self,
        inboxes: Inboxes,
        show: Callable[[str, Standing, datetime], None],
        *,
        every_s: float = LOOK_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Know whom to ask, and whom to tell how each network stands."""
        self._inboxes = inboxes
        self._show = show
        self._every_s = every_s
        self._clock = clock
        self._alarm = Alarm(_tell)
        self._seen = False

    @property
    def well(self) -> bool:
        """Tell whether the last look was possible, and no network is read too late."""
        return self._seen and not self._alarm.late

    async def run(self) -> None:
        """Look until cancelled. An outage is borne: those who read end the process if it lasts."""
        try:
            while True:
                try:
                    if not self._seen:
                        await self._inboxes.stop()
                        await self._inboxes.start()
                    await self.look()
                except Unavailable as error:
                    self._seen = False
                    structlog.get_logger().warning("unwatched", reason=str(error))
                await asyncio.sleep(self._every_s)
        finally:
            await self._inboxes.stop()

    async def look(self) -> None:
        """Look once. Raises Unavailable."""
        standings = await self._inboxes.look()
        now = self._clock()
        for network, standing in standings.items():
            self._show(network, standing, now)
        self._alarm.heed(standings, now)
        self._seen = True


def _tell(network: str, standing: Standing, late: bool) -> None:
    log = structlog.get_logger()
    at = standing.oldest_at.isoformat() if standing.oldest_at else None
    if late:
        retention_s = topics.load(topics.inbox(network)).retention_ms // 1000
        log.error("inbox_late", network=network, unread=standing.unread, oldest_at=at, lost_after_s=retention_s)
    else:
        log.info("inbox_in_time", network=network, unread=standing.unread)
