"""Where workers stand in their topics, looked at from outside."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from ingest.adapters.coordinators import offsets_of
from schemas import offsets, topics
from services.demo.process import Child
from tests.bench.ingest.children import Failed
from tests.support.stages import SOURCES, mark
from tests.support.topics import admin
from tests.support.wait import until_async

ENRICHER: Final = "platetrail-enricher"
INDEXER: Final = "platetrail-indexer"
LOOK_S: Final = 0.1
STUCK_S: Final = 120.0


async def begin_at(bootstrap: str, group: str, at: Mapping[int, int]) -> None:
    """Put a group's offsets to partition -> offset: as its member `1`, since a group with members takes no others'."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, group_instance_id=f"{group}-1", enable_auto_commit=False
    )
    consumer.subscribe([SOURCES[group]])
    await consumer.start()

    async def whole() -> bool:
        return len(consumer.assignment()) == len(at)

    try:
        await until_async(whole, "one member has all partitions")
        await consumer.commit({TopicPartition(SOURCES[group], number): mark(offset) for number, offset in at.items()})
    finally:
        await consumer.stop()


class Topics:
    """A look at topics' ends and groups' offsets, over connections that are kept."""

    def __init__(self, bootstrap: str) -> None:
        """Know the broker."""
        self._bootstrap = bootstrap
        self._consumer: Any = None
        self._admin: Any = None
        self._partitions: dict[str, int] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Topics"]:
        """Stay connected while the block runs."""
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None)
        await self._consumer.start()
        try:
            async with admin(self._bootstrap) as self._admin:
                yield self
        finally:
            await self._consumer.stop()

    async def make(self, name: str, partitions: int) -> None:
        """Make a topic of the benchmark's own, unless it is there."""
        self._partitions[name] = partitions
        if name not in await self._admin.list_topics():
            await self._admin.create_topics([NewTopic(name, partitions, 1)])

    async def ends(self, topic: str) -> dict[int, int]:
        """Return partition -> the offset after its last record."""
        partitions = self._partitions.get(topic) or topics.load(topic).partitions
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        return {at.partition: end for at, end in (await self._consumer.end_offsets(parts)).items()}

    async def done(self, group: str) -> dict[int, int]:
        """Return partition -> the offset before which a group says it has written everything."""
        found = await offsets_of(self._admin, group)
        return {
            at.partition: offsets.done(one.offset, one.metadata)
            for at, one in found.items()
            if at.topic == SOURCES[group]
        }

    async def until_done(self, group: str, workers: Sequence[Child]) -> None:
        """Wait until a group has written all that is in its topic. Raises Failed if a worker ends, or is stuck."""
        ends = await self.ends(SOURCES[group])
        clock = asyncio.get_running_loop().time
        before, moved = -1, clock()
        while True:
            done = await self.done(group)
            if all(done.get(number, 0) >= end for number, end in ends.items()):
                return
            if (now := sum(done.values())) != before:
                before, moved = now, clock()
            _alive(workers)
            if clock() - moved > STUCK_S:
                raise Failed(f"{group} has committed nothing for {STUCK_S:.0f} s\n" + _tails(workers))
            await asyncio.sleep(LOOK_S)


def _alive(workers: Sequence[Child]) -> None:
    ended = tuple(worker for worker in workers if worker.returncode is not None)
    if ended:
        raise Failed(_tails(ended))


def _tails(workers: Sequence[Child]) -> str:
    return "\n".join(f"{worker.name}: {worker.tail()}" for worker in workers)
