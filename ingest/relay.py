"""The outbox onto the stream: at least once, in order by key; and, at the start, what the stream lacks of the table."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ingest.errors import Misconfigured
from ingest.ports import Publisher, Registry
from schemas import topics, wire
from schemas.cameras import Camera

BATCH = 500


class Waiting(Protocol):
    """A record in the outbox."""

    @property
    def id(self) -> int:
        """Its number; ids grow."""
        ...

    @property
    def topic(self) -> str:
        """Where it goes."""
        ...

    @property
    def key(self) -> bytes:
        """Its key."""
        ...

    @property
    def value(self) -> bytes:
        """Its bytes."""
        ...


W = TypeVar("W", bound=Waiting, covariant=True)


class Outbox(Protocol[W]):
    """Where changes of the registry wait, written in the transaction of the change."""

    async def waiting(self, limit: int) -> Sequence[W]:
        """Return the oldest records, by id."""
        ...

    async def done(self, ids: Sequence[int]) -> None:
        """Forget records."""
        ...

    async def cameras(self) -> Sequence[Camera]:
        """Return every camera as the table has it."""
        ...


async def carry(outbox: Outbox[Waiting], publisher: Publisher) -> int:
    """Publish the oldest records and forget those that were acknowledged; return how many.

    Two transactions can commit in another order than that of their ids; the revision in each record puts that right
    at the reader. Raises Unavailable; and Misconfigured if the broker refuses a record, which then stays.
    """
    waiting = await outbox.waiting(BATCH)
    for topic in dict.fromkeys(record.topic for record in waiting):
        own = [record for record in waiting if record.topic == topic]
        results = await publisher.publish(topic, [(record.key, record.value) for record in own])
        await outbox.done([record.id for record, error in zip(own, results, strict=True) if error is None])
        if any(results):
            raise Misconfigured("the broker refuses a record of the outbox")
    return len(waiting)


async def reconcile(outbox: Outbox[Waiting], registry: Registry, publisher: Publisher) -> tuple[int, int]:
    """Publish every camera of which the stream has no record, or an older one.

    Return how many were published, and how many the stream has in a newer revision than the table: that is a table
    which was set back to an older state, and a human must decide. Call it once the outbox is empty and the registry
    has caught up.
    """
    missing: list[Camera] = []
    ahead = 0
    for camera in await outbox.cameras():
        known = registry.get(camera.camera_id)
        if known is None or known.revision < camera.revision:
            missing.append(camera)
        elif known.revision > camera.revision:
            ahead += 1
    results = await publisher.publish(
        topics.CAMERAS, [(camera.camera_id.encode(), wire.encode(camera)) for camera in missing]
    )
    if any(results):
        raise Misconfigured("the broker refuses a camera")
    return len(missing), ahead
