"""A producer that writes in transactions alone, over connections that are not made anew.

A client mends a lost connection by itself, and asks again. For a transaction that is not good enough: a broker that is
back may have forgotten the end of the transaction before (`ingest/adapters/transactions.py`), which must be seen to
before anything else is begun.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidProducerEpoch,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from ingest.adapters import ends
from ingest.adapters.broker import Broker
from ingest.adapters.kafka import REFUSED, TOO_LARGE, KafkaPublisher, Record, fitting
from ingest.errors import Fenced, Misconfigured, PublishError, Unavailable
from ingest.ports import Place

LONGEST_S: Final = 900.0
"""The longest that a broker lets a transaction stay open (`transaction.max.timeout.ms`, unless set otherwise)."""

Write = tuple[str, Sequence[Record]]
"""A topic, and the records to write to it."""

NOT_ALLOWED: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What the broker says to whom it gives no right."""

_CONNECTION: Final = "a connection"
_FENCED: Final = (ProducerFenced, InvalidProducerEpoch)
_LOST: Final = (CloseReason.CONNECTION_BROKEN, CloseReason.CONNECTION_TIMEOUT, CloseReason.OUT_OF_SYNC)


class Lost(Exception):
    """A connection is gone, or an answer. Whether the transaction counts is to be asked before anything is written."""

    def __init__(self, reason: str, *, undone: bool = False) -> None:
        """Know the reason; with `undone` it is known already: it does not count, since its id was taken once more."""
        super().__init__(reason)
        self.undone = undone


class _Gone(KafkaError):  # type: ignore[misc]
    """What the client is told when it would connect anew; it does not try again."""

    retriable = False


class _Line:
    """A client that, once it is `kept`, asks nothing any more when one of its connections was lost."""

    def __init__(self, client: AIOKafkaClient) -> None:
        """Listen to a client that has not connected yet."""
        self.lost = asyncio.Event()
        self._kept = False
        self._closed, self._send = client._on_connection_closed, client.send  # noqa: SLF001 - nobody else hears of it
        client._on_connection_closed, client.send = self._on_closed, self._ask  # noqa: SLF001

    def keep(self) -> None:
        """Count what is lost from now on."""
        self._kept = True

    def _on_closed(self, connection: Any, reason: CloseReason | None) -> None:
        if self._kept and reason in _LOST:
            self.lost.set()
        self._closed(connection, reason)

    async def _ask(self, *request: Any, **options: Any) -> Any:
        if self.lost.is_set():
            raise _Gone("a connection of this producer was lost")
        return await self._send(*request, **options)


class Transacting(KafkaPublisher):
    """A publisher that writes in transactions alone."""

    def __init__(self, broker: Broker, *, timeout_s: float, transactional_id: str) -> None:
        """Know the broker, how long a transaction may take, and the id; `start` takes it from whoever had it."""
        super().__init__(broker, timeout_s=timeout_s)
        self._transactional_id = transactional_id
        self._line: _Line | None = None

    @property
    def owner(self) -> ends.Owner:
        """Who this producer is to the broker, once started."""
        manager = self._started()._txn_manager  # noqa: SLF001 - it tells nobody
        return manager.producer_id, manager.producer_epoch

    async def end_again(self, topics: Iterable[str], group: str | None, *, commit: bool) -> None:
        """Write an end into all partitions of topics, and into the offsets of a group. Raises KafkaError."""
        producer = self._started()
        places = [(topic, partition) for topic in topics for partition in await producer.partitions_for(topic)]
        await ends.end_again(producer.client, self._transactional_id, self.owner, places, group, commit=commit)

    async def transact(
        self, writes: Sequence[Write], group: str, place: Place, mark: ends.Mark
    ) -> list[PublishError | None]:
        """Write records and move an offset, all or nothing; return one result a record, over all writes in order.

        If any is an error, nothing was written. Raises Fenced, Misconfigured; Lost and Unavailable: then nobody knows,
        a repetition might double it, and this producer must not be used again.
        """
        results: list[list[PublishError | None]] = [[None] * len(items) for _, items in writes]
        places = [fitting(topic, items, found) for (topic, items), found in zip(writes, results, strict=True)]
        try:
            while not _refused(results) and not await self._unless_lost(writes, places, results, group, place, mark):
                await self._take_again()
        except _FENCED:
            raise Fenced("another worker was given a partition of this one") from None
        except NOT_ALLOWED as error:
            raise Misconfigured(f"the broker lets this worker write nothing: {type(error).__name__}") from None
        except KafkaError as error:
            raise Lost(type(error).__name__) from None
        return [result for found in results for result in found]

    async def _take_again(self) -> None:
        """Take the id once more, which undoes what was begun. Raises Lost if a connection was lost meanwhile.

        It is not called off then: the broker may have given us the id by that time, and whoever does not hear of it
        would take itself for another worker.
        """
        line = self._line
        assert line is not None
        await self._renew(self._started())
        if line.lost.is_set():
            raise Lost(_CONNECTION, undone=True)

    async def _unless_lost(self, *of: Any) -> bool:
        """Run one transaction (`_attempt`). Raises Lost as soon as a connection is, and what was raised by then."""
        line = self._line
        assert line is not None
        if line.lost.is_set():
            raise Lost(_CONNECTION)
        losing, work = asyncio.ensure_future(line.lost.wait()), asyncio.ensure_future(self._attempt(*of))
        try:
            await asyncio.wait({losing, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and (not line.lost.is_set() or work.exception() is None):
                return work.result()
            raise Lost(_CONNECTION)
        finally:
            losing.cancel()
            work.cancel()
            await asyncio.gather(losing, work, return_exceptions=True)

    async def _attempt(
        self,
        writes: Sequence[Write],
        places: Sequence[Sequence[int]],
        results: Sequence[list[PublishError | None]],
        group: str,
        place: Place,
        mark: ends.Mark,
    ) -> bool:
        """Run one transaction; False if a broker refuses the size of something: batches are smaller from now on.

        What was begun is left open then.
        """
        producer = self._started()
        await producer.begin_transaction()
        # Before anything else: what is written without it would count, and be done again.
        await producer.send_offsets_to_transaction({TopicPartition(*place): mark}, group)
        smaller = False
        for (topic, items), fit, found in zip(writes, places, results, strict=True):
            smaller |= await self._is_refused(producer, topic, items, fit, found)
        if smaller:
            return False
        await producer.commit_transaction()
        return True

    async def _is_refused(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        items: Sequence[Record],
        places: Sequence[int],
        results: list[PublishError | None],
    ) -> bool:
        if not places:
            return False
        sent, own = await self._sent(producer, topic, items, places)
        await asyncio.gather(*(future for future, _ in sent), return_exceptions=True)
        failed = [(fault, members) for future, members in sent if (fault := future.exception()) is not None]
        for fault, _ in failed:
            if isinstance(fault, _FENCED):
                raise fault
        if any(isinstance(fault, TOO_LARGE) for fault, _ in failed):
            self._smaller(topic, items, failed, own, results)
            return True
        for fault, _ in failed:
            if isinstance(fault, REFUSED):
                raise Misconfigured(f"the broker refuses records of {topic}: {type(fault).__name__}")
            raise Lost(type(fault).__name__)  # a partition without a leader, for as long as the client has waited
        return False

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("the publisher is not started")
        return self._producer

    def _options(self) -> dict[str, Any]:
        return {
            **super()._options(),
            "transactional_id": self._transactional_id,
            "transaction_timeout_ms": int(min(self._timeout_s, LONGEST_S) * 1000),
        }

    def _made(self) -> AIOKafkaProducer:
        producer = super()._made()
        self._making = _Line(producer.client)
        return producer

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = await super()._new_producer()
        self._line = self._making
        self._line.keep()
        return producer


def _refused(results: Collection[Sequence[PublishError | None]]) -> bool:
    return any(result is not None for found in results for result in found)
