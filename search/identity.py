"""Who asks: bearer tokens (JWT, RFC 7519 and 6750) of one issuer, checked against its public key.

EdDSA and RS256 are taken, as the key is Ed25519 or RSA; which one is never read from the token (RFC 8725, 3.1).
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from schemas.queries import Asker, Trigger
from search.errors import NotAuthenticated

MAX_TOKEN_LENGTH: Final = 8192
CACHE_LIMIT: Final = 4096
"""Verified tokens that are remembered at once; the least recently used one goes first."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KNOWN_ROLES: Final = frozenset({"investigator", "camera_operator", "auditor"})


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that are used. `agency`, `roles` and `trigger` are ours."""

    exp: float
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    agency: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    roles: Annotated[list[str], msgspec.Meta(max_length=32)]
    trigger: Trigger = "human"


class Verifier:
    """Verifies tokens of one issuer for one audience.

    A token is verified once and then remembered by its SHA-256, since a signature costs more than the rest of a
    request; its expiry is checked again each time. Whoever revokes a token calls `forget`.
    """

    def __init__(self, public_key: bytes, *, issuer: str, audience: str, now: Callable[[], float] = time.time) -> None:
        """Know the issuer's public key (PEM), the names to expect, and the clock (seconds since the epoch).

        Raises ValueError if the key is neither Ed25519 nor RSA of 2,048 bits or more.
        """
        self._key, self._algorithm = _load(public_key)
        self._issuer = issuer
        self._audience = audience
        self._now = now
        self._known: OrderedDict[bytes, tuple[float, Asker]] = OrderedDict()

    def identify(self, authorization: str | None) -> Asker:
        """Return whom an Authorization header names. Raises NotAuthenticated if it has no valid bearer token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated
        return self.verify(token.strip())

    def verify(self, token: str) -> Asker:
        """Return whom a token names. Raises NotAuthenticated for whatever is not a token of ours in force."""
        if len(token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
            raise NotAuthenticated
        name = hashlib.sha256(token.encode("ascii")).digest()
        known = self._known.get(name)
        if known is None:
            known = self._check(token)
            self._known[name] = known
            if len(self._known) > CACHE_LIMIT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        expires, asker = known
        if expires <= self._now():
            del self._known[name]
            raise NotAuthenticated
        return asker

    def forget(self) -> None:
        """Drop every remembered token: each is verified anew."""
        self._known.clear()

    def _check(self, token: str) -> tuple[float, Asker]:
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            claims = msgspec.convert(payload, _Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError, RecursionError):
            # The texts of these quote claims.
            raise NotAuthenticated from None
        asker = Asker(
            person=claims.sub,
            agency=claims.agency,
            roles=frozenset(claims.roles) & _KNOWN_ROLES,
            trigger=claims.trigger,
        )
        return claims.exp, asker


def _load(public_key: bytes) -> tuple[Any, str]:
    key = load_pem_public_key(public_key)
    if isinstance(key, Ed25519PublicKey):
        return key, "EdDSA"
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return key, "RS256"
    raise ValueError("the issuer's key is Ed25519, or RSA of at least 2,048 bits")
