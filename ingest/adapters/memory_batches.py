"""A topic, its consumer group, and an index in memory: what a stage runs on in unit tests."""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from ingest.adapters.memory import InMemory
from ingest.errors import Unavailable
from ingest.ports import Fetched, Kept
from ingest.rows import Row, newest
from schemas import offsets
from schemas.offsets import Written

Item = TypeVar("Item")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`ports.Message`."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class MemoryTopic:
    """A topic's records and one group's offsets; they outlive the sources that read them."""

    def __init__(self, name: str, partitions: int = 1) -> None:
        """Begin with no record."""
        warnings.warn("records are kept in memory alone", InMemory, stacklevel=2)
        self.name = name
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.committed = [0] * partitions
        self.beside = [""] * partitions

    def put(self, value: bytes | None, partition: int = 0, timestamp: int = 0, *, key: bytes | None = None) -> None:
        """Append a record, at a time in milliseconds."""
        log = self.records[partition]
        record = Record(
            topic=self.name, partition=partition, offset=len(log), timestamp=timestamp, value=value, key=key
        )
        log.append(record)

    def lag(self) -> int:
        """Return how many records the group has not written."""
        return sum(len(log) - (one.done or 0) for log, one in zip(self.records, self.written(), strict=True))

    def written(self) -> list[Written]:
        """Return what the group has left beside its offsets."""
        return [offsets.decode(offset, text) for offset, text in zip(self.committed, self.beside, strict=True)]


class MemorySource:
    """`ports.Source` on a MemoryTopic. `rebalance` takes the partitions away and gives them back.

    What is put into `idle_s` comes with the next batch that is empty, once.
    """

    def __init__(self, topic: MemoryTopic, max_records: int = 100) -> None:
        """Know the topic and the size of a batch."""
        self._topic = topic
        self._max_records = max_records
        self._positions: list[int] = []
        self._between_batches = asyncio.Lock()
        self._epoch = 0
        self._written: dict[tuple[str, int], Written] = {}
        self.idle_s: dict[tuple[str, int], float] = {}

    async def start(self) -> None:
        """Go on from the group's offsets."""
        self._positions = list(self._topic.committed)
        self._written = {(self._topic.name, number): one for number, one in enumerate(self._topic.written())}

    async def stop(self) -> None:
        """Do nothing."""

    async def fetch(self) -> Fetched:
        """See `ports.Source.fetch`."""
        found: list[Record] = []
        for number, log in enumerate(self._topic.records):
            start = self._positions[number]
            part = log[start : start + self._max_records - len(found)]
            found += part
            self._positions[number] = start + len(part)
        idle_s: dict[tuple[str, int], float] = {}
        if not found:
            idle_s, self.idle_s = self.idle_s, {}
            await asyncio.sleep(0.01)
        positions = {(record.topic, record.partition): record.offset + 1 for record in found}
        ends = zip(self._topic.records, self._positions, strict=True)
        return Fetched(
            messages=found,
            positions=positions,
            epoch=self._epoch,
            written=self._written,
            idle_s=idle_s,
            lag={(self._topic.name, number): len(log) - at for number, (log, at) in enumerate(ends)},
        )

    @contextlib.asynccontextmanager
    async def holding(self, fetched: Fetched) -> AsyncIterator[bool]:
        """See `ports.Source.holding`."""
        async with self._between_batches:
            yield fetched.epoch == self._epoch

    async def commit(self, fetched: Fetched, kept: Mapping[tuple[str, int], Kept]) -> bool:
        """See `ports.Source.commit`."""
        if fetched.epoch != self._epoch:
            return False
        for (_, partition), offset in fetched.positions.items():
            self._topic.committed[partition], self._topic.beside[partition] = offset, ""
        for (_, partition), (start, written) in kept.items():
            self._topic.committed[partition], self._topic.beside[partition] = start, offsets.encode(written)
        return True

    async def rebalance(self) -> None:
        """Give the partitions up, once no batch is being worked off, and take them again."""
        async with self._between_batches:
            self._epoch += 1
            await self.start()


class MemorySink(Generic[Item]):
    """`ports.Sink`: keeps what is written. While `failing` is over 0, a write is Unavailable and takes one off it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        warnings.warn("what is written is kept in memory alone", InMemory, stacklevel=2)
        self.items: list[Item] = []
        self.writes = 0
        self.failing = 0

    async def write(self, items: Sequence[Item]) -> None:
        """See `ports.Sink.write`."""
        self.writes += 1
        await asyncio.sleep(0)
        if self.failing > 0:
            self.failing -= 1
            raise Unavailable("switched off")
        self.items += items


class MemoryIndex:
    """`ports.Sink` of rows, by the index's rule: a row replaces another of its key if its revision is higher."""

    def __init__(self) -> None:
        """Begin with no row."""
        warnings.warn("rows are kept in memory alone", InMemory, stacklevel=2)
        self.rows: dict[tuple[object, ...], Row] = {}

    async def write(self, items: Sequence[Row]) -> None:
        """See `ports.Sink.write`."""
        for row in newest(items):
            other = self.rows.get(row.key)
            if other is None or row.revision > other.revision:
                self.rows[row.key] = row
