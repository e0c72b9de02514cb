"""The maintain service: makes the index's days ahead, drops those past their time, purges owner by owner.

Run it as `python -m services.maintain`; `--once` does one round and ends.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest.adapters.crops import CropFolder
from ingest.adapters.days import PostgresDays
from ingest.errors import Unavailable
from ingest.retention import Kept, keep
from schemas import metrics
from schemas.entries import Entry
from search.audit import keys
from search.audit.adapters.postgres import append_within
from search.audit.errors import LogError
from search.audit.secrets import Sealer
from services.observe import Pulse, listening, run_worker
from services.settings import Settings, key_of, needed

NAME: Final = "maintain"
INTERVAL_S: Final = 3600.0
RETRY_S: Final = 10.0

Round = Callable[[], Awaitable[Kept]]


class Measures:
    """What this process shows of itself."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.collected = CollectorRegistry()
        self.well = False
        self._pulse = Pulse()
        self._rounds = Counter(*metrics.MAINTAIN_ROUNDS, registry=self.collected)
        self._did = Counter(*metrics.MAINTAIN_DID, registry=self.collected)
        Gauge(*metrics.MAINTAIN_AGE_SECONDS, registry=self.collected).set_function(self._pulse.age_s)
        for outcome in ("done", "failed"):
            self._rounds.labels(outcome)

    def done(self, kept: Kept) -> None:
        """Count a round that was done."""
        self.well = True
        self._pulse.beat()
        self._rounds.labels("done").inc()
        for what, number in msgspec.structs.asdict(kept).items():
            self._did.labels(what).inc(number)

    def failed(self) -> None:
        """Count a round that was not."""
        self.well = False
        self._rounds.labels("failed").inc()


def build(settings: Settings) -> Round:
    """Return one round of upkeep, wired to PostgreSQL and the audit log.

    Pictures of plates go by the clock of this process. Raises Missing, Misconfigured for their folder, KeyFileError for
    a bad key, and what `owner_rules` raises: nothing is purged by half a rule.
    """
    url = needed(settings.database_url, "database_url")
    sealer = Sealer(key_of(settings.audit_public_key_file, "audit_public_key_file", keys.read_public))
    needed(settings.owners_file, "owners_file")  # what it destroys by default rules does not come back
    rules = settings.owner_rules()

    async def record(connection: Any, entry: Entry) -> None:
        try:
            await append_within(connection, sealer, [entry])
        except LogError as error:
            raise Unavailable(f"the audit log took no entry: {error.code}") from None

    crops = CropFolder(settings.crops_folder) if settings.crops_folder else None

    async def once() -> Kept:
        if crops is not None:  # first: they expire whether or not the database is there
            removed = await crops.remove_expired(datetime.now(UTC), rules.days)
            structlog.get_logger().info("pictures", **msgspec.structs.asdict(removed))
        async with PostgresDays(url, record) as days:
            return await keep(days, rules)

    return once


async def work(settings: Settings, stop: asyncio.Event, *, only_once: bool = False) -> None:
    """Do a round at once and then every hour, until `stop` is set. The first one must succeed."""
    once = build(settings)
    if only_once:
        _tell(await once())
        structlog.get_logger().info("ready")
        return
    measures = Measures()

    async def ready() -> bool:
        return measures.well

    async with listening(settings, measures.collected, ready):
        await _again_and_again(once, measures, stop)


async def _again_and_again(once: Round, measures: Measures, stop: asyncio.Event) -> None:
    """Do a round, and further ones. Raises what the first one raises."""
    kept = await once()
    _tell(kept)
    measures.done(kept)
    structlog.get_logger().info("ready")
    delay_s = INTERVAL_S
    while not await _stopped(stop, delay_s):
        try:
            kept = await once()
            _tell(kept)
            measures.done(kept)
            delay_s = INTERVAL_S
        except Unavailable as error:
            structlog.get_logger().error("not maintained", reason=str(error))
            measures.failed()
            delay_s = RETRY_S


async def _stopped(stop: asyncio.Event, delay_s: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), delay_s)
    except TimeoutError:
        return False
    return True


def _tell(kept: Kept) -> None:
    structlog.get_logger().info("maintained", **msgspec.structs.asdict(kept))


def main(*, once: bool = False) -> None:
    """Run until SIGTERM or SIGINT, or for one round. Exits with 1 if it failed."""

    async def doing(settings: Settings, stop: asyncio.Event) -> None:
        await work(settings, stop, only_once=once)

    run_worker(NAME, doing)


if __name__ == "__main__":
    main(once="--once" in sys.argv[1:])
