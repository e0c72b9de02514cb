"""Batches from Apache Kafka: a consumer group's source."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from ingest.adapters import membership
from ingest.adapters.beginnings import Beginnings
from ingest.adapters.broker import Broker
from ingest.adapters.clock import FetchedClocks
from ingest.adapters.coordinators import heed
from ingest.adapters.ending import let_go
from ingest.adapters.partitions import Idle, Rebalances
from ingest.errors import NotYet, Unavailable, Unreadable
from ingest.ports import Fetched, Kept, Place
from schemas.offsets import Written

FETCH_WAIT_MS: Final = 500

METADATA_AGE_MS: Final = 30_000

PARTITION_BYTES: Final = 4 * 1024 * 1024
"""What a source holds of each of its partitions at the most, beside the batches that were fetched."""

OUTAGES_A_BATCH: Final = 4
"""For how many outages in a row a member is kept in its group; after more it loses its partitions, and the batch is
done again."""


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
        outage_s: float = 120.0,
        lost: Callable[[int], None] = lambda _: None,
        idle_after_s: float | None = None,
        committed_only: bool = False,
        taking: Callable[[Sequence[Place]], Awaitable[None]] | None = None,
        remembers: bool = False,
    ) -> None:
        """Know the topic and the group; `start` joins it. `lost` is told how many messages expired unread.

        A partition is said to be idle when no message has come for `idle_after_s` seconds; None: never. With
        `committed_only`, what belongs to a transaction is read once that is committed. `taking` is told whenever
        partitions are assigned, and the group's offsets of them count as they are when it returns. With `remembers`,
        an offset without our text beside it (somebody has moved the group) does not say what was written.
        """
        self._broker = Broker.of(broker)
        self._topics = [topic] if isinstance(topic, str) else list(topic)
        self._max_records = max_records
        self._outage_s = outage_s
        self._rebalances = Rebalances(self._written)
        self._beginnings = Beginnings(
            self._broker,
            group,
            self._rebalances,
            began=self._note_beginning,
            lost=lost,
            taking=taking,
            remembers=remembers,
            outage_s=outage_s,
        )
        self._idle = Idle(idle_after_s) if idle_after_s is not None else None
        self._consumer: Any = None
        self._at: dict[TopicPartition, int] = {}
        self._committed_only = committed_only
        self._remembers = remembers
        self._begun: int | None = None
        self._rejoined = False
        self._clocks = FetchedClocks()
        self._options = {
            "client_id": f"{group}-{instance}",
            "group_id": group,
            "group_instance_id": f"{group}-{instance}",
            "enable_auto_commit": False,
            # Where there is no offset to go on from, `fetch` decides, and says so if anything was lost.
            "auto_offset_reset": "none",
            "isolation_level": "read_committed" if committed_only else "read_uncommitted",
            "session_timeout_ms": int(session_timeout_s * 1000),
            "heartbeat_interval_ms": int(session_timeout_s * 1000 / 10),
            # A topic that is made anew, or has more partitions, is seen by then.
            "metadata_max_age_ms": METADATA_AGE_MS,
            # All that is held of a partition: no more of it is asked for until this is fetched.
            "max_partition_fetch_bytes": PARTITION_BYTES,
            # A member that does not fetch for so long leaves its group: in an outage it must not.
            "max_poll_interval_ms": int((OUTAGES_A_BATCH * outage_s + 60) * 1000),
        }

    async def start(self) -> None:
        """Join the group, and return once partitions were assigned. Raises Unavailable: no broker, or no topic yet."""
        consumer = AIOKafkaConsumer(**self._broker.options(), **self._options)
        heed(consumer)
        consumer.subscribe(self._topics, listener=self._rebalances)
        self._consumer = consumer  # its listener asks it
        try:
            await consumer.start()
        except KafkaError as error:
            await let_go(consumer.stop())
            raise membership.not_joined(error, self._broker, self._topics) from None

    async def fetch(self) -> Fetched:
        """Return up to `max_records` messages; an empty batch if none came for half a second.

        Raises NotYet where a broker has gone away in the moment in which it assigned partitions: nothing of them may be
        taken before it has said what was written of them. Raises Unreadable where a record has a header whose name is
        no UTF-8: the client has let go of what it took from other partitions before, so that this source must not be
        asked again. Raises Misconfigured or Unavailable where the group has put this member out
        (`membership.refused`), or a topic is another one.
        """
        self._ask_again()
        found: dict[TopicPartition, list[Any]] = {}
        try:
            found = await self._next()
            epoch = self._rebalances.epoch
            written = await self._rebalances.known(epoch)
        except NotYet:
            self._put_back(found)
            raise
        if written is None:
            self._put_back(found)
            return Fetched(messages=[], positions={}, epoch=epoch, unanswered_s=math.inf)
        found = await self._begin(epoch, written, found)
        await self._beginnings.identity.check(self._consumer)
        positions = {at: messages[-1].offset + 1 for at, messages in found.items()}
        self._at.update(positions)
        if self._committed_only:
            positions |= await self._passed()
        lag = self._lag()
        self._clocks.compare(self._consumer, found)
        return Fetched(
            messages=[message for messages in found.values() for message in messages],
            positions={(at.topic, at.partition): offset for at, offset in positions.items()},
            epoch=epoch,
            written={(at.topic, at.partition): one for at, one in written.items()},
            idle_s=await self._idle.since(self._consumer, found) if self._idle is not None else {},
            lag=lag,
            # A transaction without an end holds back all that comes after it: that is no word of having nothing.
            unanswered_s=math.inf if self._committed_only and any(lag.values()) else self._unanswered_s(),
        )

    async def _next(self) -> dict[TopicPartition, list[Any]]:
        """Return the messages that come next; none where it must be found out first where a partition begins."""
        try:
            return await self._taken()
        except IllegalStateError:  # a partition went to somebody else meanwhile, who finds out where it begins
            return {}
        except KafkaError as error:
            raise membership.refused(error) from None
        except UnicodeDecodeError:
            raise Unreadable(f"a record of {' or '.join(self._topics)} has a header whose name is no text") from None

    async def _taken(self) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await self._consumer.getmany(
                timeout_ms=FETCH_WAIT_MS, max_records=self._max_records
            )
        except NoOffsetForPartitionError as error:
            await self._beginnings.begin(self._consumer, error.args[0])
        except OffsetOutOfRangeError as error:
            await self._beginnings.skip_expired(self._consumer, error.args[0])
        else:
            return found
        return {}

    async def _begin(
        self, epoch: int, written: Mapping[TopicPartition, Written], found: dict[TopicPartition, list[Any]]
    ) -> dict[TopicPartition, list[Any]]:
        """Begin with partitions that have just come; return what was found without what does not count then."""
        if epoch != self._begun:
            self._at = dict(self._beginnings.starts)
            if self._beginnings.go_back(self._consumer, epoch):
                found = {}
            if epoch == self._rebalances.epoch:  # else other partitions are on their way
                self._begun = epoch
        if anew := self._beginnings.anew:
            found = {at: messages for at, messages in found.items() if at not in anew}
            await self._beginnings.begin_anew(self._consumer, epoch, written)
        return found

    def _note_beginning(self, at: TopicPartition, offset: int) -> None:
        self._at[at] = offset

    async def _written(self, assigned: Iterable[TopicPartition]) -> dict[TopicPartition, Written]:
        return await self._beginnings.written(self._consumer, assigned)

    def _put_back(self, found: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Put back messages that may not be taken yet."""
        with contextlib.suppress(IllegalStateError):  # they are on their way to somebody else, who begins anew
            for at, messages in found.items():
                self._consumer.seek(at, messages[0].offset)

    @contextlib.asynccontextmanager
    async def holding(self, fetched: Fetched) -> AsyncIterator[bool]:
        """Keep the partitions from being given up while a batch is worked off; False: they were already."""
        async with self._rebalances.between_batches:
            yield fetched.epoch == self._rebalances.epoch

    async def commit(self, fetched: Fetched, kept: Mapping[tuple[str, int], Kept]) -> bool:
        """See `ports.Source.commit`. Raises Unavailable."""
        marks = {
            TopicPartition(*place): (offset, "" if self._remembers else fetched.beside(place, Written(done=offset)))
            for place, offset in fetched.positions.items()
        }
        marks |= {TopicPartition(*place): (start, fetched.beside(place, one)) for place, (start, one) in kept.items()}
        try:
            await asyncio.wait_for(self._consumer.commit(marks), self._outage_s)
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            raise membership.refused(error) from None
        except TimeoutError:
            raise Unavailable("the broker does not take offsets") from None
        return True

    async def stop(self) -> None:
        """Stop fetching. A static member leaves its group only when its session ends: a restart finds it there."""
        if self._consumer is not None:
            await let_go(self._consumer.stop())

    def _lag(self) -> dict[tuple[str, int], int]:
        """Return how many messages come after those fetched so far: the broker says it with each answer to a fetch."""
        assigned = self._consumer.assignment()
        self._at = {at: offset for at, offset in self._at.items() if at in assigned}
        ends = {at: self._consumer.highwater(at) for at in assigned}
        return {
            (at.topic, at.partition): max(0, end - self._at.get(at, end)) for at, end in ends.items() if end is not None
        }

    def _unanswered_s(self) -> float:
        answers: list[int | None] = [self._consumer.last_poll_timestamp(at) for at in self._consumer.assignment()]
        heard = [answer for answer in answers if answer is not None]
        if not answers or len(heard) < len(answers):
            return math.inf
        return max(0.0, time.time() - min(heard) / 1000)

    async def _passed(self) -> dict[TopicPartition, int]:
        """Return where reading stands, where that is further than the last message, or than where reading began.

        A transaction's end takes a place, and so does what was undone. Without that a group would never be at the end
        of a topic with transactions.
        """
        passed: dict[TopicPartition, int] = {}
        with contextlib.suppress(IllegalStateError):  # partitions are on their way to somebody else
            known = self._consumer.assignment() & self._at.keys()
            # Where it stands is not known yet of those that were not asked for.
            for at in [at for at in known if self._consumer.last_poll_timestamp(at) is not None]:
                offset = await self._consumer.position(at)
                if offset > self._at[at]:
                    passed[at] = self._at[at] = offset
        return passed

    def _ask_again(self) -> None:
        """Ask the group for partitions once more, once, if there are none.

        A member that is back within its session is given what it had: nothing, if its topic was not there at the time.
        """
        if not self._rejoined and not self._consumer.assignment():
            self._rejoined = True
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - of the group's leader, this is heard
