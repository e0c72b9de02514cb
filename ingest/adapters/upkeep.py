"""Topics, when a service starts that answers for them: made, corrected, and held against how long records may stay."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import structlog

from ingest.adapters.broker import Broker
from ingest.adapters.topics import deletion, ensure_topics
from ingest.errors import Unavailable
from ingest.retention import shortest
from schemas import topics
from schemas.owners import OwnerRules
from schemas.topics import Deletion, Topic


async def see_to(broker: Broker, names: Sequence[str], rules: OwnerRules) -> None:
    """Make and correct topics, and say in the log what was changed, and which keep their records for too long.

    That a record stays too long is a fault of the brokers' configuration, of a topic's file, or of an owner's rule, and
    none is ours to change: it is a warning. Raises what `ensure_topics` does.
    """
    log = structlog.get_logger()
    for change in await ensure_topics(broker, names):
        log.info("topics", change=change)
    try:
        told = await deletion(broker)
    except Unavailable as error:
        log.warning("topics", unknown="how long records stay", reason=str(error))
        return
    for topic, longest_ms, limit_ms in too_long([topics.load(name) for name in names], told, shortest(rules)):
        stays = None if longest_ms is None else longest_ms / 1000
        log.warning("kept_too_long", topic=topic.topic, longest_s=stays, limit_s=limit_ms / 1000)


def too_long(
    held: Sequence[Topic], told: Deletion, shortest_owner: timedelta
) -> Iterator[tuple[Topic, int | None, int]]:
    """Yield topics whose records can stay longer than the shortest rule, with both times in milliseconds.

    None is for good.
    """
    shortest_ms = shortest_owner // timedelta(milliseconds=1)
    for topic in held:
        longest_ms, limit_ms = topic.longest_ms(told), topic.limit_ms(shortest_ms)
        if limit_ms is not None and (longest_ms is None or longest_ms > limit_ms):
            yield topic, longest_ms, limit_ms
