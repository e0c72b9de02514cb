"""The inboxes of camera networks that write into topics of their own. Run it as `python -m services.inbox`.

It makes the networks' topics first, and corrects what was changed on them by hand. It looks, all the time, how old the
oldest record is that nobody has read: what is not read within ten minutes is lost.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest.adapters.batches import GroupSource
from ingest.adapters.inboxes import Inboxes, group
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.upkeep import see_to
from ingest.alarm import Standing
from ingest.inbox import Inbox
from ingest.lookout import Lookout
from ingest.receive import Receiver
from ingest.reporting import Reporting
from ingest.runner import Limits
from ingest.side_by_side import read_all
from ingest.tally import Tallies
from schemas import metrics, topics
from schemas.owners import OwnerRules
from services.observe import Families, Measures, at_entrance, listening, run_worker
from services.settings import Settings, needed

NAME: Final = "inbox"


class Shown:
    """What this process shows of the networks, beside what every worker shows of itself."""

    def __init__(self, measures: Mapping[str, Measures], collected: CollectorRegistry) -> None:
        """Begin at nought, for each network."""
        self._measures = measures
        self._items = Counter(*metrics.INBOX_ITEMS, registry=collected)
        self._lost = Counter(*metrics.INBOX_LOST, registry=collected)
        self._unread = Gauge(*metrics.INBOX_UNREAD, registry=collected)
        self._oldest = Gauge(*metrics.INBOX_OLDEST_SECONDS, registry=collected)
        for network in measures:
            self._lost.labels(network)

    def count(self, network: str, status: str, reason: str, number: int) -> None:
        """Count items."""
        self._items.labels(network, status, reason).inc(number)

    def lost(self, network: str, number: int) -> None:
        """Count records that expired unread, and say so."""
        self._lost.labels(network).inc(number)
        self._measures[network].expired(number)
        if number:
            structlog.get_logger().error("reads_lost", network=network, records=number)

    def stands(self, network: str, standing: Standing, now: datetime) -> None:
        """Show how far a network's inbox has been read."""
        self._unread.labels(network).set(standing.unread)
        self._oldest.labels(network).set(standing.age_s(now))


def stage(network: str) -> str:
    """Return the name by which what works off a network's inbox is known in metrics: that of its topic."""
    return topics.inbox(network)


def measures_of(networks: Sequence[str]) -> dict[str, Measures]:
    """Return the measures of each network, which are shown together."""
    families = Families()
    return {
        network: Measures(stage(network), consumers=at_entrance(group(network)), families=families)
        for network in networks
    }


def build(
    settings: Settings,
    registry: KafkaRegistry,
    publisher: KafkaPublisher,
    tallies: Tallies,
    shown: Shown,
    measures: Mapping[str, Measures],
    rules: OwnerRules,
) -> list[Callable[[], Inbox]]:
    """Return, for each network, what makes its inbox, wired to Kafka; nothing is connected yet."""
    receiver = Receiver(publisher, rules, future_limit_s=settings.future_limit_s, tallies=tallies)

    def inbox(network: str) -> Inbox:
        source = GroupSource(
            settings.broker(),
            topics.inbox(network),
            group=group(network),
            instance=settings.instance,
            max_records=settings.batch_records,
            session_timeout_s=settings.session_timeout_s,
            outage_s=settings.outage_limit_s,
            lost=partial(shown.lost, network),
        )
        return Inbox(
            network,
            source,
            registry,
            receiver,
            items=settings.batch_limit,
            count=partial(shown.count, network),
            limits=Limits(outage_s=settings.outage_limit_s),
            observer=measures[network],
        )

    return [partial(inbox, network) for network in settings.networks]


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """See to the networks' topics, then work off all of them until `stop` is set.

    The end of one is the end of all, but where a network has written what nobody can read: then its own waits.
    """
    networks = needed(settings.networks, "networks")
    rules = settings.owner_rules()
    await see_to(settings.broker(), [topics.inbox(network) for network in networks], rules)
    measures = measures_of(networks)
    collected = measures[networks[0]].collected
    shown = Shown(measures, collected)
    lookout = Lookout(Inboxes(settings.broker(), networks), shown.stands)
    publisher = KafkaPublisher(settings.broker(), timeout_s=settings.outage_limit_s)
    registry = KafkaRegistry(settings.broker(), timeout_s=settings.publish_timeout_s)
    tallies = Tallies()
    reports = KafkaPublisher(settings.broker(), timeout_s=settings.publish_timeout_s)
    reporting = Reporting(tallies, reports, every_s=settings.health_report_s)

    async def well() -> bool:
        return lookout.well and not registry.following.done()

    working = [one.readiness(settings.stuck_after_s) for one in measures.values()]

    async def ready() -> bool:
        return all([await check() for check in (well, *working)])

    async with publisher, registry, reports, reporting, listening(settings, collected, ready):
        inboxes = build(settings, registry, publisher, tallies, shown, measures, rules)
        joined = [one.assigned for one in measures.values()]
        await read_all(stop, inboxes, lookout, registry.following, joined, drain_s=settings.drain_s)


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 if it failed: whoever runs it starts it again."""
    run_worker(NAME, work)


if __name__ == "__main__":
    main()
