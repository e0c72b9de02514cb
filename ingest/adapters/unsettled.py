"""Offsets that belong to a transaction whose end the broker has not written.

The broker says it of an offset if it is asked for stable ones alone (OffsetFetch, from version 7 on, KIP-447). The
client asks by older versions, so this version is written down here.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
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

from ingest.adapters.broker import Broker
from ingest.ports import Place

_TEXT: Final = CompactString("utf-8")
_OFFSET_FETCH: Final = 9
_UNSTABLE: Final = 88


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _OFFSET_FETCH
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


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = _OFFSET_FETCH
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("group", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsets(Request[_Question]):  # type: ignore[misc]
    API_KEY = _OFFSET_FETCH

    def __init__(self, group: str, places: Collection[Place]) -> None:
        self._group = group
        self._partitions: defaultdict[str, list[int]] = defaultdict(list)
        for topic, partition in places:
            self._partitions[topic].append(partition)

    def build(self, request_struct_class: type[_Question]) -> _Question:
        asked: list[tuple[Any, ...]] = [(topic, numbers, {}) for topic, numbers in self._partitions.items()]
        return request_struct_class(self._group, asked, True, {})


async def unsettled(broker: Broker, group: str, places: Collection[Place]) -> set[Place]:
    """Return the partitions of which the group's offset belongs to a transaction without an end.

    None of them if the broker cannot tell (before Kafka 2.5). Raises KafkaError.
    """
    if not places:
        return set()
    admin = AIOKafkaAdminClient(**broker.options())
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group)
        answer = await admin._send_request(_StableOffsets(group, places), coordinator)  # noqa: SLF001 - see above
    except (IncompatibleBrokerVersion, NotImplementedError):
        return set()
    finally:
        await admin.close()
    if answer.error_code:
        raise for_code(answer.error_code)
    found: set[Place] = set()
    for topic, partitions, _ in answer.topics:
        for partition, _, _, _, code, _ in partitions:
            if code == _UNSTABLE:
                found.add((topic, partition))
            elif code:
                raise for_code(code)
    return found
