"""Camera keys: `ptk_<prefix>_<secret>`, a public prefix to look a key up by and 256 random bits that prove it.

A device that can be given nothing but a URL has a token in the path instead: `ptu_<prefix>_<secret>`, 128 random bits.

A key is shown once, when a camera is registered; what is kept is the SHA-256 of its whole text. A fast hash is right
here: the secret is random, so there is nothing to guess, and every request of a camera is checked.
"""

import hashlib
import hmac
import re
import secrets
import string
from typing import Final, NamedTuple

PREFIX_LENGTH: Final = 8

REALM: Final = "platetrail"
"""The realm of HTTP Basic and Digest: part of what Digest stores, so it never changes."""

_ALPHABET: Final = string.ascii_letters + string.digits
_KEY: Final = re.compile(r"ptk_([A-Za-z0-9]{8})_[A-Za-z0-9_-]{43}")
_TOKEN: Final = re.compile(r"ptu_([A-Za-z0-9]{8})_[A-Za-z0-9_-]{22}")


class NewKey(NamedTuple):
    """A key as it was made: the text for the camera, and the two values for the registry."""

    key: str
    prefix: str
    sha256: str


def new() -> NewKey:
    """Return a new camera key: 256 random bits behind a random prefix of 8 letters and digits (47 bits)."""
    prefix = _new_prefix()
    key = f"ptk_{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(key, prefix, digest(key))


def new_token() -> NewKey:
    """Return a new token for a path: 128 random bits behind a random prefix, as `new` makes it."""
    prefix = _new_prefix()
    token = f"ptu_{prefix}_{secrets.token_urlsafe(16)}"
    return NewKey(token, prefix, digest(token))


def _new_prefix() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_LENGTH))


def prefix_of(text: str) -> str | None:
    """Return the public prefix of a key, or None if the text has not the form of one."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def token_prefix_of(text: str) -> str | None:
    """Return the public prefix of a path's token, or None if the text has not the form of one."""
    match = _TOKEN.fullmatch(text)
    return match[1] if match else None


def digest_ha1(user: str, key: str) -> str:
    """Return what HTTP Digest keeps of a key (RFC 7616, 3.4.2): SHA-256 (hex) of `user:realm:key`."""
    return hashlib.sha256(f"{user}:{REALM}:{key}".encode()).hexdigest()


def digest(key: str) -> str:
    """Return the SHA-256 (hex) of a key's whole text: what the registry keeps of it."""
    return hashlib.sha256(key.encode()).hexdigest()


def matches(text: str, sha256_hex: str) -> bool:
    """Tell whether a text is the key of this hash, in a time that does not depend on where they differ."""
    return hmac.compare_digest(digest(text), sha256_hex)
