"""Tokens of an issuer of the tests' own."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from search.identity import Verifier

ISSUER = "https://issuer.example"
AUDIENCE = "platetrail"


class Issuer:
    """An issuer with a key of its own."""

    def __init__(self) -> None:
        """Make the key."""
        self._key = Ed25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifier(self) -> Verifier:
        """Return a verifier of this issuer's tokens."""
        return Verifier(self.public_key, issuer=ISSUER, audience=AUDIENCE)

    def token(self, *roles: str, agency: str = "north", person: str = "someone", **claims: Any) -> str:
        """Return a token that is in force for an hour."""
        base = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600, "sub": person, "agency": agency}
        return jwt.encode({**base, "roles": list(roles), **claims}, self._key, algorithm="EdDSA")

    def header(self, *roles: str, **claims: Any) -> dict[str, str]:
        """Return the Authorization header of such a token."""
        return {"Authorization": f"Bearer {self.token(*roles, **claims)}"}
