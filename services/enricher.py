"""The enricher: detections into sightings, one for each pass. Run it as `python -m services.enricher`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ingest import deadletter, processors
from ingest.adapters.batches import GroupSource
from ingest.adapters.kafka import KafkaPublisher, Record
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.sinks import RecordSink, TopicSink, sighting_record
from ingest.adapters.transactions import Transactions
from ingest.enrich import Outcome, Places, enrich
from ingest.errors import Unavailable
from ingest.ports import UNOBSERVED, Observer
from ingest.stage import Limits, Stage, Work
from ingest.voting import Voting
from schemas import topics, wire
from schemas.detections import Detection
from schemas.sightings import Sighting
from services.observe import Measures, listening, of_stage, run_worker
from services.settings import Settings

NAME: Final = "enricher"


def build(
    settings: Settings, registry: KafkaRegistry, observer: Observer = UNOBSERVED
) -> Stage[Detection, Sighting, Record]:
    """Return the stage, wired to Kafka; nothing is connected yet. Needs a running event loop.

    Raises what `owner_rules` raises.
    """
    rules = settings.owner_rules()
    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.outage_limit_s)
    group = f"platetrail-{NAME}"
    transactions = _transactions(settings, group) if settings.enricher_transactions else None

    places = Places()

    def function(batch: Sequence[Detection]) -> list[Outcome]:
        return enrich(registry, rules, datetime.now(UTC), batch, places)

    return Stage(
        GroupSource(
            settings.broker(),
            topics.DETECTIONS,
            group=group,
            instance=settings.instance,
            max_records=settings.batch_records,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            lost=observer.expired,
            # Longer than `passes.safe_position` wants, so that once is enough.
            idle_after_s=2 * settings.pass_window_s + 1,
            taking=None if transactions is None else transactions.take,
            remembers=True,
        ),
        Work(
            name=NAME,
            decode=wire.reader(Detection),
            function=function,
            form=sighting_record,
            memory=Voting(settings.pass_window_s),
        ),
        RecordSink(publisher, topics.SIGHTINGS),
        TopicSink(publisher, topics.DEAD_LETTERS, deadletter.key),
        atomic=transactions,
        parts=(publisher,) if transactions is None else (),  # transactions have producers of their own
        state=registry,
        observer=observer,
        limits=Limits(
            outage_s=settings.outage_limit_s, failures=settings.failure_limit, failure_window=settings.failure_window
        ),
    )


def _transactions(settings: Settings, group: str) -> Transactions:
    return Transactions(
        settings.broker(),
        group=group,
        topic=topics.SIGHTINGS,
        letter_key=deadletter.key,
        timeout_s=settings.outage_limit_s,
    )


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Read the registry whole, then run the stage in its Faust app until `stop` is set."""
    registry = KafkaRegistry(settings.broker(), timeout_s=settings.publish_timeout_s)
    measures = Measures(NAME, consumers=of_stage(NAME))
    stage = build(settings, registry, measures)

    async def follow_and_run(stopping: asyncio.Event) -> None:
        async with registry:  # read whole: nothing is fetched, and nobody told that we are ready, before
            await _while_following(registry, asyncio.create_task(stage.run(stopping, measures.joined)))

    async with listening(settings, measures.collected, measures.readiness(settings.stuck_after_s)):
        await processors.run(NAME, settings.broker(), follow_and_run, stop, drain_s=settings.drain_s)


async def _while_following(registry: KafkaRegistry, running: "asyncio.Task[None]") -> None:
    """Await the stage; a registry that is no longer followed ends it, since it would go stale without a word."""
    try:
        await asyncio.wait({running, registry.following}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise Unavailable("the camera registry is no longer followed")
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
