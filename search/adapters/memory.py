"""Search's ports in memory, for unit tests: they refuse what the database refuses, and forget everything at exit."""

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.cameras import Camera
from schemas.entries import OPENING, Entry
from schemas.health import REPORTERS, CameraState
from schemas.plate import plate_key
from search.audit.adapters.memory import MemoryLog, MemoryTables
from search.audit.ports import Appended
from search.errors import Conflict, Unavailable
from search.ports import Claim, Row

FRESH: Final = timedelta(seconds=60)
MAX_LIMIT: Final = 1000


class MemoryScopes:
    """Scopes by their hash."""

    def __init__(self) -> None:
        """Begin without any."""
        self.bodies: dict[bytes, bytes] = {}

    async def put(self, body: bytes) -> bytes:
        """Store a scope and return its hash."""
        name = hashlib.sha256(body).digest()
        self.bodies.setdefault(name, body)
        return name

    def days(self, name: bytes) -> dict[str, int]:
        """Return owner -> days of a scope; of an unknown one nothing is permitted."""
        owners: dict[str, int] = msgspec.json.decode(self.bodies.get(name, b'{"owners":{}}'))["owners"]
        return owners


class MemoryIndex:
    """Rows behind a gate that asks the log as the database's gate does. `reads` counts the reads that it let through.

    `graves` names rows whose reads belong to another pass by now: they are never returned. While `down` is true
    everything raises Unavailable.
    """

    def __init__(self, tables: MemoryTables, scopes: MemoryScopes, rows: Iterable[Row] = ()) -> None:
        """Hold rows, behind the log in `tables`."""
        self._tables = tables
        self._scopes = scopes
        self.rows = list(rows)
        self.graves: set[tuple[uuid.UUID, datetime, str]] = set()
        self.down = False
        self.reads = 0

    async def trajectory(self, entry: int, disclosure: bytes) -> list[Row]:
        """Return one page of the question that an entry records."""
        question = self._question(entry, disclosure)
        days = self._scopes.days(bytes.fromhex(question["scope"]))
        self.reads += 1
        found = [row for row in self.rows if row.owner in days and self._matches(row, question, days[row.owner])]
        found.sort(key=lambda row: (row.captured_at, row.pass_id))
        return found[: question["limit"] + 1]

    def _question(self, entry: int, disclosure: bytes) -> dict[str, Any]:
        tables = self._tables
        if self.down or not 0 <= entry < len(tables.leaves) or tables.at[entry] < tables.clock() - FRESH:
            raise Unavailable
        body = tables.bodies[entry]
        digest = base64.urlsafe_b64encode(hashlib.sha256(disclosure).digest()).rstrip(b"=").decode()
        if body["kind"] not in OPENING or body["commitments"].get("question") != digest:
            raise Unavailable
        _, field, question = msgspec.json.decode(disclosure)
        if field != "question" or question["type"] != "trajectory" or not 1 <= question["limit"] <= MAX_LIMIT:
            raise Unavailable
        opened: dict[str, Any] = question
        return opened

    def _matches(self, row: Row, question: dict[str, Any], days: int) -> bool:
        region, after = question["region"], question["after"]
        return (
            (row.pass_id, row.captured_at, row.plate) not in self.graves
            and plate_key(row.plate) == question["plate_key"]
            and datetime.fromisoformat(question["from"]) <= row.captured_at < datetime.fromisoformat(question["to"])
            and (after is None or (row.captured_at, row.pass_id) > _position(after))
            and (question["match"] != "exact" or row.plate == question["plate"])
            and (region is None or row.region is None or _overlap(region, row.region))
            and row.captured_at > self._tables.clock() - timedelta(days=days)
        )


def _position(after: dict[str, str]) -> tuple[datetime, uuid.UUID]:
    return datetime.fromisoformat(after["captured_at"]), uuid.UUID(after["pass_id"])


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


class MemoryOwners:
    """A fixed set of owners; while `down` is true it is unavailable."""

    def __init__(self, *owners: str) -> None:
        """Know these."""
        self._owners = frozenset(owners)
        self.down = False

    async def known(self) -> frozenset[str]:
        """Return the owners."""
        if self.down:
            raise Unavailable
        return self._owners


class MemoryClaims:
    """Claims of idempotency keys by `clock`, beside the log in `tables`."""

    def __init__(self, tables: MemoryTables, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Begin without any."""
        self._tables = tables
        self._clock = clock
        self._held: dict[bytes, tuple[bytes, datetime, bool]] = {}

    async def claim(self, mac: bytes, body_mac: bytes) -> Claim:
        """Claim a key, or say who holds it."""
        now = self._now()
        if mac not in self._held or self._held[mac][1] < now - timedelta(hours=24):
            self._held[mac] = (body_mac, now, False)
            return Claim(state="ours", since=now)
        held_body, since, done = self._held[mac]
        if held_body != body_mac:
            return Claim(state="other_body", since=since)
        return Claim(state="settled" if self._settled(since, done) else "running", since=since)

    async def take_over(self, mac: bytes, claim: Claim) -> Claim:
        """Take a settled claim, or say that somebody was faster."""
        body_mac, since, done = self._held[mac]
        if since != claim.since or not self._settled(since, done):
            return Claim(state="running", since=claim.since)
        now = self._now()
        self._held[mac] = (body_mac, now, False)
        return Claim(state="ours", since=now)

    async def settle(self, mac: bytes, claim: Claim) -> None:
        """Say that nobody works under this claim any more."""
        body_mac, since, _ = self._held[mac]
        if since == claim.since:
            self._held[mac] = (body_mac, since, True)

    async def intent_of(self, mac: bytes) -> int | None:
        """Return the first entry that was recorded with this look-up."""
        for index, writing in enumerate(self._tables.writings):
            if any(item.field == "idempotency" and item.mac == mac for item in writing.lookups):
                return index
        return None

    def _settled(self, since: datetime, done: bool) -> bool:
        return done or since < self._now() - timedelta(seconds=30)

    def _now(self) -> datetime:
        """Return a time that no earlier claim has: what tells them apart in the database, too."""
        latest = max((since for _, since, _ in self._held.values()), default=datetime.min.replace(tzinfo=UTC))
        return max(self._clock(), latest + timedelta(microseconds=1)) if self._held else self._clock()


def _certificates(cameras: Iterable[Camera]) -> list[str]:
    return [camera.certificate_sha256 for camera in cameras if camera.certificate_sha256 is not None]


def _devices(cameras: Iterable[Camera]) -> list[tuple[str | None, str]]:
    return [(one.format, one.device_id) for one in cameras if one.device_id is not None and one.active]


class MemoryCameras:
    """The camera registry beside the log in `tables`; `outbox` is what the stream would be told, in order."""

    def __init__(self, log: MemoryLog) -> None:
        """Begin without any; changes are recorded in this log."""
        self._log = log
        self._held: dict[str, Camera] = {}
        self.outbox: list[Camera] = []
        self.known: dict[str, CameraState] = {}

    async def add(self, camera: Camera, entry: Entry) -> Appended:
        """Register a camera."""
        if await self.taken([camera.camera_id], _certificates([camera])):
            raise Conflict("taken")
        self._insist_on_devices([camera])
        return await self._put(camera, entry)

    async def add_all(self, cameras: Sequence[Camera], entries: Sequence[Entry]) -> list[Appended]:
        """Register cameras, all or none."""
        ids, prints = [camera.camera_id for camera in cameras], _certificates(cameras)
        twice = len(set(ids)) != len(ids) or len(set(prints)) != len(prints)
        if twice or await self.taken(ids, prints):
            raise Conflict("taken")
        self._insist_on_devices(cameras)
        return [await self._put(camera, entry) for camera, entry in zip(cameras, entries, strict=True)]

    async def taken(self, camera_ids: Sequence[str], certificates: Sequence[str]) -> frozenset[str]:
        """Return those of these ids and fingerprints that are given out."""
        self._insist()
        known = {*self._held, *_certificates(self._held.values())}
        return frozenset({*camera_ids, *certificates} & known)

    async def replace(self, camera: Camera, entry: Entry) -> Appended:
        """Put a camera's next revision in place of the one before."""
        held = await self.find(camera.camera_id, camera.owner)
        if held is None or held.revision != camera.revision - 1:
            raise Conflict("changed")
        others = [one for one in self._held.values() if one.camera_id != camera.camera_id]
        if camera.certificate_sha256 is not None and camera.certificate_sha256 in _certificates(others):
            raise Conflict("taken")
        self._insist_on_devices([camera])
        return await self._put(camera, entry)

    async def find(self, camera_id: str, owner: str) -> Camera | None:
        """Return an owner's camera."""
        self._insist()
        camera = self._held.get(camera_id)
        return camera if camera is not None and camera.owner == owner else None

    async def of_owner(self, owner: str) -> list[Camera]:
        """Return an owner's cameras by id."""
        self._insist()
        return [self._held[name] for name in sorted(self._held) if self._held[name].owner == owner]

    async def states(self, owner: str) -> dict[str, CameraState]:
        """Return what is known of how an owner's cameras do, and of those who report on cameras."""
        owned = {camera.camera_id for camera in await self.of_owner(owner)} | {REPORTERS}
        return {camera_id: state for camera_id, state in self.known.items() if camera_id in owned}

    def _insist_on_devices(self, cameras: Sequence[Camera]) -> None:
        """Raise Conflict if another camera in use has the device id of one of these."""
        new = {camera.camera_id for camera in cameras}
        devices = _devices([*(one for name, one in self._held.items() if name not in new), *cameras])
        if len(set(devices)) != len(devices):
            raise Conflict("taken")

    async def _put(self, camera: Camera, entry: Entry) -> Appended:
        self._insist()
        appended = await self._log.append(entry)
        self._held[camera.camera_id] = camera
        self.outbox.append(camera)
        return appended

    def _insist(self) -> None:
        if self._log.tables.down:
            raise Unavailable
