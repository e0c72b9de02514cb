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

from ingest.adapters.crops import CropFolder
from ingest.adapters.days import PostgresDays
from ingest.errors import Unavailable
from ingest.retention import Kept, keep
from schemas.entries import Entry
from search.audit import keys
from search.audit.adapters.postgres import append_within
from search.audit.errors import LogError
from search.audit.secrets import Sealer
from services.observe import run_worker
from services.settings import Settings, needed

NAME: Final = "maintain"
INTERVAL_S: Final = 3600.0
RETRY_S: Final = 10.0

Round = Callable[[], Awaitable[Kept]]


def build(settings: Settings) -> Round:
    """Return one round of upkeep, wired to PostgreSQL and the audit log.

    Pictures of plates go by the clock of this process. Raises Missing, Misconfigured for their folder, KeyFileError for
    a bad key, and what `owner_rules` raises: nothing is purged by half a rule.
    """
    url = needed(settings.database_url, "database_url")
    sealer = Sealer(keys.read_public(needed(settings.audit_public_key_file, "audit_public_key_file")))
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
    _tell(await once())
    structlog.get_logger().info("ready")
    delay_s = INTERVAL_S
    while not only_once and not await _stopped(stop, delay_s):
        try:
            _tell(await once())
            delay_s = INTERVAL_S
        except Unavailable as error:
            structlog.get_logger().error("not maintained", reason=str(error))
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
