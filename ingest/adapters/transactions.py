"""Writing what comes of one partition's messages, and moving its offset, in one Kafka transaction.

Each source partition has a transactional id of its own: whoever is given the partition makes a producer with that id,
and from then on the broker refuses whoever had it before, even one that was frozen in the middle of a write. An id for
each worker would not do that: no generation of the group goes with the offsets.

A broker may leave a transaction without an end, in all or in some of its partitions, though it calls it over: one that
is killed before it has written the end takes partitions that have no leader yet, as it starts again, for deleted ones,
and passes them over (seen with Kafka 4.3.1, where all replicas of a partition were away at once). What is open counts,
or not, with the next transaction of the same id, while the offsets may be those of before. So nothing is begun over a
connection that was lost: the id is taken anew, and what its last transaction left is ended as that one was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from ingest.adapters import ends
from ingest.adapters.broker import Broker
from ingest.adapters.ending import let_go
from ingest.adapters.kafka import Record, records, traced
from ingest.adapters.transacting import NOT_ALLOWED, Lost, Transacting, Write
from ingest.errors import Fenced, Misconfigured, Oversized, PublishError, TooLarge, Unavailable, Unsettled
from ingest.ports import Place
from schemas import topics
from schemas.deadletters import DeadLetter

_LOG: Final = structlog.get_logger()


class Transactions:
    """`ports.Atomic`: one producer for each source partition that this worker has."""

    def __init__(
        self,
        broker: Broker | str,
        *,
        group: str,
        topic: str,
        letter_key: Callable[[DeadLetter], bytes],
        timeout_s: float,
    ) -> None:
        """Know whose offsets move, where items go, and how long one transaction may take, outages included."""
        self._broker = Broker.of(broker)
        self._group = group
        self._topic = topic
        self._letter_key = letter_key
        self._timeout_s = timeout_s
        self._producers: dict[Place, Transacting] = {}
        self._marks: dict[Place, ends.Mark] = {}
        self._owners: dict[Place, ends.Owner] = {}
        # The offsets before a transaction that was begun, and has no answer yet.
        self._doubts: dict[Place, ends.Mark] = {}
        # Whether the last transaction of an id counts, until all that it left has an end: once an id is taken, the
        # broker does not know it any more.
        self._counts: dict[Place, bool] = {}

    async def start(self) -> None:
        """Say what is done; producers are made when partitions are given to us."""
        _LOG.info("writes_in_transactions", group=self._group)

    async def stop(self) -> None:
        """Disconnect. What was begun and not committed is undone."""
        producers, self._producers = list(self._producers.values()), {}
        await asyncio.gather(*(producer.stop() for producer in producers))

    async def take(self, places: Collection[Place]) -> None:
        """Make producers for these partitions and no others. Raises Unavailable.

        When it returns, nobody else can write what comes of them, and everything that others had begun is either undone
        or committed, and its offsets are those to begin at.
        """
        await self.stop()
        self._marks, self._doubts = {}, {}
        await self._take(places)

    async def write(
        self,
        place: Place,
        items: Sequence[Record],
        letters: Sequence[DeadLetter],
        offset: int,
        beside: str,
        traces: Mapping[int, bytes],
    ) -> None:
        """See `ports.Atomic.write`."""
        writes = [
            (self._topic, traced(items, traces)),
            (topics.DEAD_LETTERS, records(letters, self._letter_key)),
        ]
        try:
            async with asyncio.timeout(self._timeout_s):
                results = await self._written(place, writes, (offset, beside))
        except TimeoutError:
            raise Unavailable("a transaction was not acknowledged in time") from None
        too_large = [at for at, result in enumerate(results) if isinstance(result, TooLarge)]
        if too_large:
            raise Oversized(too_large)
        self._marks[place] = (offset, beside)

    async def _written(self, place: Place, writes: Sequence[Write], mark: ends.Mark) -> Sequence[PublishError | None]:
        """Write, unless that was done and its answer lost; return what was refused."""
        if place in self._doubts and await self._counted(place, writes, mark):
            return []
        producer = self._producers.get(place)
        if producer is None:
            raise Unavailable("there is no producer for a partition of this batch")
        self._doubts[place] = self._marks[place]
        try:
            results = await producer.transact(writes, self._group, place, mark)
        except Lost as lost:
            _LOG.warning("transaction_lost", topic=place[0], partition=place[1], reason=str(lost))
            if lost.undone:
                self._counts[place] = False
            raise Unavailable("a transaction has no answer: it is written again, unless it counts") from None
        del self._doubts[place]
        return results

    async def _counted(self, place: Place, writes: Sequence[Write], mark: ends.Mark) -> bool:
        """Take a partition's id again; tell by its offset whether the transaction counts whose answer is missing."""
        if (producer := self._producers.get(place)) is not None:
            self._owners[place] = producer.owner  # it may have taken the id more than once
        await self._take([place], again=True)
        before, found = self._doubts.pop(place), self._marks[place]
        if found == mark != before:
            return True
        if found != before:
            raise Fenced("somebody else has moved the offset of a partition of this worker")
        if found == mark and any(items for _, items in writes):
            raise Unsettled("nobody knows whether a transaction counts that did not move its offset")
        return False

    async def _take(self, places: Collection[Place], *, again: bool = False) -> None:
        """Make producers, end what the last transactions left open, and learn the offsets that count.

        Raises Unavailable, Misconfigured; with `again` also Fenced, if an id is not ours any more.
        """
        client = AIOKafkaClient(**self._broker.options())
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.bootstrap()
                await _all(self._ask(client, place, again=again) for place in places)
                await _all(self._replace(place) for place in places)
                await _all(self._settle(client, place) for place in places)
        except IncompatibleBrokerVersion:
            raise Misconfigured("transactions need a broker that says how they ended: Kafka 3.0 or later") from None
        except NOT_ALLOWED as error:
            raise Misconfigured(f"the broker lets this worker take no transactions: {type(error).__name__}") from None
        except (TimeoutError, KafkaError) as error:
            raise Unavailable(f"the broker does not say how transactions ended: {type(error).__name__}") from None
        finally:
            await let_go(client.close())

    async def _ask(self, client: AIOKafkaClient, place: Place, *, again: bool) -> None:
        """Learn whether the last transaction of a partition's id counts."""
        last, ours = await ends.last_of(client, self._id(place)), self._owners.get(place)
        if last is None:
            return
        is_ours = last.owner == ours
        if again and not is_ours:
            raise Fenced("another worker was given a partition of this one")
        if is_ours and last.is_open and place in self._counts:  # it is the one that was to end what had been left
            await ends.end(client, self._id(place), last.owner, commit=self._counts[place])
        elif not (is_ours and last.is_unknown and place in self._counts):
            offset = await ends.stable(client, self._group, place)
            # Nobody knows: it was taken, and then nothing was ended. If it had counted, and its offset has no end, it
            # is done again; if it had not, and its offset has, it is there twice. Nothing is lost either way.
            unknown = last.is_unknown and offset is not None
            self._counts[place] = last.counts or unknown

    async def _replace(self, place: Place) -> None:
        """Take a partition's id: nobody else can write with it from now on."""
        if (producer := self._producers.pop(place, None)) is not None:
            await producer.stop()
        producer = Transacting(self._broker, timeout_s=self._timeout_s, transactional_id=self._id(place))
        await producer.start()
        self._producers[place], self._owners[place] = producer, producer.owner

    async def _settle(self, client: AIOKafkaClient, place: Place) -> None:
        """End what the last transaction left open, as that one ended; then learn the offset."""
        if (counts := self._counts.get(place)) is not None:
            group = self._group if await ends.stable(client, self._group, place) is None else None
            if group is not None:
                _LOG.error("transaction_without_end", topic=place[0], partition=place[1], counts=counts)
            await self._producers[place].end_again((self._topic, topics.DEAD_LETTERS), group, commit=counts)
        self._marks[place] = await ends.settled(client, self._group, place)
        self._counts.pop(place, None)

    def _id(self, place: Place) -> str:
        return f"{self._group}-p{place[1]}"


async def _all(doing: Iterable[Awaitable[None]]) -> None:
    """Wait for all, also when one raises: none may go on behind our back. Raises what the first of them raised."""
    for error in await asyncio.gather(*doing, return_exceptions=True):
        if error is not None:
            raise error
