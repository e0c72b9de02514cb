"""Where batches go on Apache Kafka: sinks that wait for every acknowledgement."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from ingest.adapters.kafka import Record, records, traced
from ingest.errors import Misconfigured, Oversized, TooLarge
from ingest.ports import Publisher
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.sightings import Sighting

T = TypeVar("T", bound=DeadLetter)


class RecordSink:
    """A Sink that writes records, each a key and a value, to one topic."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        """Know the topic."""
        self._publisher = publisher
        self._topic = topic

    async def write(self, items: Sequence[Record]) -> None:
        """Write all items and await every acknowledgement.

        Raises Unavailable, Misconfigured if one is refused, and Oversized if that was for its size alone.
        """
        results = await self._publisher.publish(self._topic, items)
        too_large = [at for at, result in enumerate(results) if isinstance(result, TooLarge)]
        refused = [result for result in results if result is not None and not isinstance(result, TooLarge)]
        if refused:
            raise Misconfigured(f"the broker refuses {len(refused)} records of {self._topic}: {refused[0]}")
        if too_large:
            raise Oversized(too_large)

    async def write_traced(self, items: Sequence[Record], traces: Mapping[int, bytes]) -> None:
        """See `ports.TracedSink`; raises what `write` does."""
        await self.write(traced(items, traces))


class TopicSink(Generic[T]):
    """A Sink that writes values to one topic as `schemas.wire` encodes them."""

    def __init__(self, publisher: Publisher, topic: str, key: Callable[[T], bytes]) -> None:
        """Know the topic, and how a value's key is made."""
        self._sink = RecordSink(publisher, topic)
        self._key = key

    async def write(self, items: Sequence[T]) -> None:
        """Write all items and await every acknowledgement; raises what `RecordSink.write` does."""
        await self._sink.write(records(items, self._key))


def sighting_record(sighting: Sighting) -> Record:
    """Return the record of a sighting."""
    return sighting_key(sighting), wire.encode(sighting)


def sighting_key(sighting: Sighting) -> bytes:
    """Return the key of a sighting's record: its plate key, so that reads of one plate share a partition."""
    return sighting.plate_key.encode()
