"""The matcher: reads that may not be kept, compared with the plates wanted now and let go.

Run it as `python -m services.matcher`. Nothing of a read leaves this process, not even as a dead letter. There are no
hot lists yet, so nothing is wanted and every read is discarded unmatched.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ingest import processors
from ingest.adapters.batches import GroupSource
from ingest.match import NOBODY, Tally, match
from ingest.ports import UNOBSERVED, Observer
from ingest.stage import Limits, Stage, Work, as_it_is
from schemas import metrics, topics, wire
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from services.observe import Measures, listening, run_worker, telling
from services.settings import Settings

NAME: Final = "matcher"


class _Nowhere:
    """A sink that counts what it is given, and forgets it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def write(self, items: Sequence[DeadLetter]) -> None:
        """Count letters. They hold reads: no byte of them is written."""
        self._tally.add("unusable", len(items))


def build(
    settings: Settings, tally: Tally, observer: Observer = UNOBSERVED
) -> Stage[Detection, DeadLetter, DeadLetter]:
    """Return the stage, wired to Kafka; nothing is connected yet. Needs a running event loop."""

    def function(batch: Sequence[Detection]) -> list[None]:
        for outcome in match(NOBODY, datetime.now(UTC), batch):
            tally.add(outcome)
        return [None] * len(batch)

    def lost(number: int) -> None:
        tally.add("expired", number)
        observer.expired(number)
        if number:
            structlog.get_logger().error("reads_lost", stage=NAME, reads=number)

    nowhere = _Nowhere(tally)
    return Stage(
        GroupSource(
            settings.broker(),
            topics.EPHEMERAL,
            group=f"platetrail-{NAME}",
            instance=settings.instance,
            max_records=settings.batch_records,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            lost=lost,
        ),
        Work(name=NAME, decode=wire.reader(Detection), function=function, form=as_it_is),
        nowhere,
        nowhere,
        limits=Limits(
            outage_s=settings.outage_limit_s, failures=settings.failure_limit, failure_window=settings.failure_window
        ),
        observer=observer,
    )


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Run the stage in its Faust app until `stop` is set; log and serve how many reads had which outcome."""
    tally, measures = Tally(), Measures(NAME)
    measures.collected.register(_Reads(tally))
    stage = build(settings, tally, measures)
    async with (
        telling(tally.of.copy, lambda: _tell(tally)),
        listening(settings, measures.collected, measures.readiness(settings.stuck_after_s)),
    ):
        await processors.run(
            NAME,
            settings.broker(),
            lambda stopping: stage.run(stopping, measures.joined),
            stop,
            drain_s=settings.drain_s,
        )


class _Reads(Collector):
    """The tally as Prometheus sees it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield how many reads had which outcome."""
        name, says, labels = metrics.MATCHER_READS
        family = CounterMetricFamily(name, says, labels=labels)
        for outcome, number in self._tally.of.items():
            family.add_metric([outcome], number)
        yield family


def _tell(tally: Tally) -> None:
    structlog.get_logger().info("reads", seen=tally.seen, lost=tally.lost, **tally.of)


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
