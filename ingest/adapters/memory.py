"""The ports in memory: for unit tests. What they are given is gone with the process, and they say so when made."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from ingest.adapters.cameras import CameraTable
from ingest.errors import PublishError, Unavailable
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter


class InMemory(UserWarning):
    """A stand-in was built: what it is given does not outlive the process."""


class MemoryPublisher:
    """`ports.Publisher`: keeps each topic as a list of (key, value)."""

    def __init__(self) -> None:
        """Begin with no record."""
        warnings.warn("records are kept in memory alone", InMemory, stacklevel=2)
        self.records: dict[str, list[tuple[bytes, bytes]]] = {}
        self.available = True

    async def publish(self, topic: str, items: Sequence[tuple[bytes, bytes]]) -> list[PublishError | None]:
        """See `ports.Publisher.publish`."""
        if not self.available:
            raise Unavailable("switched off")
        limit = topics.load(topic).max_message_bytes - 512
        results = [None if len(key) + len(value) <= limit else PublishError("too large") for key, value in items]
        kept = [item for item, error in zip(items, results, strict=True) if error is None]
        self.records.setdefault(topic, []).extend(kept)
        return results


class MemoryRegistry:
    """`ports.Registry` on a MemoryPublisher's topic `cameras`, or on given cameras."""

    def __init__(self, cameras: Iterable[Camera] = (), publisher: MemoryPublisher | None = None) -> None:
        """Begin with these cameras; `caught_up` reads the publisher's records."""
        warnings.warn("the registry is kept in memory alone", InMemory, stacklevel=2)
        self._cameras = CameraTable(cameras)
        self._publisher = publisher
        self._read = 0

    def get(self, camera_id: str) -> Camera | None:
        """See `ports.Registry.get`."""
        return self._cameras.get(camera_id)

    def by_prefix(self, prefix: str) -> Camera | None:
        """See `ports.Registry.by_prefix`."""
        return self._cameras.by_prefix(prefix)

    def by_certificate(self, sha256: str) -> Camera | None:
        """See `ports.Registry.by_certificate`."""
        return self._cameras.by_certificate(sha256)

    async def caught_up(self) -> None:
        """See `ports.Registry.caught_up`."""
        if self._publisher is None:
            return
        if not self._publisher.available:
            raise Unavailable("switched off")
        records = self._publisher.records.get(topics.CAMERAS, [])
        for key, value in records[self._read :]:
            self._cameras.apply(key, value)
        self._read = len(records)


class MemoryLetters:
    """`ports.Letters` on a MemoryPublisher's dead letters, each written at its own `at`."""

    def __init__(self, publisher: MemoryPublisher, limit: int = 10_000) -> None:
        """Look at the newest `limit` of them."""
        self._publisher = publisher
        self._limit = limit

    async def look(self, since: datetime | None, take: Callable[[tuple[int, int, int], DeadLetter], None]) -> bool:
        """See `ports.Letters.look`."""
        if not self._publisher.available:
            raise Unavailable("switched off")
        found = []
        for offset, (_, value) in enumerate(self._publisher.records.get(topics.DEAD_LETTERS, [])):
            try:
                letter = wire.decode(value, DeadLetter)
            except wire.Undecodable:
                continue
            if since is None or letter.at >= since:
                found.append(((int(letter.at.timestamp() * 1000), 0, offset), letter))
        for place, letter in found[-self._limit :]:
            take(place, letter)
        return len(found) > self._limit
