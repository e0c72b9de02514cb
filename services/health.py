"""Camera health: what gateways report of cameras, into the table that operators are shown.

Run it as `python -m services.health`.
"""

import asyncio
import contextlib
from typing import Final

from ingest import deadletter, processors
from ingest.adapters.batches import GroupSource
from ingest.adapters.health import PostgresStates
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.probe import DatabaseProbe
from ingest.adapters.sinks import TopicSink
from ingest.ports import UNOBSERVED, Observer
from ingest.runner import Limits
from ingest.watch import Watch
from schemas import topics
from services.observe import Measures, listening, run_worker
from services.settings import Settings, needed

NAME: Final = "health"


def build(settings: Settings, observer: Observer = UNOBSERVED) -> Watch:
    """Return the worker, wired to Kafka and PostgreSQL; nothing is connected yet. Needs a running event loop.

    Raises Missing without a database.
    """
    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.outage_limit_s)
    return Watch(
        GroupSource(
            settings.broker(),
            (topics.CAMERA_HEALTH, topics.DEAD_LETTERS),
            group=f"platetrail-{NAME}",
            instance=settings.instance,
            max_records=settings.batch_records,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            lost=observer.expired,
            committed_only=True,
        ),
        PostgresStates(needed(settings.database_url, "database_url")),
        TopicSink(publisher, topics.DEAD_LETTERS, deadletter.key),
        parts=(publisher,),
        limits=Limits(outage_s=settings.outage_limit_s, failures=settings.failure_limit),
        observer=observer,
    )


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Run the worker as the service of a Faust app until `stop` is set."""
    measures, probe = Measures(NAME), DatabaseProbe(needed(settings.database_url, "database_url"))
    watch = build(settings, measures)
    ready = measures.readiness(settings.stuck_after_s, probe.answers)
    async with listening(settings, measures.collected, ready), contextlib.aclosing(probe):
        await processors.run(
            NAME,
            settings.broker(),
            lambda stopping: watch.run(stopping, measures.joined),
            stop,
            drain_s=settings.drain_s,
        )


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
