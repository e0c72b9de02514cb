"""A publisher in memory or on Apache Kafka, and what it has written to one topic."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.memory import MemoryPublisher
from ingest.ports import Publisher
from services.demo.kafka import Kafka
from tests.support.topics import make_topics, tail


class Subject(NamedTuple):
    """A publisher, and how to read what it has written since."""

    publisher: Publisher
    read: Callable[[], Awaitable[list[tuple[bytes, bytes]]]]


@asynccontextmanager
async def publishing(request: pytest.FixtureRequest, topic: str) -> AsyncIterator[Subject]:
    """Yield the publisher that the fixture's parameter names: `memory` or `kafka`."""
    if request.param == "memory":
        memory = MemoryPublisher()

        async def kept() -> list[tuple[bytes, bytes]]:
            return memory.records.get(topic, [])

        yield Subject(memory, kept)
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    await make_topics(kafka.bootstrap)
    async with KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher, tail(kafka.bootstrap, topic) as written:
        yield Subject(publisher, written.records)
