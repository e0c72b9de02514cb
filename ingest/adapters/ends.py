"""How transactions ended: what the broker says of it, and how the ends that it has not written are written after all.

The broker says how the last transaction of an id ended (DescribeTransactions, KIP-664, Kafka 3.0), and which offsets
are stable (OffsetFetch from version 7 on, KIP-447, Kafka 2.5). The client knows neither, so both are written down here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, NamedTuple, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from ingest.ports import Place

T = TypeVar("T")

Owner = tuple[int, int]
"""Who has a transactional id: a producer's id, and the epoch of that."""

Mark = tuple[int, str]
"""A group's offset of a partition, and the text beside it; -1 if there is none."""

PAUSE_S: Final = 0.05

_TEXT: Final = CompactString("utf-8")
_PARTITIONS: Final = CompactArray(Int32)
_UNSTABLE: Final = 88
_NO_SUCH_ID: Final = 105
_NOT_ATTEMPTED: Final = 55
_SOON: Final = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    UnknownTopicOrPartitionError,  # of a broker that has just started, too
)


class Last(NamedTuple):
    """What became of the last transaction of an id, and who has the id."""

    state: str
    owner: Owner

    @property
    def counts(self) -> bool:
        """Whether it was committed, as far as the broker knows (`TransactionState` in Kafka)."""
        return self.state in {"PrepareCommit", "CompleteCommit"}

    @property
    def is_open(self) -> bool:
        """Whether it has been begun, and not ended."""
        return self.state == "Ongoing"

    @property
    def is_unknown(self) -> bool:
        """Whether somebody has taken the id since."""
        return self.state in {"Empty", "Dead"}


class _Transactions(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", _TEXT),
                ("transaction_state", _TEXT),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AskTransactions(RequestStruct):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Transactions
    SCHEMA = Schema(("transactional_ids", CompactArray(_TEXT)), ("tags", TaggedFields))


class _DescribeTransactions(Request[_AskTransactions]):  # type: ignore[misc]
    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, request_struct_class: type[_AskTransactions]) -> _AskTransactions:
        return request_struct_class([self._transactional_id], {})


class _Offsets(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _AskOffsets(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Offsets
    SCHEMA = Schema(
        ("group", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partitions", _PARTITIONS), ("tags", TaggedFields))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsets(Request[_AskOffsets]):  # type: ignore[misc]
    API_KEY = 9

    def __init__(self, group: str, place: Place) -> None:
        self._group, self._place = group, place

    def build(self, request_struct_class: type[_AskOffsets]) -> _AskOffsets:
        topic, partition = self._place
        return request_struct_class(self._group, [(topic, [partition], {})], True, {})


async def last_of(client: AIOKafkaClient, transactional_id: str) -> Last | None:
    """Return what became of the last transaction of an id; None if nobody ever had it. Raises KafkaError."""

    async def ask() -> Last | None:
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        [found] = (await client.send(node, _DescribeTransactions(transactional_id))).transaction_states
        if found[0] == _NO_SUCH_ID:
            return None
        _check(found[0])
        return Last(found[2], (found[5], found[6]))

    return await _soon(ask)


async def stable(client: AIOKafkaClient, group: str, place: Place) -> Mark | None:
    """Return the group's offset of a partition; None if its transaction has no end. Raises KafkaError."""

    async def ask() -> Mark | None:
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        answer = await client.send(node, _StableOffsets(group, place))
        _check(answer.error_code)
        [(_, [(_, offset, _, text, code, _)], _)] = answer.topics
        if code == _UNSTABLE:
            return None
        _check(code)
        return offset, text or ""

    return await _soon(ask)


async def settled(client: AIOKafkaClient, group: str, place: Place) -> Mark:
    """Return the group's offset of a partition as soon as it belongs to no transaction any more. Raises KafkaError."""

    async def ask() -> Mark:
        if (mark := await stable(client, group, place)) is None:
            raise ConcurrentTransactions
        return mark

    return await _soon(ask)


async def end(client: AIOKafkaClient, transactional_id: str, owner: Owner, *, commit: bool) -> None:
    """End the transaction that `owner` of an id has begun. Raises KafkaError."""

    async def ask() -> None:
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        ending = EndTxnRequest(transactional_id, *owner, commit)
        _check((await client.send(node, ending, group=ConnectionGroup.COORDINATION)).error_code)

    await _soon(ask)


async def end_again(
    client: AIOKafkaClient,
    transactional_id: str,
    owner: Owner,
    places: Collection[Place],
    group: str | None,
    *,
    commit: bool,
) -> None:
    """Write an end into partitions, and into the offsets of a group: of a transaction of its own, which has nothing.

    What a broker has left open there of an earlier transaction of the same id counts with it, or is undone with it;
    where nothing is open, it changes nothing. Raises KafkaError.
    """

    async def ask() -> None:
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        await client.ready(node, group=ConnectionGroup.COORDINATION)
        requests = [AddPartitionsToTxnRequest(transactional_id, *owner, _by_topic(places))]
        if group is not None:
            requests.append(AddOffsetsToTxnRequest(transactional_id, *owner, group))
        requests.append(EndTxnRequest(transactional_id, *owner, commit))
        # All at once: whoever dies between the first and the last has begun what the broker would undo for it.
        sent = [client.send(node, one, group=ConnectionGroup.COORDINATION) for one in requests]
        added, *others = await asyncio.gather(*sent)
        for _, partitions in added.errors:
            for _, code in partitions:
                if code != _NOT_ATTEMPTED:  # because of another one's
                    _check(code)
        for answer in others:
            _check(answer.error_code)

    await _soon(ask)


async def _soon(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the coordinator is there, and has nothing else to do first. Raises KafkaError."""
    while True:
        try:
            return await ask()
        except _SOON:
            await asyncio.sleep(PAUSE_S)


def _check(code: int) -> None:
    if code:
        error: type[KafkaError] = for_code(code)
        raise error


def _by_topic(places: Iterable[Place]) -> list[tuple[str, list[int]]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for topic, partition in places:
        found[topic].append(partition)
    return list(found.items())
