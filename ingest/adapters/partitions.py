"""The partitions of one member of a consumer group: when they come and go, and which of them are idle."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from ingest.errors import IngestError, Misconfigured, NotYet, Retry
from schemas.offsets import Written

ANSWER_S: Final = 5.0
"""How long the broker may take to say where a partition ends."""

SOON_S: Final = 10.0
"""Partitions that come again sooner than this were taken by somebody meanwhile, or their group is in trouble."""

MOST_AGAIN: Final = 20
"""How often in a row they may. Up to three times as often, each worker by a lot of its own: of two of one name, which
take everything from each other once a second, one ends first, and the other has peace."""

_LOG: Final = structlog.get_logger()


class Comings:
    """Counts how often in a row the same partitions came, each time soon after the last."""

    def __init__(self) -> None:
        """Draw how often they may."""
        self._given: frozenset[TopicPartition] = frozenset()
        self._given_s = 0.0
        self._again = 0
        self._most = random.randint(MOST_AGAIN, 3 * MOST_AGAIN)  # noqa: S311 - a lot

    def note(self, given: Iterable[TopicPartition]) -> None:
        """Note that partitions came."""
        come, now_s = frozenset(given), time.monotonic()
        is_again = bool(come) and come == self._given and now_s - self._given_s < SOON_S
        self._again = self._again + 1 if is_again else 0
        self._given, self._given_s = come, now_s

    def check(self) -> None:
        """Raise Misconfigured if they come and go without an end."""
        if self._again > self._most:
            raise Misconfigured("the same partitions come and go: another worker has the same PLATETRAIL_INSTANCE")


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets partitions go between batches only, counts how often they went, and learns what was written of new ones."""

    def __init__(self, written: Callable[[Iterable[TopicPartition]], Awaitable[dict[TopicPartition, Written]]]) -> None:
        """Ask `written` about partitions that were assigned."""
        self.between_batches = asyncio.Lock()
        self.epoch = 0
        self._ask = written
        self._assigned: list[TopicPartition] = []
        self._learnt: asyncio.Future[dict[TopicPartition, Written] | Exception] = asyncio.Future()
        self._asking = asyncio.Lock()
        self._comings = Comings()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Wait for the batch at hand; from then on it counts as one of an earlier epoch."""
        async with self.between_batches:
            self.epoch += 1
            if not self._learnt.done():
                self._learnt.set_result({})  # whoever waits for it is let go
            self._learnt = asyncio.Future()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Learn what was written of them."""
        self._assigned = sorted(assigned)
        _LOG.info("assigned", partitions=sorted(at.partition for at in self._assigned))
        self._comings.note(self._assigned)
        await self._learn()

    async def known(self, epoch: int) -> dict[TopicPartition, Written] | None:
        """Return what was written of the partitions when they were assigned.

        None if they are no longer ours, or were not assigned within `ANSWER_S`: an error that ends a member meanwhile
        is told to whoever asks for messages again, and to nobody who waits here. Raises NotYet if the broker did not
        say it, and is asked again the next time; Misconfigured if partitions come and go without an end, and what the
        one who was asked raises for good.
        """
        self._comings.check()
        if epoch != self.epoch:
            return None
        learnt = self._learnt
        if learnt.done() and isinstance(learnt.result(), Exception):
            learnt = self._learnt = asyncio.Future()
            await self._learn()
        if not learnt.done():
            await asyncio.wait({learnt}, timeout=ANSWER_S)
        if not learnt.done():
            return None
        answer = learnt.result()
        if isinstance(answer, IngestError) and not isinstance(answer, Retry):
            raise answer
        if isinstance(answer, Exception):
            raise NotYet(f"the broker does not say what was written: {type(answer).__name__}")
        return answer

    async def _learn(self) -> None:
        learnt = self._learnt
        async with self._asking:  # who still asks about those of before must not have the last word
            if learnt.done():
                return
            try:
                answer: dict[TopicPartition, Written] | Exception = await self._ask(self._assigned)
            except Exception as error:  # noqa: BLE001 - the client would swallow it: `known` raises it
                answer = error
            if not learnt.done():
                learnt.set_result(answer)


class Idle:
    """Finds partitions of which every message was fetched, and none has come since for long enough: each once."""

    def __init__(self, after_s: float) -> None:
        """Wait for so many seconds."""
        self._after_s = after_s
        self._since_s: dict[TopicPartition, float] = {}

    async def since(self, consumer: Any, found: Collection[TopicPartition]) -> dict[tuple[str, int], float]:
        """Return for how long partitions have been idle; `found` are those of which messages came just now."""
        now_s = time.monotonic()
        self._since_s.update(dict.fromkeys(found, now_s))
        assigned = consumer.assignment()
        quiet = {at: now_s - since for at, since in self._since_s.items() if now_s - since > self._after_s}
        for at in quiet:
            del self._since_s[at]
        idle: dict[tuple[str, int], float] = {}
        for at, seconds in quiet.items():
            if at not in assigned:
                continue
            # That none was fetched does not say that there is none: the broker is asked.
            if await _is_at_the_end(consumer, at):
                idle[at.topic, at.partition] = seconds
            else:
                self._since_s[at] = now_s
        return idle


async def _is_at_the_end(consumer: Any, at: TopicPartition) -> bool:
    try:
        async with asyncio.timeout(ANSWER_S):
            ends = await consumer.end_offsets([at])
            return bool(ends[at] == await consumer.position(at))
    except (KafkaError, TimeoutError):
        return False
