"""Look-ups: keyed HMACs by which auditors find a person, case or plate that no leaf names.

HMAC-SHA-256 (RFC 2104) with one key a class, derived by HKDF-SHA-256 (RFC 5869) from one key file. Without a key they
would be worthless: all plates of a country are tried in minutes.
"""

import hashlib
import hmac
from typing import Final, get_args

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.entries import Lookup, LookupClass

_CONTEXT: Final = b"platetrail audit look-up v1 "


class Lookups:
    """Makes look-ups. Search writes with the key, auditing reads with it."""

    def __init__(self, key: bytes) -> None:
        """Derive the classes' keys. Raises ValueError unless the key has at least 32 bytes."""
        if len(key) < 32:
            raise ValueError("a look-up key has at least 32 bytes")
        self._keys = {
            field: HKDF(algorithm=SHA256(), length=32, salt=None, info=_CONTEXT + field.encode()).derive(key)
            for field in get_args(LookupClass)
        }

    def mac(self, field: LookupClass, value: str | bytes) -> bytes:
        """Return the HMAC of a value of a class; text as UTF-8."""
        data = value.encode() if isinstance(value, str) else value
        return hmac.digest(self._keys[field], data, hashlib.sha256)

    def lookup(self, field: LookupClass, value: str | bytes) -> Lookup:
        """Return the look-up of a value, for an entry or for a selection of entries."""
        return Lookup(field=field, mac=self.mac(field, value))
