"""Topics in the tests' broker: emptied, written by hand, and read whole."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.adapters.coordinators import heed
from ingest.adapters.topics import ensure_topics
from schemas import topics
from tests.support.wait import until_async


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    heed(client)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_topics(bootstrap: str, names: Sequence[str] = topics.ALL) -> None:
    """See that topics are there, as their files say, and led.

    A test does not delete one to begin without a record: a broker acknowledges writes to a deleted topic for a moment.
    """
    await ensure_topics(bootstrap, names)
    async with admin(bootstrap) as client:

        async def led() -> bool:
            described = await client.describe_topics(list(names))
            return all(
                one["error_code"] == 0 and one["partitions"] and all(part["leader"] >= 0 for part in one["partitions"])
                for one in described
            )

        await until_async(led, "every partition has a leader")


async def delete(bootstrap: str, *names: str) -> None:
    """Delete topics, and wait until they are gone. What is written to them for a moment then is lost."""
    async with admin(bootstrap) as client:
        await client.delete_topics(list(names))

        async def gone() -> bool:
            return not {*names} & {*await client.list_topics()}

        await until_async(gone, "the topics are gone")


async def set_configs(bootstrap: str, topic: str, configs: dict[str, str]) -> None:
    """Give a topic these configurations and no others, as somebody might by hand."""
    async with admin(bootstrap) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


async def write(
    bootstrap: str, topic: str, *records: tuple[bytes, bytes | None], max_request_size: int = 2**20
) -> None:
    """Append records by hand. One over `max_request_size` bytes is not sent; one over the topic's limit is refused."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=max_request_size)
    await producer.start()
    try:
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key)
    finally:
        await producer.stop()


class Tail:
    """What was appended to a topic since the tail was begun."""

    def __init__(self, consumer: AIOKafkaConsumer, marks: dict[TopicPartition, int]) -> None:
        """Know where each partition ended then."""
        self._consumer = consumer
        self._marks = marks

    async def records(self) -> list[tuple[bytes, bytes]]:
        """Return all records since, partition after partition."""
        ends = await self._consumer.end_offsets(list(self._marks))
        found: dict[TopicPartition, list[tuple[bytes, bytes]]] = {part: [] for part in self._marks}
        self._consumer.resume(*self._marks)
        for part, mark in self._marks.items():
            self._consumer.seek(part, mark)
        while left := [part for part in self._marks if await self._consumer.position(part) < ends[part]]:
            # No fetch waits at the end of a partition: what is asked next would be answered after it.
            self._consumer.pause(*(self._marks.keys() - left))
            for part, records in (await self._consumer.getmany(timeout_ms=200)).items():
                found[part] += [(record.key, record.value) for record in records]
        self._consumer.pause(*self._marks)
        return [record for records in found.values() for record in records]


@asynccontextmanager
async def tail(bootstrap: str, topic: str, *, committed_only: bool = True) -> AsyncIterator[Tail]:
    """Begin a tail of a topic; of what belongs to transactions, it holds what was committed, unless told otherwise."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=None,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if committed_only else "read_uncommitted",
    )
    await consumer.start()
    try:
        parts = sorted(consumer.assignment())
        consumer.pause(*parts)
        yield Tail(consumer, await consumer.end_offsets(parts))
    finally:
        await consumer.stop()
