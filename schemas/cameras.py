"""A camera as the registry knows it: the authority for owner, position, time zone and trust in its clock."""

import re
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

ClockUse = Literal["trusted", "offset", "arrival"]
"""How captured_at is made: the claimed time; the claimed time plus a fixed offset; or the time of arrival."""

Handling = Literal["standard", "ephemeral"]
"""What becomes of its reads: indexed and kept as its owner's rule says; or matched within seconds and never kept."""

Format = Literal[
    "native",
    "openalpr",
    "platerecognizer",
    "hikvision",
    "dahua",
    "dahua_itsapi",
    "axis",
    "ngsi",
    "genetec",
    "verkada",
    "frigate",
]
"""The payloads that a camera can speak."""

Proof = Literal["key", "digest", "url", "certificate", "signature"]
"""How a camera proves itself.

`key`: its key in a header (as bearer token, as X-Api-Key, or as password of HTTP Basic). `digest`: HTTP Digest
(RFC 7616) with SHA-256. `url`: a token in the path, for a device that can be given nothing but a URL. `certificate`:
mutual TLS. `signature`: its vendor signs each body, with a secret that vendor and operator share.
"""

PROOFS: Final[dict[str | None, tuple[Proof, ...]]] = {
    None: ("key", "certificate"),
    "native": ("key", "certificate"),
    "openalpr": ("key", "url", "certificate"),
    "platerecognizer": ("key", "certificate"),
    "hikvision": ("key", "digest", "url", "certificate"),
    "dahua": ("key", "digest", "url", "certificate"),
    "dahua_itsapi": ("key", "digest", "certificate"),
    "axis": ("key", "digest", "url", "certificate"),
    "ngsi": ("key", "certificate"),
    "genetec": ("key", "certificate"),
    "verkada": ("signature", "key", "url"),
    "frigate": ("key", "certificate"),
}
"""Which proofs a camera of a format may be registered with; None is a camera that may speak any format."""

FORMATS: Final[tuple[str, ...]] = get_args(Format)

DEFAULT_CLOCK_UNCERTAINTY_S = 2.0

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def is_id(text: str) -> bool:
    """Tell whether a text has the form of a camera's id."""
    return _ID.fullmatch(text) is not None


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """One registered camera: the value of the compacted topic `cameras` and a row of the table `camera`.

    `key_sha256` is the SHA-256 (hex) of the camera's whole key text; the key itself is shown once and kept nowhere.
    `digest_ha1` is what HTTP Digest needs in its place: SHA-256 (hex) of `camera_id:realm:key`, made only for a camera
    that proves itself by it, and as secret as the key. `certificate_sha256` is the fingerprint (hex) of a certificate.
    `revision` grows by one with each change, so that a replayed older record never undoes a newer one.
    `network` is the camera network that may speak for it in that network's own topic; without one, nobody but the
    camera itself can.
    `device_id` is the vendor's own id of a camera whose vendor signs, unique within the format among cameras in use;
    `signing_secret` is what it signs with, and as secret as a key.
    It may push from `active_from` on and until before `active_until`, by time of arrival, as long as it is `active`.
    """

    camera_id: str
    owner: str
    name: str
    latitude: float
    longitude: float
    timezone: str
    key_prefix: str
    key_sha256: str
    heading_deg: float | None = None
    clock_use: ClockUse = "trusted"
    clock_offset_s: float = 0.0
    clock_uncertainty_s: float = DEFAULT_CLOCK_UNCERTAINTY_S
    active: bool = True
    registered_at: datetime
    revision: int = 0
    lanes: int | None = None
    format: str | None = None
    handling: Handling = "standard"
    active_from: datetime | None = None
    active_until: datetime | None = None
    proof: Proof = "key"
    digest_ha1: str | None = None
    certificate_sha256: str | None = None
    network: str | None = None
    device_id: str | None = None
    signing_secret: str | None = None

    def active_at(self, at: datetime) -> bool:
        """Tell whether it may push at a time: not retired, and within its active period."""
        return (
            self.active
            and (self.active_from is None or at >= self.active_from)
            and (self.active_until is None or at < self.active_until)
        )
