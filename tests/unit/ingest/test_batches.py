"""What a group's source makes of a log that has lost its beginning, or is another one."""

from collections.abc import Iterable, Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from ingest.adapters.batches import GroupSource
from ingest.errors import Unavailable
from schemas import offsets
from schemas.offsets import Written

AT = TopicPartition("detections", 3)
PLACE = (AT.topic, AT.partition)


class Log:
    """A consumer of one partition, which begins at an offset; its group has committed another one."""

    def __init__(self, begins_at: int, committed: int) -> None:
        self.begins_at = begins_at
        self.position_: int = committed
        self.marks: dict[TopicPartition, tuple[int, str]] = {}

    async def getmany(self, **_: object) -> dict[TopicPartition, list[object]]:
        if self.position_ != self.begins_at:
            raise OffsetOutOfRangeError({AT: self.position_})
        return {}

    async def seek_to_beginning(self, _: TopicPartition) -> None:
        self.position_ = self.begins_at

    async def position(self, _: TopicPartition) -> int:
        return self.position_

    async def commit(self, marks: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.marks |= marks

    def assignment(self) -> set[TopicPartition]:
        return {AT}

    def highwater(self, _: TopicPartition) -> None:
        return None

    def last_poll_timestamp(self, _: TopicPartition) -> None:
        return None


class Source(GroupSource):
    """A source on a log, whose group has left something beside its offset."""

    def __init__(self, log: Log, written: Written, *, remembers: bool = True) -> None:
        self.lost = 0
        super().__init__(
            "nobody:1", "detections", group="g", instance="1", max_records=9, session_timeout_s=6.0,
            lost=self.count, remembers=remembers,
        )  # fmt: skip
        self._consumer = log
        self._answer = written

    def count(self, lost: int) -> None:
        self.lost += lost

    async def _written(self, assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        return dict.fromkeys(assigned, self._answer)

    async def joined(self) -> "Source":
        await self._rebalances.on_partitions_revoked([])
        await self._rebalances.on_partitions_assigned([AT])
        return self


@pytest.mark.parametrize(
    ("begins_at", "done", "lost"),
    [(15, 20, 0), (20, 20, 0), (26, 20, 6)],
)
async def test_where_reads_that_are_needed_again_have_expired_the_first_window_may_be_partial(
    begins_at: int, done: int, lost: int
) -> None:
    """The group has committed offset 10, where the oldest open pass began."""
    log = Log(begins_at, committed=10)
    source = await Source(log, Written(done=done, whole_after_s=5.0)).joined()
    fetched = await source.fetch()
    expected = Written(done=max(done, begins_at), whole_after_s=5.0, beginning_gone=True)
    assert fetched.written == {PLACE: expected}, "what is taken from now on begins with it"
    assert log.marks == {AT: (begins_at, offsets.encode(expected))}, "and so does a restart"
    assert source.lost == lost
    assert (await source.fetch()).written == {PLACE: expected}
    assert source.lost == lost, "counted once"


async def test_what_nobody_knows_stays_unknown() -> None:
    log = Log(15, committed=10)
    source = await Source(log, Written(done=None)).joined()
    assert (await source.fetch()).written == {PLACE: Written(done=None)}
    assert source.lost == 5


async def test_of_a_log_that_ends_before_the_offset_nothing_counts_as_written() -> None:
    """A topic that was made anew: reads must not pass as written because others stood at their offsets."""
    log = Log(0, committed=10)
    source = await Source(log, Written(done=20)).joined()
    with pytest.raises(Unavailable, match="made anew"):
        await source.fetch()
    assert log.marks == {AT: (0, offsets.encode(Written(done=None)))}, "a restart begins there"
    assert source.lost == 0


async def test_one_that_remembers_nothing_goes_on_there() -> None:
    log = Log(0, committed=10)
    source = await Source(log, Written(done=20), remembers=False).joined()
    assert (await source.fetch()).written == {PLACE: Written(done=None)}
