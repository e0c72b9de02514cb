"""The demo's wait for the index: until the group has committed everything; an error if it stands still or ends."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.demo.drain import drained
from services.demo.kafka import Kafka
from services.demo.process import ChildError


async def filled(kafka: Kafka, records: int) -> str:
    topic = f"drain-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for number in range(records):
            await producer.send_and_wait(topic, b"x", partition=number % 2)
    return topic


async def commit(kafka: Kafka, topic: str, group: str, offsets: tuple[int, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
    partitions = [TopicPartition(topic, number) for number in range(2)]
    consumer.assign(partitions)
    await consumer.start()
    await consumer.commit(dict(zip(partitions, offsets, strict=True)))
    await consumer.stop()


def alive() -> None:
    return None


async def test_it_waits_until_everything_is_committed(kafka: Kafka) -> None:
    topic = await filled(kafka, 5)
    group = f"group-{topic}"
    waiting = asyncio.create_task(drained(kafka.bootstrap, topic, group, alive=alive))
    await commit(kafka, topic, group, (3, 1))
    assert not waiting.done()
    await commit(kafka, topic, group, (3, 2))
    assert await waiting == 5


async def test_a_group_that_stands_still_is_an_error(kafka: Kafka) -> None:
    topic = await filled(kafka, 3)
    with pytest.raises(TimeoutError, match="stands still at 0 of 3"):
        await drained(kafka.bootstrap, topic, f"group-{topic}", alive=alive, limit_s=0.3)


async def test_a_worker_that_has_ended_is_an_error(kafka: Kafka) -> None:
    def dead() -> None:
        raise ChildError("a service has ended")

    topic = await filled(kafka, 1)
    with pytest.raises(ChildError):
        await drained(kafka.bootstrap, topic, f"group-{topic}", alive=dead)


async def test_an_empty_topic_is_done(kafka: Kafka) -> None:
    topic = await filled(kafka, 0)
    assert await drained(kafka.bootstrap, topic, "nobody", alive=alive) == 0
