"""The indexer: sightings from the stream into the index. Run it as `python -m services.indexer`."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ingest import deadletter, processors
from ingest.adapters.batches import GroupSource
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.postgres import SightingIndex
from ingest.adapters.probe import DatabaseProbe
from ingest.adapters.sinks import TopicSink
from ingest.ports import UNOBSERVED, Observer
from ingest.rows import Row, kept
from ingest.stage import Limits, Stage, Work, as_it_is
from schemas import topics, wire
from schemas.sightings import Sighting
from services.observe import Measures, listening, of_stage, run_worker
from services.settings import Settings, needed

NAME: Final = "indexer"


def build(settings: Settings, observer: Observer = UNOBSERVED) -> Stage[Sighting, Row, Row]:
    """Return the stage, wired to Kafka and PostgreSQL; nothing is connected yet. Needs a running event loop.

    Raises Missing without a database, and what `owner_rules` raises.
    """
    rules = settings.owner_rules()

    def of_now(batch: Sequence[Sighting]) -> list[Row | None]:
        return kept(rules, datetime.now(UTC), batch)

    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.outage_limit_s)
    index = SightingIndex(needed(settings.database_url, "database_url"))
    return Stage(
        GroupSource(
            settings.broker(),
            topics.SIGHTINGS,
            group=f"platetrail-{NAME}",
            instance=settings.instance,
            max_records=settings.batch_records,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            lost=observer.expired,
            committed_only=True,
        ),
        Work(name=NAME, decode=wire.reader(Sighting), function=of_now, form=as_it_is),
        index,
        TopicSink(publisher, topics.DEAD_LETTERS, deadletter.key),
        parts=(publisher, index),
        observer=observer,
        limits=Limits(
            outage_s=settings.outage_limit_s, failures=settings.failure_limit, failure_window=settings.failure_window
        ),
    )


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Run the stage in its Faust app until `stop` is set."""
    measures = Measures(NAME, consumers=of_stage(NAME))
    probe = DatabaseProbe(needed(settings.database_url, "database_url"))
    stage = build(settings, measures)
    ready = measures.readiness(settings.stuck_after_s, probe.answers)
    async with listening(settings, measures.collected, ready), contextlib.aclosing(probe):
        await processors.run(
            NAME,
            settings.broker(),
            lambda stopping: stage.run(stopping, measures.joined),
            stop,
            drain_s=settings.drain_s,
        )


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
