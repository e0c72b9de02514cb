"""What search needs of the world outside: the index behind its gate, scopes, owners, claims and the camera registry."""

import uuid
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from schemas.cameras import Camera
from schemas.entries import Entry
from schemas.queries import Receipt


class Row(NamedTuple):
    """One row of the gate, in the order of its columns: `Row._make(record)`.

    `candidates` are JSON bytes, `[{"plate", "confidence"}]`; `doubts` the stored ones, comma-separated.
    """

    pass_id: uuid.UUID
    captured_at: datetime
    plate: str
    region: str | None
    owner: str
    camera_id: str
    latitude: float
    longitude: float
    timezone: str
    clock_uncertainty_s: float
    skew_s: float
    plate_raw: str | None = None
    plate_confidence: float | None = None
    region_confidence: float | None = None
    candidates: bytes | None = None
    make: str | None = None
    make_confidence: float | None = None
    model: str | None = None
    model_confidence: float | None = None
    colour: str | None = None
    colour_confidence: float | None = None
    body: str | None = None
    body_confidence: float | None = None
    doubts: str | None = None


class Index(Protocol):
    """The index, behind the gate."""

    async def trajectory(self, entry: int, disclosure: bytes) -> list[Row]:
        """Return one page of the question that `entry` (an intent or a page) records; one row more if there are more.

        `disclosure` are the bytes the entry's leaf commits to under `question`. Raises Unavailable if the index does
        not answer in time, or the gate refuses.
        """
        ...


class Scopes(Protocol):
    """The permitted scopes: insert-only, named by the SHA-256 of their bytes."""

    async def put(self, body: bytes) -> bytes:
        """Store a scope if it is new and return its hash (32 bytes). Raises Unavailable."""
        ...


class Owners(Protocol):
    """The agencies that own cameras."""

    async def known(self) -> frozenset[str]:
        """Return the owners of all cameras, retired ones too: their reads remain. Raises Unavailable."""
        ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an idempotency key.

    `fresh`: it is the caller's now; `running`: the first request is still at work; `other_body`: it was used for
    another question; `done`: answered before, under `intent`.
    """

    state: Literal["fresh", "running", "other_body", "done"]
    intent: int | None = None


class Claims(Protocol):
    """Idempotency keys of the last 24 hours, known by keyed HMACs only."""

    async def claim(self, mac: bytes, body_mac: bytes) -> Claim:
        """Claim a key: `mac` names (person, key), `body_mac` the body. Raises Unavailable."""
        ...

    async def finish(self, mac: bytes) -> None:
        """Mark a claimed key as answered. Raises Unavailable."""
        ...

    async def release(self, mac: bytes) -> None:
        """Give a claimed key back: no intent was recorded under it. Raises Unavailable."""
        ...


class Cameras(Protocol):
    """The camera registry. Each change is one transaction: the row, its outbox record, and last its audit entry."""

    async def add(self, camera: Camera, entry: Entry) -> Receipt:
        """Register a camera. Raises Conflict if the id is taken, Unavailable if nothing was changed."""
        ...

    async def replace(self, camera: Camera, entry: Entry) -> Receipt:
        """Put a camera's next revision in place of the one before.

        Raises Conflict if another change came first, Unavailable if nothing was changed.
        """
        ...

    async def find(self, camera_id: str, owner: str) -> Camera | None:
        """Return an owner's camera, or None if the id is unknown or another's. Raises Unavailable."""
        ...

    async def of_owner(self, owner: str) -> list[Camera]:
        """Return an owner's cameras by id, retired ones too. Raises Unavailable."""
        ...
