"""Cursors: where the next page of a question begins, carried by the client, who can neither read nor alter it.

AES-256-GCM (NIST SP 800-38D) under a key of its own, since the state of a page names passes and holds short hashes of
camera and plate, which anybody could try out. A cursor belongs to one person and one question, and expires.
"""

import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.entries import canonical
from schemas.queries import TrajectoryRequest
from search.errors import Flaw, Forbidden, Invalid
from search.trajectory import Carry

LIFE_S: Final = 3600
_NONCE: Final = 12
_CONTEXT: Final = b"platetrail cursor v1"
_BODIES: Final = msgspec.json.Encoder(order="deterministic")


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: of which intent, what it hands on, and how many points were delivered up to there.

    `person` and `question` are hashes; `expires` is in seconds since the epoch.
    """

    intent: int
    carry: Carry
    delivered: int
    person: str
    question: str
    expires: int


class Cursors:
    """Seals and opens cursors."""

    def __init__(self, key: bytes, now: Callable[[], float] = time.time, life_s: int = LIFE_S) -> None:
        """Use a key of at least 32 bytes, the same in all processes. Raises ValueError if it is shorter."""
        if len(key) < 32:
            raise ValueError("a cursor key has at least 32 bytes")
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_CONTEXT).derive(key)
        self._cipher = AESGCM(derived)
        self._now = now
        self._life_s = life_s

    def seal(self, intent: int, carry: Carry, delivered: int, person: str, request: TrajectoryRequest) -> str:
        """Return the text of a cursor for a person's question."""
        expires = int(self._now()) + self._life_s
        cursor = Cursor(intent, carry, delivered, _person(person), _question(request), expires)
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(cursor), _CONTEXT)
        return _text(sealed)

    def open(self, person: str, request: TrajectoryRequest) -> Cursor:
        """Return the cursor of a person's request.

        Raises Invalid if it is none of ours, was altered, has expired or is of another question, Forbidden if it is
        another person's.
        """
        cursor = self._decrypt(request.cursor or "")
        if cursor.person != _person(person):
            raise Forbidden("This cursor was given to somebody else.")
        if cursor.question != _question(request):
            raise _unusable("The cursor is of another question: the rest of the body stays as it was.")
        if cursor.expires <= self._now():
            raise _unusable("The cursor has expired: ask again.")
        return cursor

    def _decrypt(self, text: str) -> Cursor:
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            if _text(sealed) != text:  # the last character has bits that a decoder ignores
                raise ValueError
            opened = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _CONTEXT)
            return msgspec.json.decode(opened, type=Cursor)
        except (binascii.Error, ValueError, InvalidTag, msgspec.DecodeError):
            raise _unusable("This is no cursor of this service.") from None


def _unusable(detail: str) -> Invalid:
    return Invalid(Flaw(pointer="/cursor", detail=detail))


def _person(person: str) -> str:
    return hashlib.sha256(canonical(["person", person])).hexdigest()


def _question(request: TrajectoryRequest) -> str:
    return hashlib.sha256(_BODIES.encode(msgspec.structs.replace(request, cursor=None))).hexdigest()


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
