"""A group has its offsets from its broker's first moment on: a coordinator that still loads does not deny them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingest.adapters.coordinators import heed
from schemas import topics
from services.demo.kafka import Kafka
from tests.support.topics import admin, make_topics
from tests.support.wait import until_async

GROUP = "platetrail-loading"
ASKING = 6
RESTARTS = 10
COMMITS = 1500


async def test_a_broker_that_has_just_started_never_says_that_a_group_has_no_offsets(own_kafka: Kafka) -> None:
    """By admin clients and by members: both begin at what they are told, and without offsets at a topic's beginning."""
    await make_topics(own_kafka.bootstrap, [topics.DETECTIONS])
    places = [TopicPartition(topics.DETECTIONS, number) for number in range(topics.load(topics.DETECTIONS).partitions)]
    async with member(own_kafka, places) as client:
        for offset in range(1, COMMITS + 1):  # something to load
            await client.commit(dict.fromkeys(places, offset))
    said: Counter[str] = Counter()
    for _ in range(RESTARTS):
        await asyncio.to_thread(own_kafka.kill)
        async with asyncio.timeout(120), asyncio.TaskGroup() as asking:
            for _ in range(ASKING):
                asking.create_task(ask(own_kafka, places, said))
            asking.create_task(ask_as_member(own_kafka, places))
            await asyncio.to_thread(own_kafka.restart)
        if said["GroupLoadInProgressError"]:
            break
    assert said["GroupLoadInProgressError"] > 0, "it was asked while it loads, in one of these restarts"


async def ask(kafka: Kafka, places: list[TopicPartition], said: Counter[str]) -> None:
    """Ask for a group's offsets over and over, until they are there a while."""
    named = 0
    while named < 50:
        with contextlib.suppress(KafkaError, OSError):
            async with admin(kafka.bootstrap) as client:
                while named < 50:
                    try:
                        found = await client.list_consumer_group_offsets(GROUP, partitions=places)
                    except KafkaError as error:
                        said[type(error).__name__] += 1
                        raise
                    assert {at: one.offset for at, one in found.items()} == dict.fromkeys(places, COMMITS)
                    named += 1
        await asyncio.sleep(0.005)


async def ask_as_member(kafka: Kafka, places: list[TopicPartition]) -> None:
    """Ask as a member does, whose client asks again by itself, as soon as there is somebody to ask."""

    async def there() -> bool:
        with contextlib.suppress(KafkaError, OSError):
            async with member(kafka, places) as client:
                for place in places:
                    assert await client.committed(place) == COMMITS
                return True
        return False

    await until_async(there, "a member is told")


@asynccontextmanager
async def member(kafka: Kafka, places: list[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer of the group's to which partitions were given by hand."""
    client = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=GROUP, enable_auto_commit=False)
    heed(client)
    try:
        await client.start()
        client.assign(places)
        yield client
    finally:
        await client.stop()
