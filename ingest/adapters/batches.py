"""Batches from and to Apache Kafka: a consumer group's source, and a sink that waits for every acknowledgement."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from ingest.adapters.broker import Broker
from ingest.errors import Misconfigured, Unavailable
from ingest.ports import Fetched, Publisher
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.sightings import Sighting

FETCH_WAIT_MS: Final = 500
STOP_S: Final = 5.0

_LOG: Final = structlog.get_logger()

T = TypeVar("T", bound=Sighting | DeadLetter)


class GroupSource:
    """A Source: one topic or several, as one member of a consumer group.

    `instance` names the member for good (static membership), so that a worker which is killed and started again has
    its partitions back at once instead of after the session timeout.
    """

    def __init__(
        self,
        broker: Broker | str,
        topic: str | Sequence[str],
        *,
        group: str,
        instance: str,
        max_records: int,
        session_timeout_s: float,
        commit_timeout_s: float = 120.0,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Know the topic and the group; `start` joins it. `lost` is told how many messages expired unread."""
        self._broker = Broker.of(broker)
        self._topics = [topic] if isinstance(topic, str) else list(topic)
        self._max_records = max_records
        self._commit_timeout_s = commit_timeout_s
        self._lost = lost
        self._rebalances = _Rebalances()
        self._consumer: Any = None
        self._options = {
            "client_id": f"{group}-{instance}",
            "group_id": group,
            "group_instance_id": f"{group}-{instance}",
            "enable_auto_commit": False,
            # Where there is no offset to go on from, `fetch` decides, and says so if anything was lost.
            "auto_offset_reset": "none",
            "session_timeout_ms": int(session_timeout_s * 1000),
            "heartbeat_interval_ms": int(session_timeout_s * 1000 / 10),
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
        }

    async def start(self) -> None:
        """Join the group, and return once partitions were assigned. Raises Unavailable: no broker, or no topic yet."""
        consumer = AIOKafkaConsumer(**self._broker.options(), **self._options)
        consumer.subscribe(self._topics, listener=self._rebalances)
        try:
            await consumer.start()
        except KafkaConnectionError as error:
            await consumer.stop()
            raise self._broker.unreachable(error) from None
        except UnknownTopicOrPartitionError:  # after the client has waited for it
            await consumer.stop()
            raise Unavailable(f"there is no topic {' or '.join(self._topics)} yet: the relay makes it") from None
        self._consumer = consumer

    async def fetch(self) -> Fetched:
        """Return up to `max_records` messages; an empty batch if none came for half a second."""
        try:
            found = await self._consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=self._max_records)
        except NoOffsetForPartitionError as error:
            await self._begin(error.args[0])
            found = {}
        except OffsetOutOfRangeError as error:
            await self._skip_expired(error.args[0])
            found = {}
        return Fetched(
            messages=[message for messages in found.values() for message in messages],
            positions={(at.topic, at.partition): messages[-1].offset + 1 for at, messages in found.items()},
            epoch=self._rebalances.epoch,
        )

    @contextlib.asynccontextmanager
    async def holding(self, fetched: Fetched) -> AsyncIterator[bool]:
        """Keep the partitions from being given up while a batch is worked off; False: they were already."""
        async with self._rebalances.between_batches:
            yield fetched.epoch == self._rebalances.epoch

    async def commit(self, fetched: Fetched) -> bool:
        """Move the group's offsets past a batch. False: another member has the partitions. Raises Unavailable."""
        offsets = {TopicPartition(topic, number): offset for (topic, number), offset in fetched.positions.items()}
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), self._commit_timeout_s)
        except (CommitFailedError, IllegalStateError):
            return False
        except TimeoutError:
            raise Unavailable("the broker does not take offsets") from None
        return True

    async def stop(self) -> None:
        """Stop fetching. A static member leaves its group only when its session ends: a restart finds it there."""
        if self._consumer is not None:
            await _within(STOP_S, self._consumer.stop())

    async def _begin(self, at: TopicPartition) -> None:
        """Begin where the group has no offset: what has expired there by now, it never read."""
        await self._consumer.seek_to_beginning(at)
        now_at = await self._consumer.position(at)
        self._lost(now_at)
        await self._remember(at, now_at)

    async def _skip_expired(self, offsets: dict[TopicPartition, int]) -> None:
        """Go on at the oldest message there is: those before it expired unread, which nobody may miss."""
        for at, offset in offsets.items():
            await self._consumer.seek_to_beginning(at)
            now_at = await self._consumer.position(at)
            expired = max(0, now_at - offset)
            _LOG.error("expired_unread", topic=at.topic, partition=at.partition, messages=expired)
            self._lost(expired)
            await self._remember(at, now_at)

    async def _remember(self, at: TopicPartition, offset: int) -> None:
        """Commit where reading begins, so that a restart before the next batch does not count what is lost again."""
        with contextlib.suppress(CommitFailedError, IllegalStateError, TimeoutError):
            await asyncio.wait_for(self._consumer.commit({at: offset}), self._commit_timeout_s)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets partitions go between batches only, and counts how often they went."""

    def __init__(self) -> None:
        self.between_batches = asyncio.Lock()
        self.epoch = 0

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        async with self.between_batches:
            self.epoch += 1

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        _LOG.info("assigned", partitions=sorted(at.partition for at in assigned))


class TopicSink(Generic[T]):
    """A Sink that writes values to one topic as `schemas.wire` encodes them."""

    def __init__(self, publisher: Publisher, topic: str, key: Callable[[T], bytes]) -> None:
        """Know the topic, and how a value's key is made."""
        self._publisher = publisher
        self._topic = topic
        self._key = key

    async def write(self, items: Sequence[T]) -> None:
        """Write all items and await every acknowledgement. Raises Unavailable, or Misconfigured if one is refused."""
        results = await self._publisher.publish(self._topic, [(self._key(item), wire.encode(item)) for item in items])
        refused = [result for result in results if result is not None]
        if refused:
            raise Misconfigured(f"the broker refuses {len(refused)} records of {self._topic}: {refused[0]}")


def sighting_key(sighting: Sighting) -> bytes:
    """Return the key of a sighting's record: its plate key, so that reads of one plate share a partition."""
    return sighting.plate_key.encode()


async def _within(seconds: float, stopping: Any) -> None:
    """Wait for a client to stop, but not for ever: without a broker it would."""
    try:
        await asyncio.wait_for(stopping, seconds)
    except TimeoutError:
        _LOG.warning("left_behind", reason="the broker did not answer at the end")
