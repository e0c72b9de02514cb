"""Where a member of a consumer group begins to read: at the group's offsets, or at what there is instead of them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError
from msgspec.structs import replace

from ingest.adapters.broker import Broker
from ingest.adapters.coordinators import heed
from ingest.adapters.partitions import Rebalances
from ingest.adapters.topic_ids import Identity
from ingest.errors import Unavailable
from ingest.ports import Place
from schemas import offsets
from schemas.offsets import Written

MADE_ANEW: Final = "it was deleted and made anew: it is read from its beginning; what nobody had read of it is gone"

_LOG: Final = structlog.get_logger()


class Beginnings:
    """Where reading begins in the partitions that a member has; learnt anew whenever some are assigned.

    `starts` are the offsets, as far as they are known. `identity` is that of the topics. `anew` are partitions of which
    the offsets speak of another topic: they begin at their beginning.
    """

    def __init__(
        self,
        broker: Broker,
        group: str,
        rebalances: Rebalances,
        *,
        began: Callable[[TopicPartition, int], None],
        lost: Callable[[int], None],
        taking: Callable[[Sequence[Place]], Awaitable[None]] | None,
        remembers: bool,
        outage_s: float,
    ) -> None:
        """Know nothing yet. `began` is told where reading begins elsewhere than at a group's offset.

        `lost`, `taking`, `remembers` and `outage_s` are as a GroupSource is given them.
        """
        self.starts: dict[TopicPartition, int] = {}
        self.identity = Identity()
        self.anew: set[TopicPartition] = set()
        self._broker = broker
        self._group = group
        self._rebalances = rebalances
        self._began = began
        self._lost = lost
        self._taking = taking
        self._remembers = remembers
        self._outage_s = outage_s

    async def written(self, consumer: Any, assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        """Learn where partitions that were just assigned begin, and return what the group has left beside its offsets.

        `starts`, `identity` and `anew` are of these partitions from then on; `taking` is told of them first. Raises
        KafkaError, and what `taking` raises.
        """
        partitions = list(assigned)
        if self._taking is not None:
            await self._taking([(at.topic, at.partition) for at in partitions])
        self.starts, self.identity, self.anew = {}, Identity(), set()
        if not partitions:
            return {}
        admin = AIOKafkaAdminClient(**self._broker.options())
        heed(admin)
        try:
            await admin.start()
            await self.identity.learn(admin, {at.topic for at in partitions})
            found = await admin.list_consumer_group_offsets(self._group, partitions=partitions)
        finally:
            await admin.close()
        self.starts = {at: one.offset for at, one in found.items() if one.offset >= 0}
        written = dict.fromkeys(found, Written(done=None))
        written |= {
            at: offsets.decode(offset, found[at].metadata, by_text=self._remembers)
            for at, offset in self.starts.items()
        }
        self.anew = {at for at in self.starts if self.identity.is_another(at.topic, written[at].topic)}
        written |= dict.fromkeys(self.anew, Written(done=None))
        if self._remembers:
            # Known before anything is taken: the first fetch may bring other partitions' messages alone.
            for at, begins_at in (await consumer.beginning_offsets(partitions)).items():
                if self.starts.get(at, begins_at) < begins_at:
                    written[at] = replace(written[at], beginning_gone=True)
        return {at: replace(one, topic=self.identity.of(at.topic)) for at, one in written.items()}

    def go_back(self, consumer: Any, epoch: int) -> bool:
        """Begin at the offsets as they were after `taking`: the client may have asked for them before that.

        Tells whether there is a `taking`: nothing that was fetched before counts then.
        """
        if self._taking is None:
            return False
        if epoch == self._rebalances.epoch:  # else other partitions are on their way
            for at, offset in self.starts.items():
                consumer.seek(at, offset)
        return True

    async def begin(self, consumer: Any, at: TopicPartition) -> None:
        """Begin where the group has no offset: what has expired there by now, it never read.

        Raises NotYet or Misconfigured, as `Rebalances.known` does.
        """
        if await self._known_of_ours() is None:
            return
        if at in self.starts:  # it had none when the client asked: a transaction has ended since
            consumer.seek(at, self.starts[at])
            return
        now_at = self.starts[at] = await self._at_beginning(consumer, at)
        self._lost(now_at)
        await self._remember(consumer, at, now_at, Written(done=None, topic=self.identity.of(at.topic)))

    async def begin_anew(self, consumer: Any, epoch: int, written: Mapping[TopicPartition, Written]) -> None:
        """Begin at the beginnings of topics that are not those of which the group's offsets speak."""
        if epoch != self._rebalances.epoch:  # other partitions are on their way
            return
        anew, self.anew = sorted(self.anew), set()
        for topic in sorted({at.topic for at in anew}):
            numbers = [at.partition for at in anew if at.topic == topic]
            _LOG.error("made_anew", topic=topic, partitions=numbers, reason=MADE_ANEW)
        with contextlib.suppress(IllegalStateError):  # they are on their way to somebody else, who finds it, too
            for at in anew:
                now_at = await self._at_beginning(consumer, at)
                self._lost(now_at)
                await self._remember(consumer, at, now_at, written[at])

    async def skip_expired(self, consumer: Any, expired: Mapping[TopicPartition, int]) -> None:
        """Go on at the oldest message there is: those before it expired unread, which nobody may miss.

        Passes that began before it may be written, and can't be remembered again. Raises Unavailable, to begin anew,
        where what a stage remembers is of another log, or the topic another one; NotYet or Misconfigured, as
        `Rebalances.known` does.
        """
        await self.identity.check(consumer, now=True)
        written = await self._known_of_ours()
        if written is None:
            return
        for at, offset in expired.items():
            if at in self.anew:
                continue
            now_at = await self._at_beginning(consumer, at)
            before = written.get(at, Written(done=offset))
            # What is read again was written: it may expire.
            unread = max(0, now_at - max(offset, before.done or 0))
            _LOG.error("expired_unread", topic=at.topic, partition=at.partition, messages=unread)
            self._lost(unread)
            written[at] = _cut_off(before, offset, now_at)
            await self._remember(consumer, at, now_at, written[at])
            if self._remembers and now_at < offset:
                raise Unavailable("a topic ends before what was read of it: it was made anew, or has lost messages")

    async def _known_of_ours(self) -> dict[TopicPartition, Written] | None:
        """Return `Rebalances.known` of now; None if the partitions are on their way: whoever has them begins anew."""
        epoch = self._rebalances.epoch
        written = await self._rebalances.known(epoch)
        return written if epoch == self._rebalances.epoch else None

    async def _at_beginning(self, consumer: Any, at: TopicPartition) -> int:
        """Begin at the oldest message there is; return its offset."""
        await consumer.seek_to_beginning(at)
        offset: int = await consumer.position(at)
        self._began(at, offset)
        return offset

    async def _remember(self, consumer: Any, at: TopicPartition, offset: int, before: Written) -> None:
        """Commit where reading begins, so that a restart before the next batch does not count what is lost again."""
        if self._taking is not None:
            return  # whose offsets move in transactions must find them as it took them
        with contextlib.suppress(CommitFailedError, IllegalStateError, TimeoutError):
            commit = consumer.commit({at: (offset, offsets.encode(before))})
            await asyncio.wait_for(commit, self._outage_s)


def _cut_off(before: Written, offset: int, start: int) -> Written:
    """Return what is known of a partition that was to be read from an offset, and begins at `start` by now."""
    if before.done is None or start < offset:  # the log ends before the offset: it is another one
        return Written(done=None, topic=before.topic)
    return replace(before, done=max(before.done, start), beginning_gone=True)
