"""Audit entries: what a leaf of the log says, and the commitments that keep its private part out of it.

A leaf is canonical JSON (RFC 8785 restricted to ASCII keys, strings, integers, booleans, and lists or objects of
these), stored and hashed as the same bytes. What names a person, a plate or a case is not in it: the leaf holds a
salted commitment a field, `b64url(SHA-256(canonical JSON of [salt, field, value]))`, in the manner of RFC 9901, and
the values and salts lie encrypted beside it.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import orjson

VERSION: Final = 1

Kind = Literal[
    "intent", "page",
    "outcome", "denial", "failure", "abandoned",
    "camera", "log_read", "purge", "dead_letter",
]  # fmt: skip
"""`question := intent end (page end)*`, `end := outcome | denial | failure | abandoned`; the rest stand alone."""

OPENING: Final = frozenset({"intent", "page"})
ENDS: Final = frozenset({"outcome", "denial", "failure", "abandoned"})

LookupClass = Literal["person", "case", "plate", "plate_key", "delivered_key", "idempotency"]


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """A keyed HMAC by which auditors find entries without a clear value standing in the log."""

    field: LookupClass
    mac: bytes


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """Salt and value of one committed field; `encoded()` are the bytes whose hash the leaf holds."""

    salt: str
    field: str
    value: Any

    def encoded(self) -> bytes:
        """Return the canonical JSON of [salt, field, value]."""
        return canonical([self.salt, self.field, self.value])

    def commitment(self) -> str:
        """Return b64url(SHA-256(encoded())), without padding."""
        return commitment_of(self.encoded())


def canonical(value: Any) -> bytes:
    """Return canonical JSON (RFC 8785) of strings, integers, booleans, None, lists and string-keyed objects.

    Raises TypeError for anything else: numbers with a fraction have no place in bytes that are hashed, and keys must
    be ASCII so that byte order and UTF-16 order agree.
    """
    _check(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _check(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise TypeError("keys of canonical JSON are ASCII strings")
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 2**53 - 1:
            raise TypeError("integers of canonical JSON stay within 53 bits")
    elif value is not None and not isinstance(value, str | bool):
        raise TypeError(f"canonical JSON does not hold {type(value).__name__}")


def commitment_of(encoded: bytes) -> str:
    """Return the commitment to the bytes of a disclosure."""
    return base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).rstrip(b"=").decode()


def disclose(field: str, value: Any) -> Disclosure:
    """Return a disclosure of a value under a fresh 128-bit salt."""
    return Disclosure(
        salt=base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode(), field=field, value=value
    )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry on its way into the log: the public part, the disclosures it commits to, and its look-ups.

    `public` must hold no name, plate, key or case. `ends` is the index of the intent or page that this entry ends.
    """

    kind: Kind
    public: dict[str, Any]
    disclosures: tuple[Disclosure, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    ends: int | None = None

    def leaf(self) -> bytes:
        """Return the leaf's bytes: `v`, `kind`, the public fields, `ends`, and `commitments` (field -> commitment)."""
        body: dict[str, Any] = {"v": VERSION, "kind": self.kind, **self.public}
        if self.ends is not None:
            body["ends"] = self.ends
        if self.disclosures:
            body["commitments"] = {item.field: item.commitment() for item in self.disclosures}
        return canonical(body)

    def secret(self) -> bytes:
        """Return the private part before encryption: a JSON list of [salt, field, value]."""
        return canonical([[item.salt, item.field, item.value] for item in self.disclosures])
