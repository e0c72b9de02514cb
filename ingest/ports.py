"""What the write side needs from the world; `adapters/` fulfil it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from ingest.errors import PublishError
from schemas import offsets
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason
from schemas.offsets import Written


class TracedRecord(tuple[bytes, bytes]):
    """A (key, value) record that goes out with the trace of what it was made of, as W3C Trace Context writes it.

    Most records are plain tuples: only what belongs to a sampled request is one of these.
    """

    traceparent: bytes

    def __new__(cls, key: bytes, value: bytes, traceparent: bytes) -> "TracedRecord":
        """Return a record with its trace."""
        self = super().__new__(cls, (key, value))
        self.traceparent = traceparent
        return self


class Publisher(Protocol):
    """Writes records to topics, durably (acks=all) and without doubling them by its own retries (idempotent)."""

    async def publish(self, topic: str, items: Sequence[tuple[bytes, bytes]]) -> list[PublishError | None]:
        """Write (key, value) records; return one result an item, in their order, once all are acknowledged.

        None means that every in-sync replica has the record, TooLarge that its topic takes none of this size. Records
        of one key keep their order. Raises Unavailable if the broker does not answer in time: then any part of the
        items may have been written.
        """
        ...


class Registry(Protocol):
    """The camera registry, held whole in memory and followed. Of two records of a camera the higher revision wins."""

    def get(self, camera_id: str) -> Camera | None:
        """Return a camera by its id, retired ones too."""
        ...

    def by_prefix(self, prefix: str) -> Camera | None:
        """Return the camera whose present key has this public prefix."""
        ...

    def by_certificate(self, sha256: str) -> Camera | None:
        """Return the camera whose certificate has this SHA-256 fingerprint (hex)."""
        ...

    def by_device(self, format_: str, device_id: str) -> Camera | None:
        """Return the camera of this format that its vendor calls so; one in use before one that is retired."""
        ...

    async def caught_up(self) -> None:
        """Return when everything that is in the topic now has been read. Raises Unavailable if it can't be."""
        ...


class NewCrop(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a read's plate, cleaned (`ingest.pictures`), and what decides how long it is kept."""

    owner: str
    captured_at: datetime
    sha256: str
    picture: bytes


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed of pictures: those whose reads expired, and those whose reads were never taken."""

    expired: int = 0
    unconfirmed: int = 0


class Crops(Protocol):
    """Pictures of plates, kept outside the stream until their reads expire. Each is known by owner and SHA-256.

    One that is kept again, for a read that was captured later, is kept as long as the later one.
    """

    async def keep(self, crops: Sequence[NewCrop]) -> None:
        """Store pictures durably, for now: one that is not confirmed is removed after an hour or so.

        Raises Unavailable; then any part of them may have been stored.
        """
        ...

    async def confirm(self, crops: Sequence[NewCrop]) -> None:
        """Keep pictures for good, since their reads were taken. Raises Unavailable."""
        ...

    async def get(self, owner: str, sha256: str) -> bytes | None:
        """Return a picture, or None if there is none of this name, or it is not what its name says."""
        ...

    async def remove_expired(self, now: datetime, days: Callable[[str], int]) -> Removed:
        """Remove every picture whose read is older than `days` of its owner, and those nobody confirmed.

        Raises Unavailable; what was removed until then is gone.
        """
        ...


class Message(Protocol):
    """One record as the broker keeps it, and where it stands."""

    @property
    def topic(self) -> str:
        """Its topic."""
        ...

    @property
    def partition(self) -> int:
        """Its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its offset in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """When the broker appended it, in milliseconds of Unix time."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key, if it has one."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its bytes; None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """What stands beside key and value; nearly always nothing."""
        ...


Place = tuple[str, int]
"""A topic and its partition."""

Kept = tuple[int, Written]
"""What a stage that remembers commits of a partition: the offset to begin at after a restart, and what is written."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of messages, in order within each partition.

    `positions` are the offsets after the last message of each (topic, partition): what a commit of the batch says. They
    may move without a message.
    `epoch` counts the assignments of partitions, so that a batch of an earlier one is recognised; `written` says of
    each partition of this one how far all was written when it was assigned. `idle_s`: partitions of which every
    message was fetched, and for how many seconds none has come since. `lag`: of each partition that the member has, how
    many messages come after this batch, as far as the broker has said by now. `unanswered_s`: for how long the broker
    has said nothing of the partition of which it has been silent longest; infinite without partitions, and where
    messages are held back until a transaction ends.
    """

    messages: Sequence[Message]
    positions: Mapping[Place, int]
    epoch: int = 0
    written: Mapping[Place, Written] = msgspec.field(default_factory=dict)
    idle_s: Mapping[Place, float] = msgspec.field(default_factory=dict)
    lag: Mapping[Place, int] = msgspec.field(default_factory=dict)
    unanswered_s: float = 0.0

    def beside(self, place: Place, kept: Written) -> str:
        """Return the text to commit beside an offset of this batch: what is kept, and of which topic it speaks."""
        before = self.written.get(place)
        return offsets.encode(kept if before is None else msgspec.structs.replace(kept, topic=before.topic))


class Part(Protocol):
    """Something that a worker connects to for as long as it lives."""

    async def start(self) -> None:
        """Connect. Raises Unavailable or Misconfigured."""
        ...

    async def stop(self) -> None:
        """Let go of what `start` took; harmless if that was nothing."""
        ...


class Source(Part, Protocol):
    """The messages of one topic for one member of a group of workers; started once partitions were assigned."""

    async def fetch(self) -> Fetched:
        """Return the next messages; an empty batch if none came for about half a second.

        Raises NotYet where it is to be asked again; what else it raises ends the worker.
        """
        ...

    def holding(self, fetched: Fetched) -> AbstractAsyncContextManager[bool]:
        """Keep the partitions from being given up while a batch is worked off; False: they were already."""
        ...

    async def commit(self, fetched: Fetched, kept: Mapping[Place, Kept]) -> bool:
        """Move the group's offsets past a batch, but those of the partitions in `kept` to what is said there.

        False: another member has the partitions, and will do it again.
        """
        ...


class Letters(Protocol):
    """The dead letters as they lie in their topic, for a look at the newest of them."""

    async def look(self, since: datetime | None, take: Callable[[tuple[int, int, int], DeadLetter], None]) -> bool:
        """Give each letter that was written since a time to `take`, in order within each partition.

        With its place: time of writing (milliseconds since 1970), partition, offset. Only so many are looked at; return
        whether older ones were left out. Raises Unavailable.
        """
        ...


Item = TypeVar("Item", contravariant=True)


class Sink(Protocol[Item]):
    """Where a stage writes."""

    async def write(self, items: Sequence[Item]) -> None:
        """Write all items, durably, and idempotently: the same items written again change nothing that is read.

        Raises Unavailable if that is not known to have happened, Misconfigured if a human must mend something first,
        and Oversized if some are too large, and all others were written. Raises Unwritable if the values of some are
        refused: then nobody knows what of the others was written.
        """
        ...


@runtime_checkable
class TracedSink(Protocol[Item]):
    """A Sink that can pass traces on."""

    async def write_traced(self, items: Sequence[Item], traces: Mapping[int, bytes]) -> None:
        """Write items as `Sink.write` does; those at these places go out with a trace each."""
        ...


class Trace(Protocol):
    """A stage's part in the trace of one request: what it does with the records of that request in one batch."""

    @property
    def header(self) -> bytes:
        """The `traceparent` of what is made of them."""
        ...

    def end(self, fates: Mapping[str, int]) -> None:
        """Be over: so many messages were written, dropped, read again, dead letters, or refused (`traces.Fate`)."""
        ...


Step = Literal["fetch", "decode", "function", "memory", "write", "letters", "commit"]
"""What a worker does with a batch, in this order."""


class Atomic(Part, Protocol[Item]):
    """Writes what comes of one partition's messages, and moves the group's offset of it, all or nothing."""

    async def write(
        self,
        place: Place,
        items: Sequence[Item],
        letters: Sequence[DeadLetter],
        offset: int,
        beside: str,
        traces: Mapping[int, bytes],
    ) -> None:
        """Write items, those at the places of `traces` with a trace each, and letters; commit the offset and its text.

        Raises Oversized if some are too large (their places in the two lists, one behind the other), and then nothing
        was written; Fenced if another worker has the partition; Unsettled if nobody can find out whether it was;
        Unavailable: the same is to be written again, which finds out what of it counts.
        """
        ...


class Observer:
    """What a worker tells of itself, batch by batch and never message by message, so that watching costs nothing.

    A method returns at once and raises nothing. Those of this class itself do nothing.
    """

    def fetched(self, records: int) -> None:
        """Hear of a batch of so many messages; it is `finished` later, after those before it."""

    def empty(self, unanswered_s: float) -> None:
        """Hear that there were no messages, and for how long the broker has not said so (see `Fetched`)."""

    def traced(self, messages: Sequence[Message]) -> Mapping[int, Trace]:
        """Hear that a batch is begun; return the traces of its messages by their place, if any of them has one."""
        return {}

    def took(self, step: Step, seconds: float) -> None:
        """Hear how long a step of a batch took, pauses while a part was away included."""

    def finished(self, *, committed: bool) -> None:
        """Hear that a batch is over: committed, or left to another member that has its partitions now."""

    def made(self, *, written: int, dropped: int, again: int, letters: Mapping[Reason, int]) -> None:
        """Hear what became of a committed batch, in messages: see `made.Counts`; dead letters by their reason."""

    def lag(self, behind: Mapping[Place, int]) -> None:
        """Hear how many messages wait in each partition that the worker has; one that is not named is not its own."""

    def expired(self, records: int) -> None:
        """Hear of messages that the broker deleted before they were read."""

    def waiting(self, *, begun: bool) -> None:
        """Hear that an outage of a part has begun, or has ended."""


UNOBSERVED: Final = Observer()
"""Tells nobody."""
