"""Which topic a name stands for: one that was deleted and made anew has its name, and counts its offsets afresh.

The broker gives each topic an id (Metadata, from version 10 on), which no other one ever has. The client asks by older
versions, so this version is written down here.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Collection
from io import BytesIO
from typing import Any, Final

from aiokafka.client import ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from ingest.errors import Unavailable

LOOK_S: Final = 1.0
"""How often a topic that is read is looked at again."""

ANSWER_S: Final = 1.0
"""How long the broker may take to answer then."""

_NONE: Final = uuid.UUID(int=0)
_TEXT: Final = CompactString("utf-8")
_METADATA: Final = 3


class _Id(AbstractType[uuid.UUID]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Id), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_Question]) -> _Question:
        asked: list[tuple[Any, ...]] = [(_NONE, name, {}) for name in self._names]
        return request_struct_class(asked, False, False, False, {})


async def topic_ids(started: Any, names: Collection[str]) -> dict[str, str] | None:
    """Return the id of each topic that there is, asked on the connections of a started consumer or admin client.

    None if the broker has no ids (before Kafka 2.8). Raises KafkaError.
    """
    client = started._client  # noqa: SLF001 - there is no other way to ask by a version of one's own
    try:
        # Not on the connection of fetches: a broker answers one request of a connection after another.
        answer = await client.send(client.get_random_node(), _Metadata(names), group=ConnectionGroup.COORDINATION)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    return {name: topic_id.hex for code, name, topic_id, *_ in answer.topics if code == 0 and topic_id != _NONE}


class MadeAnew(Unavailable):
    """A topic that is read is another one by now, of the same name."""


class Identity:
    """Whether topics are still those of which a group's offsets speak."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[str, str] = {}
        self._looked_s = 0.0

    def of(self, topic: str) -> str:
        """Return a topic's id as it was when partitions were assigned; empty if nobody says it."""
        return self._known.get(topic, "")

    def is_another(self, topic: str, one: str) -> bool:
        """Tell whether the id that was left beside an offset (empty: none was) is of a topic that is gone."""
        return one not in ("", self.of(topic)) and bool(self.of(topic))

    async def learn(self, started: Any, names: Collection[str]) -> None:
        """Ask: what is read from now on is of these topics. Raises KafkaError, also where one is not there."""
        found = await topic_ids(started, names)
        if found is not None and not set(names) <= found.keys():
            raise UnknownTopicOrPartitionError
        self._known = found or {}
        self._looked_s = time.monotonic()

    async def check(self, started: Any, *, now: bool = False) -> None:
        """Ask again, once a second or `now`. Raises MadeAnew if a topic is another one by now.

        A broker that does not answer says nothing of it, nor does a topic that is not there.
        """
        if not self._known or not (now or time.monotonic() - self._looked_s > LOOK_S):
            return
        self._looked_s = time.monotonic()
        found: dict[str, str] | None = None
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                found = await topic_ids(started, self._known)
        for topic, one in (found or {}).items():
            if self.is_another(topic, one):
                raise MadeAnew(f"the topic {topic} was deleted and made anew: it must be read from its beginning")
