"""The ports in memory: for unit tests. What they are given is gone with the process, and they say so when made."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ingest.adapters.cameras import CameraTable
from ingest.errors import PublishError, TooLarge, Unavailable
from ingest.ports import NewCrop, Removed
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
        results: list[PublishError | None] = [
            None if len(key) + len(value) <= limit else TooLarge("too large") for key, value in items
        ]
        kept = [item for item, error in zip(items, results, strict=True) if error is None]
        self.records.setdefault(topic, []).extend(kept)
        return results


class MemoryCrops:
    """`ports.Crops`."""

    def __init__(self) -> None:
        """Begin with no picture."""
        warnings.warn("pictures are kept in memory alone", InMemory, stacklevel=2)
        self._kept: dict[tuple[str, str], tuple[bytes, datetime]] = {}
        self._unconfirmed: dict[tuple[str, str], datetime] = {}
        self.available = True

    async def keep(self, crops: Sequence[NewCrop]) -> None:
        """See `ports.Crops.keep`."""
        self._insist()
        for crop in crops:
            name = (crop.owner, crop.sha256)
            if name not in self._kept or name in self._unconfirmed:
                self._unconfirmed[name] = datetime.now(UTC)
            _, captured_at = self._kept.get(name, (b"", crop.captured_at))
            self._kept[name] = (crop.picture, max(captured_at, crop.captured_at))

    async def confirm(self, crops: Sequence[NewCrop]) -> None:
        """See `ports.Crops.confirm`."""
        self._insist()
        for crop in crops:
            self._unconfirmed.pop((crop.owner, crop.sha256), None)

    async def get(self, owner: str, sha256: str) -> bytes | None:
        """See `ports.Crops.get`."""
        self._insist()
        return self._kept.get((owner, sha256), (None, None))[0]

    async def remove_expired(self, now: datetime, days: Callable[[str], int]) -> Removed:
        """See `ports.Crops.remove_expired`."""
        self._insist()
        expired = [name for name, (_, at) in self._kept.items() if at <= now - timedelta(days=days(name[0]))]
        lost = [name for name, at in self._unconfirmed.items() if at <= now - timedelta(hours=1)]
        unconfirmed = [name for name in lost if name not in expired]
        for name in (*expired, *unconfirmed):
            del self._kept[name]
            self._unconfirmed.pop(name, None)
        return Removed(expired=len(expired), unconfirmed=len(unconfirmed))

    def _insist(self) -> None:
        if not self.available:
            raise Unavailable("switched off")


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

    def by_device(self, format_: str, device_id: str) -> Camera | None:
        """See `ports.Registry.by_device`."""
        return self._cameras.by_device(format_, device_id)

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
