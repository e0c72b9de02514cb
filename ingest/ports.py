"""What the write side needs from the world; `adapters/` fulfil it."""

from collections.abc import Sequence
from typing import Protocol

from ingest.errors import PublishError
from schemas.cameras import Camera


class Publisher(Protocol):
    """Writes records to topics, durably (acks=all) and without doubling them by its own retries (idempotent)."""

    async def publish(self, topic: str, items: Sequence[tuple[bytes, bytes]]) -> list[PublishError | None]:
        """Write (key, value) records; return one result an item, in their order, once all are acknowledged.

        None means that every in-sync replica has the record. Records of one key keep their order. Raises Unavailable
        if the broker does not answer in time: then any part of the items may have been written.
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

    async def caught_up(self) -> None:
        """Return when everything that is in the topic now has been read. Raises Unavailable if it can't be."""
        ...
