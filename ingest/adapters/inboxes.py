"""How far the inboxes have been read, as the broker has it: whoever asks need not be the one who reads."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from ingest.adapters.broker import Broker
from ingest.adapters.coordinators import heed, offsets_of
from ingest.adapters.ending import let_go
from ingest.alarm import Standing
from ingest.errors import Unavailable
from schemas import topics

TIMEOUT_S: Final = 20.0


def group(network: str) -> str:
    """Return the consumer group that reads a network's inbox."""
    return f"platetrail-inbox.{network}"


class Inboxes:
    """Looks at inboxes, on connections of its own. Use `start` and `stop`."""

    def __init__(self, broker: Broker | str, networks: Sequence[str]) -> None:
        """Know the broker and the networks."""
        self._broker = Broker.of(broker)
        self._networks = tuple(networks)
        self._admin: Any = None
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        self._admin = AIOKafkaAdminClient(**self._broker.options())
        heed(self._admin)
        self._consumer = AIOKafkaConsumer(
            **self._broker.options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=1024,  # the broker gives a whole batch at least: no more than that
        )
        try:
            await self._admin.start()
            await self._consumer.start()
        except KafkaConnectionError as error:
            await self.stop()
            raise self._broker.unreachable(error) from None

    async def stop(self) -> None:
        """Disconnect."""
        for client in (self._consumer, self._admin):
            if client is not None:
                await let_go(client.stop() if client is self._consumer else client.close())
        self._consumer = self._admin = None

    async def look(self) -> dict[str, Standing]:
        """Return how each network's inbox stands. Raises Unavailable; a topic that is missing is no different."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return {network: await self._standing(network) for network in self._networks}
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"the inboxes can't be looked at: {type(error).__name__}") from None

    async def _standing(self, network: str) -> Standing:
        parts = [TopicPartition(topics.inbox(network), number) for number in await self._partitions(network)]
        # Committed first: what is committed meanwhile makes the reader look slower than it is, never faster.
        committed = {at: one.offset for at, one in (await offsets_of(self._admin, group(network))).items()}
        starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(parts)
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(parts)
        read = {part: max(committed.get(part, 0), starts[part]) for part in parts}
        unread = {part: ends[part] - at for part, at in read.items() if ends[part] > at}
        oldest_at, unreadable = await self._oldest({part: read[part] for part in unread})
        return Standing(
            unread=sum(unread.values()),
            oldest_at=oldest_at,
            lost=unreadable + sum(max(0, starts[part] - committed.get(part, 0)) for part in parts),
        )

    async def _partitions(self, network: str) -> Sequence[int]:
        [described] = await self._admin.describe_topics([topics.inbox(network)])
        if not described["partitions"]:
            raise Unavailable(f"there is no topic {topics.inbox(network)}")
        return sorted(part["partition"] for part in described["partitions"])

    async def _oldest(self, positions: Mapping[TopicPartition, int]) -> tuple[datetime | None, int]:
        """Return when the oldest of the records at these positions was appended, and how many of them can't be read.

        One with a header whose name is no UTF-8 can't: the client raises.
        """
        if not positions:
            return None, 0
        self._consumer.assign(list(positions))
        for part, at in positions.items():
            self._consumer.seek(part, at)
        stamps: list[int] = []
        for part in positions:
            with contextlib.suppress(UnicodeDecodeError):
                stamps.append((await self._consumer.getone(part)).timestamp)
        oldest_at = datetime.fromtimestamp(min(stamps) / 1000, UTC) if stamps else None
        return oldest_at, len(positions) - len(stamps)
