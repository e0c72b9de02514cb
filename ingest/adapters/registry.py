"""The camera registry on Apache Kafka: the compacted topic is read whole at the start, and followed from then on.

There is no consumer group: state belongs to every process whole, and nobody's offsets are committed.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingest.adapters.broker import Broker
from ingest.adapters.cameras import CameraTable
from ingest.adapters.ending import let_go
from ingest.adapters.topic_ids import Identity, MadeAnew
from ingest.adapters.topics import partitions_of
from ingest.errors import Unavailable
from schemas import topics
from schemas.cameras import Camera

POLL_MS: Final = 1000
PAUSE_S: Final = 1.0

_LOG: Final = structlog.get_logger()


class KafkaRegistry:
    """`ports.Registry`. Use `start` and `stop`, or `async with`."""

    def __init__(self, broker: Broker | str, *, timeout_s: float) -> None:
        """Know the brokers and how long catching up may take before the registry is Unavailable."""
        self._broker = Broker.of(broker)
        self._timeout_s = timeout_s
        self._cameras = CameraTable()
        self._partitions: list[TopicPartition] = []
        self._read: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._consumer: AIOKafkaConsumer | None = None
        # Beside the one that follows: an answer waits behind a fetch on its connection, and that waits for records.
        self._asking: AIOKafkaConsumer | None = None
        self._following: asyncio.Task[None] | None = None
        self._identity = Identity()
        self.made_anew = False
        """Whether the topic was deleted and made anew while it was followed: it may lack what is known here."""

    async def __aenter__(self) -> "KafkaRegistry":
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def get(self, camera_id: str) -> Camera | None:
        """See `ports.Registry.get`."""
        return self._cameras.get(camera_id)

    def by_prefix(self, prefix: str) -> Camera | None:
        """See `ports.Registry.by_prefix`."""
        return self._cameras.by_prefix(prefix)

    def by_certificate(self, sha256: str) -> Camera | None:
        """See `ports.Registry.by_certificate`."""
        return self._cameras.by_certificate(sha256)

    def by_device(self, format_: str, device_id: str) -> Camera | None:
        """See `ports.Registry.by_device`."""
        return self._cameras.by_device(format_, device_id)

    def __len__(self) -> int:
        """Return how many cameras are known."""
        return len(self._cameras)

    @property
    def following(self) -> "asyncio.Task[None]":
        """The task that follows the topic. It ends only by `stop` or by a fault, which should end the process."""
        assert self._following is not None, "not started"
        return self._following

    async def start(self) -> None:
        """Read the topic to its present end.

        Raises Unavailable if no broker answers in time, Misconfigured if the topic does not exist.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                numbers = await partitions_of(self._broker, topics.CAMERAS)
                self._consumer, self._asking = self._new_consumer(), self._new_consumer()
                await self._consumer.start()
                await self._asking.start()
                await self._identity.learn(self._consumer, [topics.CAMERAS])
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise self._broker.unreachable(error) from None
        self._partitions = [TopicPartition(topics.CAMERAS, number) for number in numbers]
        self._consumer.assign(self._partitions)
        self._following = asyncio.create_task(self._follow(self._consumer))
        await self.caught_up()

    async def stop(self) -> None:
        """Stop following, and disconnect. What was read stays."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        for consumer in (self._consumer, self._asking):
            if consumer is not None:
                await let_go(consumer.stop())
        self._consumer = self._asking = None

    async def caught_up(self) -> None:
        """See `ports.Registry.caught_up`."""
        if self._asking is None or self.following.done():
            raise Unavailable("the registry is not followed")
        try:
            async with asyncio.timeout(self._timeout_s):
                ends: Mapping[TopicPartition, int] = await self._asking.end_offsets(self._partitions)
                async with self._moved:
                    await self._moved.wait_for(lambda: all(self._read.get(tp, 0) >= end for tp, end in ends.items()))
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"the registry lags: {type(error).__name__}") from None

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._broker.options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                await self._from_the_beginning_if_anew(consumer)
                records = await consumer.getmany(timeout_ms=POLL_MS)
            except KafkaError as error:
                # Tried again for as long as it takes; `caught_up` tells who needs to know that we lag.
                _LOG.warning("registry_unread", error=type(error).__name__)
                await asyncio.sleep(PAUSE_S)
                continue
            for some in records.values():
                for record in some:
                    if not self._cameras.apply(record.key, record.value):
                        _LOG.error("registry_record_unreadable", consequence="its camera is shut out")
            async with self._moved:
                for partition in self._partitions:
                    self._read[partition] = await consumer.position(partition)
                self._moved.notify_all()

    async def _from_the_beginning_if_anew(self, consumer: AIOKafkaConsumer) -> None:
        """Read the topic again if it is another one by now: what is known stays, and newer revisions win."""
        try:
            await self._identity.check(consumer)
        except MadeAnew:
            await self._identity.learn(consumer, [topics.CAMERAS])
            await consumer.seek_to_beginning(*self._partitions)
            self.made_anew = True
            _LOG.error("made_anew", topic=topics.CAMERAS, reason="it was deleted and made anew: it is read again")
