"""The local issuer of tokens: a key pair in two files, for development alone.

Whoever can read the private key is anybody. So it works only where everything listens on loopback and the environment
is `development`; a real installation verifies the tokens of an identity provider.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from schemas.queries import Role
from search.audit.keys import write_secret
from services.cli.failures import USAGE, Failure
from services.settings import Settings

WARNING: Final = (
    "DEVELOPMENT ISSUER: whoever can read its key file can be anybody. Never let a service that others can reach "
    "trust it."
)


def refuse_outside_development(settings: Settings) -> None:
    """Raise Failure unless this is a development installation whose every listener is loopback."""
    if settings.environment != "development":
        raise Failure("the local issuer works only with PLATETRAIL_ENVIRONMENT=development", USAGE)
    if not settings.is_loopback():
        raise Failure(
            "the local issuer works only while every listener (PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_ALL) is a "
            "loopback address",
            USAGE,
        )


def make_pair(private_file: Path, public_file: Path) -> None:
    """Make the issuer's Ed25519 key pair (PEM). Raises FileExistsError: a key is never overwritten."""
    key = Ed25519PrivateKey.generate()
    write_secret(private_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_secret(public_file, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def issue(settings: Settings, *, person: str, agency: str, roles: Collection[Role], lifetime: timedelta) -> str:
    """Return a signed token (JWT, EdDSA). Raises Failure outside development, or without the private key."""
    refuse_outside_development(settings)
    if settings.token_private_key_file is None:
        raise Failure("no key: set PLATETRAIL_TOKEN_PRIVATE_KEY_FILE", USAGE)
    now = datetime.now(UTC)
    claims = {
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
        "sub": person,
        "agency": agency,
        "roles": sorted(roles),
        "iat": now,
        "exp": now + lifetime,
    }
    try:
        return jwt.encode(claims, settings.token_private_key_file.read_bytes(), algorithm="EdDSA")
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise Failure(f"the issuer's private key cannot be used ({type(error).__name__})", USAGE) from None
