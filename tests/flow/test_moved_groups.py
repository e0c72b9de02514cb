"""Enrichers whose group was moved by hand, or whose log has lost what they must read again, on Apache Kafka."""

from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from schemas import topics
from schemas.detections import Detection
from tests.support import stages
from tests.support.flow import ENRICHER, Flow
from tests.support.topics import admin

PLATE = "XQ7 O41"


async def test_after_a_group_was_moved_no_read_is_a_second_pass_of_one_that_was_written(flow: Flow) -> None:
    """As `kafka-consumer-groups --reset-offsets` does it: offsets, and nothing beside them."""

    async def moved() -> None:
        await stages.move(flow.kafka.bootstrap, ENRICHER, bare=True)

    await after(flow, moved)


async def test_where_the_first_read_of_a_pass_has_expired_a_later_one_is_no_second_pass(flow: Flow) -> None:
    async def expired() -> None:
        done = await stages.committed(flow.kafka.bootstrap, ENRICHER)
        async with admin(flow.kafka.bootstrap) as client:
            await client.delete_records(
                {
                    TopicPartition(topics.DETECTIONS, partition): RecordsToDelete(before_offset=offset)
                    for partition, offset in done.items()
                }
            )

    await after(flow, expired)


async def after(flow: Flow, happening: Callable[[], Awaitable[None]]) -> None:
    """Enrich the first read of a pass, and a later one after something has happened; say what became of both."""
    first, later = (flow.detection(number, plate_raw=PLATE) for number in (0, 1))
    await enriched(flow, first)
    await happening()
    await enriched(flow, later)
    [letter] = await stages.letters(flow.dead_letters, "enricher")
    assert (letter.reason, letter.detection) == ("beginning_gone", later)
    assert [row["pass_id"] for row in await flow.indexed()] == [first.event_id]


async def enriched(flow: Flow, item: Detection) -> None:
    await stages.put_detections(flow.publisher, [item])
    await flow.enriched()
