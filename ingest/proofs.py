"""How a camera proves itself: what came with a request, and whether it shows what the registry knows of it. Pure.

The ways are those of `schemas.cameras.Proof`, and each camera has one. A vendor's signature is that of Verkada, which
signs its webhooks (apidocs.verkada.com/reference/securing-webhooks). HTTP Basic is RFC 7617, HTTP Digest is RFC 7616
with SHA-256 and qop `auth`. None but the
signature protects a body on its way: that is TLS's part.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import Final, Literal

import msgspec

from schemas import keys
from schemas.cameras import PROOFS, Camera

REALM: Final = keys.REALM
NONCE_LIFE_S: Final = 300

Reason = Literal[
    "no_proof",
    "malformed",
    "unknown",
    "wrong_key",
    "wrong_proof",
    "stale",
    "untrusted_proxy",
    "retired",
    "not_active",
    "ephemeral",
]
"""Why a request is refused before anything of it is read."""

_PARAMETER: Final = re.compile(r'\s*([a-z]+)\s*=\s*(?:"([^"\\]{0,512})"|([^\s",]{1,512}))\s*(?:,|$)', re.ASCII)
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_NONCE_TIME_BYTES: Final = 8
_SIGNATURE: Final = re.compile(r"([0-9]{1,12})\|([0-9a-fA-F]{64})")
_MAX_HEADER: Final = 4096


class KeyShown(msgspec.Struct, frozen=True):
    """A key, and the user name beside it where the way has one."""

    key: str
    prefix: str
    user: str | None = None


class TokenShown(msgspec.Struct, frozen=True):
    """A token that came in the path."""

    token: str
    prefix: str


class DigestShown(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a Digest response that are checked."""

    username: str
    nonce: str
    uri: str
    response: str
    nc: str
    cnonce: str


class CertificateShown(msgspec.Struct, frozen=True):
    """The SHA-256 fingerprint (hex) of a client certificate, on the word of a proxy that is trusted."""

    fingerprint: str


class SignatureShown(msgspec.Struct, frozen=True, kw_only=True):
    """A signature of a body, the time (seconds since 1970) that it was made at as it was written, and whose it is."""

    signature: str
    at: str
    device_id: str


Shown = KeyShown | TokenShown | DigestShown | CertificateShown


class Unproved(Exception):
    """Nothing that came with the request proves a camera. The reason is one of a closed list."""

    def __init__(self, reason: Reason) -> None:
        """Know the reason."""
        super().__init__(reason)
        self.reason: Reason = reason


def of_authorization(text: str) -> KeyShown | DigestShown:
    """Return what an Authorization header shows: a key by Bearer or Basic, or a Digest response. Raises Unproved."""
    scheme, _, rest = text.partition(" ")
    if len(text) <= _MAX_HEADER:
        if scheme.lower() == "bearer":
            return of_key(rest.strip())
        if scheme.lower() == "basic":
            return _basic(rest.strip())
        if scheme.lower() == "digest":
            return _digest(rest)
    raise Unproved("malformed")


def of_key(text: str, user: str | None = None) -> KeyShown:
    """Return the key in a text that holds nothing else. Raises Unproved."""
    prefix = keys.prefix_of(text)
    if prefix is None:
        raise Unproved("malformed")
    return KeyShown(text, prefix, user)


def of_token(text: str) -> TokenShown:
    """Return the token in a part of a path. Raises Unproved."""
    prefix = keys.token_prefix_of(text)
    if prefix is None:
        raise Unproved("malformed")
    return TokenShown(text, prefix)


def check_proxy(said: str | None, proxy_secret: str | None) -> None:
    """Raise Unproved unless a proxy is the trusted one: `said` is what it sends to be known by, None trusts none."""
    if proxy_secret is None or said is None or not hmac.compare_digest(said.encode(), proxy_secret.encode()):
        raise Unproved("untrusted_proxy")


def of_certificate(fingerprint: str) -> CertificateShown:
    """Return the certificate that a trusted proxy says it has checked. Raises Unproved."""
    plain = fingerprint.replace(":", "").strip().lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise Unproved("malformed")
    return CertificateShown(plain)


def _basic(text: str) -> KeyShown:
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Unproved("malformed") from None
    if not colon:
        raise Unproved("malformed")
    return of_key(password, user)


def _digest(text: str) -> DigestShown:
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None or found[1] in values:
            raise Unproved("malformed")
        values[found[1]] = found[2] if found[2] is not None else found[3]
        at = found.end()
    wanted = {"algorithm": "SHA-256", "qop": "auth", "realm": REALM}
    if any(values.get(name) != value for name, value in wanted.items()):
        raise Unproved("malformed")
    try:
        return DigestShown(**{name: values[name] for name in DigestShown.__struct_fields__})
    except KeyError:
        raise Unproved("malformed") from None


def check(camera: Camera, shown: Shown) -> None:
    """Raise Unproved unless what was shown proves this camera. A Digest response is checked by `check_digest`."""
    if isinstance(shown, KeyShown):
        if shown.user not in (None, camera.camera_id, camera.key_prefix):
            raise Unproved("wrong_key")
        _check_secret(camera, shown.key, "key")
    elif isinstance(shown, TokenShown):
        _check_secret(camera, shown.token, "url")
    elif isinstance(shown, CertificateShown):
        if camera.proof != "certificate" or camera.certificate_sha256 != shown.fingerprint:
            raise Unproved("wrong_proof")
    else:
        raise Unproved("wrong_proof")


def _check_secret(camera: Camera, text: str, proof: Literal["key", "url"]) -> None:
    if not keys.matches(text, camera.key_sha256):
        raise Unproved("wrong_key")
    if camera.proof != proof:
        raise Unproved("wrong_proof")


class Nonces:
    """Nonces of HTTP Digest: a time under an HMAC of this process, so that nothing has to be remembered of them."""

    def __init__(self, secret: bytes | None = None) -> None:
        """Use this secret, or a fresh one: nonces from before are stale then, and a camera tries again by itself."""
        self._secret = secret or secrets.token_bytes(32)

    def make(self, now_s: float) -> str:
        """Return a nonce of this time (seconds since 1970)."""
        at = int(now_s).to_bytes(_NONCE_TIME_BYTES, "big")
        return base64.urlsafe_b64encode(at + self._mac(at)).decode().rstrip("=")

    def is_fresh(self, nonce: str, now_s: float) -> bool:
        """Tell whether a nonce is ours and at most `NONCE_LIFE_S` seconds old."""
        try:
            raw = base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
        except (binascii.Error, ValueError):
            return False
        at, mac = raw[:_NONCE_TIME_BYTES], raw[_NONCE_TIME_BYTES:]
        if not hmac.compare_digest(mac, self._mac(at)):
            return False
        return 0 <= int(now_s) - int.from_bytes(at, "big") <= NONCE_LIFE_S

    def _mac(self, at: bytes) -> bytes:
        return hmac.digest(self._secret, b"platetrail digest nonce" + at, "sha256")


def check_digest(camera: Camera, shown: DigestShown, *, method: str, uri: str, nonces: Nonces, now_s: float) -> None:
    """Raise Unproved unless a Digest response proves this camera for this request.

    `stale` means that the response is right and its nonce too old, or another process's: the camera shall try again.
    """
    if camera.proof != "digest" or camera.digest_ha1 is None:
        raise Unproved("wrong_proof")
    request = hashlib.sha256(f"{method}:{uri}".encode()).hexdigest()
    text = f"{camera.digest_ha1}:{shown.nonce}:{shown.nc}:{shown.cnonce}:auth:{request}"
    expected = hashlib.sha256(text.encode()).hexdigest()
    if shown.uri != uri or not hmac.compare_digest(shown.response.lower().encode(), expected.encode()):
        raise Unproved("wrong_key")
    if not nonces.is_fresh(shown.nonce, now_s):
        raise Unproved("stale")


def of_signature(header: str, device_id: str | None, *, now_s: float, tolerance_s: float) -> SignatureShown:
    """Return what Verkada's signature header shows, `time|signature`, beside the camera that the body names.

    Raises Unproved; `stale` for a time that is further from ours than `tolerance_s` seconds, either way.
    """
    found = _SIGNATURE.fullmatch(header)
    if found is None:
        raise Unproved("malformed")
    if abs(now_s - int(found[1])) > tolerance_s:
        raise Unproved("stale")
    if device_id is None:
        raise Unproved("unknown")
    return SignatureShown(signature=found[2], at=found[1], device_id=device_id)


def check_signature(camera: Camera, shown: SignatureShown, body: bytes) -> None:
    """Raise Unproved unless the camera's vendor signed these bytes: HMAC-SHA-256 of body, `|` and the time."""
    if camera.proof != "signature" or camera.signing_secret is None:
        raise Unproved("wrong_proof")
    expected = hmac.new(camera.signing_secret.encode(), body, hashlib.sha256)
    expected.update(f"|{shown.at}".encode())
    if not hmac.compare_digest(shown.signature.lower(), expected.hexdigest()):
        raise Unproved("wrong_key")


def challenges(format_: str | None, nonce: str, *, stale: bool) -> tuple[str, ...]:
    """Return the challenges of a 401 (values of WWW-Authenticate) to whom pushes this format, strongest first."""
    found = ["Bearer"]
    if format_ != "native":
        found.append(f'Basic realm="{REALM}", charset="UTF-8"')
    if "digest" in PROOFS.get(format_, ()):
        told = ", stale=true" if stale else ""
        found.insert(0, f'Digest realm="{REALM}", qop="auth", algorithm=SHA-256, nonce="{nonce}"{told}')
    return tuple(found)
