"""What search needs of the world outside: the index behind its gate, scopes, owners, claims and the camera registry."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from schemas.cameras import Camera
from schemas.entries import Entry
from schemas.health import CameraState
from search.audit.ports import Appended


class Row(NamedTuple):
    """One row of the gate, in the order of its columns: `Row._make(record)`.

    `candidates` are JSON bytes, `[{"plate", "confidence"}]`; `doubts` the stored ones, comma-separated; `said` are
    JSON bytes too (`schemas.sightings.Said`); `crop` is a SHA-256.
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
    said: bytes | None = None
    crop: bytes | None = None


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
    """Who holds an idempotency key.

    `ours`: the caller, from now on; `running`: a request that is still at work; `other_body`: a request with another
    body; `settled`: nobody any more, since its request is done or was lost, and it may be that an intent was recorded.
    `since` tells this holding of the key from every other.
    """

    state: Literal["ours", "running", "other_body", "settled"]
    since: datetime


class Claims(Protocol):
    """Idempotency keys of the last 24 hours, known by keyed HMACs only."""

    async def claim(self, mac: bytes, body_mac: bytes) -> Claim:
        """Claim a key, or say who holds it: `mac` names (person, key), `body_mac` the body. Raises Unavailable."""
        ...

    async def take_over(self, mac: bytes, claim: Claim) -> Claim:
        """Take over a settled claim under which no intent was recorded: `ours`, or `running` if somebody was faster.

        Raises Unavailable.
        """
        ...

    async def settle(self, mac: bytes, claim: Claim) -> None:
        """Say that nobody works under a claim any more. Nothing happens if it is held anew. Raises Unavailable."""
        ...

    async def intent_of(self, mac: bytes) -> int | None:
        """Return the index of the intent that was recorded with this look-up, if any. Raises Unavailable."""
        ...


class Cameras(Protocol):
    """The camera registry. Each change is one transaction: the row, its outbox record, and last its audit entry."""

    async def add(self, camera: Camera, entry: Entry) -> Appended:
        """Register a camera.

        Raises Conflict if its id, certificate or device is taken, Unavailable if nothing was changed.
        """
        ...

    async def add_all(self, cameras: Sequence[Camera], entries: Sequence[Entry]) -> list[Appended]:
        """Register cameras, all or none, with an entry each. Raises Conflict if one is taken, Unavailable."""
        ...

    async def taken(self, camera_ids: Sequence[str], certificates: Sequence[str]) -> frozenset[str]:
        """Return those of these ids and fingerprints that are given out, by whomever. Raises Unavailable."""
        ...

    async def replace(self, camera: Camera, entry: Entry) -> Appended:
        """Put a camera's next revision in place of the one before.

        Raises Conflict if another change came first, or another camera has its certificate or device; Unavailable if
        nothing was changed.
        """
        ...

    async def find(self, camera_id: str, owner: str) -> Camera | None:
        """Return an owner's camera, or None if the id is unknown or another's. Raises Unavailable."""
        ...

    async def of_owner(self, owner: str) -> list[Camera]:
        """Return an owner's cameras by id, retired ones too. Raises Unavailable."""
        ...

    async def states(self, owner: str) -> dict[str, CameraState]:
        """Return what is known of how an owner's cameras do, by id, and of `REPORTERS`. Raises Unavailable."""
        ...
