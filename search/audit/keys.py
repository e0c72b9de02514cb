"""Key files: made once with mode 0600, outside the database and its backups, and refused if others can read them.

Pairs are PEM (PKCS #8, SubjectPublicKeyInfo); symmetric keys are one line of base64url holding 32 random bytes.
"""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from search.audit.errors import KeyFileError

SECRET_BYTES: Final = 32


def make_pair(private_file: Path, public_file: Path) -> None:
    """Make the auditing process's X25519 pair. Raises FileExistsError: a key is never overwritten."""
    key = X25519PrivateKey.generate()
    write_secret(private_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_secret(public_file, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def make_secret(file: Path) -> None:
    """Make a symmetric key: for look-ups, or for cursors. Raises FileExistsError."""
    write_secret(file, base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n")


def write_secret(file: Path, content: bytes) -> None:
    """Write a new file that its owner alone can read (0600 from its first byte on). Raises FileExistsError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def read_private(file: Path) -> X25519PrivateKey:
    """Return the private half of the pair. Raises KeyFileError."""
    try:
        key = load_pem_private_key(_read_private_file(file), password=None)
    except ValueError:
        raise KeyFileError("not a key") from None
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileError("not X25519")
    return key


def read_public(file: Path) -> X25519PublicKey:
    """Return the public half of the pair. Raises KeyFileError."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError:
        raise KeyFileError("not readable") from None
    except ValueError:
        raise KeyFileError("not a key") from None
    if not isinstance(key, X25519PublicKey):
        raise KeyFileError("not X25519")
    return key


def read_secret(file: Path) -> bytes:
    """Return a symmetric key's 32 bytes. Raises KeyFileError."""
    try:
        key = base64.b64decode(_read_private_file(file).strip(), altchars=b"-_", validate=True)
    except binascii.Error:
        raise KeyFileError("not a key") from None
    if len(key) != SECRET_BYTES:
        raise KeyFileError("not a key")
    return key


def _read_private_file(file: Path) -> bytes:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise KeyFileError("open to others")
        return file.read_bytes()
    except OSError:
        raise KeyFileError("not readable") from None
