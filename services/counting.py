"""Dead letters, counted by stage and reason for whoever watches. Run it as `python -m services.counting`.

The counts are at /metrics, and in a line of the log whenever they have changed. Nothing is written anywhere else.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ingest import processors
from ingest.adapters.broker import Broker
from ingest.adapters.probe import BrokerProbe, tells
from ingest.counting import LetterCounts
from ingest.errors import Misconfigured, Unavailable
from schemas import metrics, topics
from services.observe import listening, run_worker, telling
from services.settings import Settings

NAME: Final = "counting"
LOOK_S: Final = 0.5


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Count until `stop` is set; serve and log the counts."""
    counts, joined = LetterCounts(), asyncio.Event()
    broker = BrokerProbe(settings.broker(), topics.DEAD_LETTERS)

    def ready() -> None:
        if not joined.is_set():
            joined.set()
            structlog.get_logger().info("ready")

    async def is_ready() -> bool:
        return joined.is_set() and await broker.answers()

    async with telling(counts.told, lambda: _tell(counts)), listening(settings, collected(counts), is_ready):
        await _until_there(settings.broker(), stop, settings.outage_limit_s)
        if stop.is_set():
            return
        await processors.run_agent(
            NAME,
            settings.broker(),
            topics.DEAD_LETTERS,
            counts.take,
            counts.set_aside,
            stop,
            instance=settings.instance,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            ready=ready,
        )


async def _until_there(broker: Broker, stop: asyncio.Event, limit_s: float) -> None:
    """Wait until broker and topic are there: Faust would go on without a word. Raises Unavailable at the limit."""
    deadline = time.monotonic() + limit_s
    while not stop.is_set():
        try:
            await tells(broker, topics.DEAD_LETTERS)  # soon, whatever comes of it: so is `stop` heard
        except (Misconfigured, Unavailable) as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"{error}: the relay makes the topics") from None
            await asyncio.sleep(LOOK_S)
        else:
            return


class _Letters(Collector):
    """The counts as Prometheus sees them."""

    def __init__(self, counts: LetterCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield both counters."""
        name, says, labels = metrics.DEAD_LETTERS
        letters = CounterMetricFamily(name, says, labels=labels)
        for which, number in self._counts.letters.items():
            letters.add_metric(which, number)
        yield letters
        name, says, labels = metrics.DEAD_LETTERS_UNUSABLE
        unusable = CounterMetricFamily(name, says, labels=labels)
        for reason, number in self._counts.unusable.items():
            unusable.add_metric([reason], number)
        yield unusable


def collected(counts: LetterCounts) -> CollectorRegistry:
    """Return what is served at /metrics."""
    registry = CollectorRegistry()
    registry.register(_Letters(counts))
    return registry


def _tell(counts: LetterCounts) -> None:
    log = structlog.get_logger()
    log.info("dead_letters", counts=counts.told())
    if counts.unusable:
        log.error("unusable dead letters", records=counts.unusable.total(), cause="who else writes to that topic?")


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
