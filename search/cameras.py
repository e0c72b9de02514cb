"""Cameras as their agency registers them: a body into a camera, what is shown of one, and what the log keeps. Pure."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Literal
from zoneinfo import available_timezones

import msgspec

from schemas import keys
from schemas.cameras import (
    DEFAULT_CLOCK_UNCERTAINTY_S,
    FORMATS,
    PROOFS,
    Camera,
    ClockUse,
    Format,
    Handling,
    Proof,
    is_id,
)
from schemas.entries import Entry, disclose
from schemas.keys import NewKey
from schemas.queries import Asker, Receipt
from search.audit.lookups import Lookups
from search.bodies import examine, load
from search.errors import Flaw, Invalid

MAX_OFFSET_S: Final = 86_400.0
MAX_UNCERTAINTY_S: Final = 3_600.0
MAX_LANES: Final = 64

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""An active period outside is none: in UTC it might fall out of the calendar."""

RESERVED: Final = frozenset({"health", "import"})
"""Ids that would be taken for other paths below `/v1/cameras/`."""

_Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_DeviceId = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}\Z")]
_Secret = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{16,128}\Z")]
_Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

Action = Literal["add", "change", "retire", "rotate_key"]
"""What was done to a camera, as its audit entry says."""


class NewCamera(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/cameras`. `owner` may be left out: it can only be the caller's own agency."""

    camera_id: _Slug
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    timezone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    owner: _Slug | None = None
    heading_deg: Annotated[float, msgspec.Meta(ge=0, le=360)] | None = None
    clock_use: ClockUse = "trusted"
    clock_offset_s: Annotated[float, msgspec.Meta(ge=-MAX_OFFSET_S, le=MAX_OFFSET_S)] = 0.0
    clock_uncertainty_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_UNCERTAINTY_S)] = DEFAULT_CLOCK_UNCERTAINTY_S
    lanes: Annotated[int, msgspec.Meta(ge=1, le=MAX_LANES)] | None = None
    format: Format | None = None
    handling: Handling = "standard"
    active_from: _Moment | None = None
    active_until: _Moment | None = None
    proof: Proof = "key"
    certificate_sha256: _Fingerprint | None = None
    network: _Slug | None = None
    device_id: _DeviceId | None = None
    signing_secret: _Secret | None = None


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """What its agency sees of a camera: all but the hash of its key, and what it is signed with."""

    camera_id: str
    owner: str
    name: str
    latitude: float
    longitude: float
    timezone: str
    heading_deg: float | None
    clock_use: ClockUse
    clock_offset_s: float
    clock_uncertainty_s: float
    key_prefix: str
    active: bool
    registered_at: datetime
    revision: int
    lanes: int | None
    format: str | None
    handling: Handling
    active_from: datetime | None
    active_until: datetime | None
    proof: Proof
    certificate_sha256: str | None
    network: str | None
    device_id: str | None


class CameraList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/cameras`."""

    cameras: tuple[CameraView, ...]


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /v1/cameras` and `POST /v1/cameras/{camera_id}/keys`: `key` is shown here and never again.

    With `proof` `digest` it is the password (the user name is the camera's id), with `url` the token in the path; with
    `certificate` and `signature` there is none.
    """

    camera: CameraView
    key: str | None
    receipt: Receipt


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `PATCH /v1/cameras/{camera_id}`; without a receipt if nothing was to be changed."""

    camera: CameraView
    receipt: Receipt | None = None


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /v1/cameras/{camera_id}/retire`; without a receipt if it was retired before."""

    camera: CameraView
    receipt: Receipt | None = None


HELPS: Final[dict[str, str]] = {
    "": "A camera is a JSON object with camera_id, name, latitude, longitude and timezone.",
    "/camera_id": "1 to 63 lower-case letters, digits and hyphens, not starting with a hyphen, such as i70-west-12; "
    "not health or import, which are paths of their own.",
    "/name": "What people call the place, of 1 to 100 printable characters.",
    "/latitude": "Degrees north (WGS 84), from -90 to 90. The point 0, 0 is what a camera without a position says.",
    "/longitude": "Degrees east (WGS 84), from -180 to 180.",
    "/timezone": "The IANA name of the time zone at the camera, such as America/Denver.",
    "/owner": "Your own agency, or nothing.",
    "/heading_deg": "Degrees clockwise from north, from 0 to 360.",
    "/clock_use": "trusted (the camera's times are right), offset (they are wrong by a fixed clock_offset_s) or "
    "arrival (they are worthless: times of arrival are used).",
    "/clock_offset_s": f"Seconds to add to the camera's times, at most {MAX_OFFSET_S:g} either way; other than 0 only "
    "with clock_use offset.",
    "/clock_uncertainty_s": "Seconds by which the times may still be wrong either way, from 0 "
    f"to {MAX_UNCERTAINTY_S:g}.",
    "/lanes": f"How many lanes it watches, from 1 to {MAX_LANES}.",
    "/format": f"What it sends, if it is to send nothing else: {', '.join(FORMATS)}.",
    "/handling": "standard (its reads are kept as its agency's rule says) or ephemeral (matched and never kept).",
    "/active_from": "RFC 3339 with an offset: when it may begin to push.",
    "/active_until": "RFC 3339 with an offset, later than active_from: from when on it may push no more.",
    "/proof": "How it proves itself, of what its format permits: key (in a header), digest (HTTP Digest, SHA-256), url "
    "(a token in the path: only where a device takes nothing else), certificate (mutual TLS) or signature (its vendor "
    "signs).",
    "/certificate_sha256": "The SHA-256 fingerprint of its certificate, 64 lower-case hex digits; with proof "
    "certificate, and only then.",
    "/device_id": "The vendor's own id of the camera, as its messages name it, of 1 to 128 printable ASCII characters; "
    "with proof signature, and only then.",
    "/signing_secret": "What the vendor signs with, as it is set there, of 16 to 128 printable ASCII characters; with "
    "proof signature, and only then.",
    "/network": "The camera network that may send its reads for it, as those who run Platetrail name it; or nothing: "
    "with handling ephemeral it must be, since a network's topic keeps minutes.",
}
"""What is expected at each pointer."""


def decode(body: bytes) -> NewCamera:
    """Return the camera in a body, its name trimmed. Raises Invalid with every flaw, and TooLarge; quotes nothing."""
    return checked(load(body))


def checked(raw: Any) -> NewCamera:
    """Return the camera in a JSON value, as `decode` does. Raises Invalid."""
    found, flaws = examine(raw, NewCamera, HELPS)
    if isinstance(found.get("/name"), str):
        found["/name"] = " ".join(found["/name"].split())
    flaws.extend(_doubtful(found))
    if flaws:
        raise Invalid(*flaws, detail="The camera cannot be registered as it stands.")
    return msgspec.convert({pointer[1:]: value for pointer, value in found.items()}, NewCamera)


def _doubtful(found: dict[str, Any]) -> Iterator[Flaw]:
    wrong: list[str] = []
    slugs = [pointer for pointer in ("/camera_id", "/owner", "/network") if found.get(pointer) is not None]
    wrong.extend(pointer for pointer in slugs if not is_id(found[pointer]))
    if found.get("/camera_id") in RESERVED:
        wrong.append("/camera_id")
    if "/name" in found and not (found["/name"] and found["/name"].isprintable()):
        wrong.append("/name")
    if "/timezone" in found and found["/timezone"] not in _zones():
        wrong.append("/timezone")
    if (found.get("/latitude"), found.get("/longitude")) == (0, 0):
        wrong.append("/latitude")
    if found.get("/clock_offset_s", 0) != 0 and found.get("/clock_use", "trusted") != "offset":
        wrong.append("/clock_offset_s")
    since, until = found.get("/active_from"), found.get("/active_until")
    times = (("/active_from", since), ("/active_until", until))
    outside = [pointer for pointer, at in times if at is not None and not EARLIEST <= at <= LATEST]
    wrong.extend(outside)
    if not outside and since is not None and until is not None and since >= until:
        wrong.append("/active_until")
    if found.get("/network") is not None and found.get("/handling") == "ephemeral":
        wrong.append("/network")
    wrong.extend(_unproving(found))
    yield from (Flaw(pointer=pointer, detail=HELPS[pointer]) for pointer in wrong)


_NEEDS: Final = {
    "/certificate_sha256": "certificate",
    "/device_id": "signature",
    "/signing_secret": "signature",
}
"""Members that go with one proof: needed with it, and meaningless with another."""


def _unproving(found: dict[str, Any]) -> Iterator[str]:
    """Yield the members by which the camera could not prove itself as it is meant to."""
    proof = found.get("/proof", "key")
    if proof not in PROOFS[found.get("/format")]:
        yield "/proof"
    yield from (pointer for pointer, of in _NEEDS.items() if (proof == of) != (found.get(pointer) is not None))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def build(new: NewCamera, owner: str, key: NewKey, at: datetime) -> Camera:
    """Return the registry's record of a new camera."""
    return Camera(
        camera_id=new.camera_id,
        owner=owner,
        name=new.name,
        latitude=new.latitude,
        longitude=new.longitude,
        timezone=new.timezone,
        key_prefix=key.prefix,
        key_sha256=key.sha256,
        heading_deg=new.heading_deg,
        clock_use=new.clock_use,
        clock_offset_s=new.clock_offset_s,
        clock_uncertainty_s=new.clock_uncertainty_s,
        registered_at=at,
        lanes=new.lanes,
        format=new.format,
        handling=new.handling,
        active_from=_utc(new.active_from),
        active_until=_utc(new.active_until),
        proof=new.proof,
        digest_ha1=keys.digest_ha1(new.camera_id, key.key) if new.proof == "digest" else None,
        certificate_sha256=new.certificate_sha256,
        network=new.network,
        device_id=new.device_id,
        signing_secret=new.signing_secret,
    )


def _utc(at: datetime | None) -> datetime | None:
    return at if at is None else at.astimezone(UTC)


def retired(camera: Camera) -> Camera:
    """Return a camera's next revision, in which it may push no more; what it saw stays."""
    return msgspec.structs.replace(camera, active=False, revision=camera.revision + 1)


def view(camera: Camera) -> CameraView:
    """Return what its agency sees of a camera."""
    return CameraView(**{name: getattr(camera, name) for name in CameraView.__struct_fields__})


def entry(action: Action, camera: Camera, asker: Asker, at: datetime, lookups: Lookups) -> Entry:
    """Return the audit entry of a change. Who made it, and the camera as it is now, are committed to, not shown."""
    return Entry(
        kind="camera",
        public={
            "type": "camera",
            "action": action,
            "at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "agency": asker.agency,
            "trigger": asker.trigger,
        },
        disclosures=(disclose("person", asker.person), disclose("camera", _recorded(camera))),
        lookups=(lookups.lookup("person", asker.person),),
    )


def _recorded(camera: Camera) -> dict[str, str | int | bool | None]:
    """Return a camera for bytes that are hashed: these hold no fractions, so numbers with one are written out."""
    members: dict[str, Any] = msgspec.to_builtins(camera)
    # Whoever has it can push as the camera: that it was there is all that an auditor needs.
    for secret in ("digest_ha1", "signing_secret"):
        members[secret] = "withheld" if members[secret] else None
    return {name: _exact(value) for name, value in members.items()}


def _exact(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and math.isfinite(value) else value
