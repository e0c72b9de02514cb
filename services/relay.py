"""The relay: changes of the camera registry, from the database to the stream. Run it as `python -m services.relay`.

It makes the topics first, and corrects what was changed on them by hand: retention is a promise. It warns of topics
that keep reads for longer than their rule, or an owner's, allows.
"""

import asyncio
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest import relay
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.outbox import Outbox
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.upkeep import see_to
from ingest.errors import Unavailable
from schemas import metrics, topics
from services.observe import Pulse, listening, run_worker
from services.settings import Settings, needed

NAME: Final = "relay"
POLL_S: Final = 0.2
RETRY_S: Final = 1.0


class Measures:
    """What this process shows of itself."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.collected = CollectorRegistry()
        self._pulse = Pulse()
        self._well = False
        self._records = Counter(*metrics.RELAY_RECORDS, registry=self.collected)
        Gauge(*metrics.RELAY_AGE_SECONDS, registry=self.collected).set_function(self._pulse.age_s)

    def carried(self, records: int) -> None:
        """Count records that went to the stream; 0: none waits."""
        self._records.inc(records)
        self._pulse.beat()

    def well(self, well: bool) -> None:
        """Note whether the stream was brought up to the table, and both ends answer."""
        self._well = well

    def is_ready(self, within_s: float) -> bool:
        """Tell whether changes go to the stream, the last look at the outbox being no older than so many seconds."""
        return self._well and self._pulse.age_s() < within_s


class Relay:
    """The outbox and the stream."""

    def __init__(
        self, outbox: Outbox, publisher: KafkaPublisher, registry: KafkaRegistry, measures: Measures | None = None
    ) -> None:
        """Know both ends, and the registry as its readers see it."""
        self._measures = measures or Measures()
        self._outbox = outbox
        self._publisher = publisher
        self._registry = registry

    async def work(self, stop: asyncio.Event) -> None:
        """Connect, `run`, and disconnect. Raises Unavailable if the broker is not there at the start."""
        try:
            async with self._publisher, self._registry:
                await self.run(stop)
        finally:
            await self._outbox.stop()

    async def run(self, stop: asyncio.Event) -> None:
        """Empty the outbox, bring the stream up to the table, then carry changes as they come, until `stop` is set.

        An outage is waited out. Raises Misconfigured, and Unavailable if the stream was made anew: the next life brings
        it up to the table.
        """
        log = structlog.get_logger()
        reconciled = False
        waiting = False
        while not stop.is_set():
            if self._registry.made_anew:
                raise Unavailable(f"the topic {topics.CAMERAS} was deleted and made anew: it may lack cameras")
            try:
                carried = await relay.carry(self._outbox, self._publisher)
                if not carried and not reconciled:
                    await self._reconcile()
                    reconciled = True
                    log.info("ready")
                self._measures.carried(carried)
                self._measures.well(reconciled)
                waiting = False
                delay_s = 0.0 if carried else POLL_S
            except Unavailable as error:
                if not waiting:
                    log.warning("waiting", reason=str(error))
                waiting = True
                self._measures.well(False)
                delay_s = RETRY_S
            await _pause(stop, delay_s)

    async def _reconcile(self) -> None:
        await self._registry.caught_up()
        published, ahead = await relay.reconcile(self._outbox, self._registry, self._publisher)
        log = structlog.get_logger()
        log.info("reconciled", published=published)
        if ahead:
            log.error("the stream is ahead of the table", cameras=ahead, cause="was the database set back?")


def build(settings: Settings, measures: Measures | None = None) -> Relay:
    """Return the relay; nothing is connected yet. Needs a running event loop. Raises Missing without a database."""
    timeout_s = settings.publish_timeout_s
    return Relay(
        Outbox(needed(settings.database_url, "database_url")),
        KafkaPublisher(settings.broker(), timeout_s=timeout_s),
        KafkaRegistry(settings.broker(), timeout_s=timeout_s),
        measures,
    )


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """See to the topics, then relay until `stop` is set."""
    measures = Measures()
    relaying = build(settings, measures)

    async def ready() -> bool:
        return measures.is_ready(settings.stuck_after_s)

    async with listening(settings, measures.collected, ready):
        await see_to(settings.broker(), topics.ALL, settings.owner_rules())
        await relaying.work(stop)


async def _pause(stop: asyncio.Event, delay_s: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), delay_s)
    except TimeoutError:
        return


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
