"""The private part of entries, encrypted to the auditing process: whoever writes it cannot read it again.

A data key (AES-256-GCM, NIST SP 800-38D) seals the entries of one process for an hour. The data key is wrapped to
auditing's X25519 public key: ephemeral X25519 (RFC 7748), HKDF-SHA-256 (RFC 5869) over the shared secret with both
public keys as context, AES-256-GCM. A sealed part is bound to its leaf by the RFC 6962 leaf hash as associated data.

    wrapped = ephemeral public key (32) | nonce (12) | encrypted data key and tag (48)
    sealed  = nonce (12) | encrypted JSON list of [salt, field, value], and tag
"""

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.entries import Disclosure, Entry
from search.audit.errors import Unopened
from search.audit.merkle import leaf_hash
from search.audit.ports import Writing

DATA_KEY_LIFE: Final = timedelta(hours=1)
_NONCE: Final = 12
_PUBLIC: Final = 32
_CONTEXT: Final = b"platetrail audit data key v1"


class DataKey:
    """A key that seals entries. It exists in this process alone, and wrapped in the database."""

    def __init__(self, recipient: X25519PublicKey, made: datetime) -> None:
        """Make a random key and wrap it to `recipient`."""
        self.id: Final = uuid.uuid4()
        self.made: Final = made
        key = AESGCM.generate_key(256)
        self.wrapped: Final = _wrap(recipient, self.id, key)
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, leaf: bytes) -> bytes:
        """Encrypt the private part of the entry whose leaf this is."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, leaf_hash(leaf))

    def writing(self, entry: Entry, leaf: bytes) -> Writing:
        """Return an entry, whose leaf this is, as it is stored. One without disclosures has nothing to seal."""
        if not entry.disclosures:
            return Writing(leaf=leaf, lookups=entry.lookups)
        return Writing(leaf=leaf, data_key=self.id, sealed=self.seal(entry.secret(), leaf), lookups=entry.lookups)


def _now() -> datetime:
    return datetime.now(UTC)


class Sealer:
    """Makes data keys, wrapped to the auditing process's public key."""

    def __init__(self, recipient: X25519PublicKey, clock: Callable[[], datetime] = _now) -> None:
        """Seal to `recipient`; `clock` decides when a key is too old."""
        self._recipient = recipient
        self._clock = clock
        self._current: DataKey | None = None

    def fresh(self) -> DataKey:
        """Return a new key, for a transaction of its own."""
        return DataKey(self._recipient, self._clock())

    def current(self) -> DataKey:
        """Return this process's key of the hour."""
        if self._current is None or self._clock() - self._current.made >= DATA_KEY_LIFE:
            self._current = self.fresh()
        return self._current

    def renew(self) -> None:
        """Give up the current key: it is not known whether the database has it."""
        self._current = None


class Opener:
    """Opens sealed parts. Only the auditing process holds the private key."""

    def __init__(self, private_key: X25519PrivateKey) -> None:
        """Open what was sealed to this key's public half."""
        self._private_key = private_key
        self._ciphers: dict[uuid.UUID, AESGCM] = {}

    def open(self, data_key: uuid.UUID, wrapped: bytes, sealed: bytes, leaf: bytes) -> tuple[Disclosure, ...]:
        """Return what an entry committed to, each value checked against the leaf's commitments.

        Raises Unopened if the key is another, anything was altered, or leaf and private part do not belong together.
        """
        try:
            secret = self._cipher(data_key, wrapped).decrypt(sealed[:_NONCE], sealed[_NONCE:], leaf_hash(leaf))
        except (InvalidTag, ValueError):
            raise Unopened("sealed") from None
        return opened(secret, leaf)

    def _cipher(self, data_key: uuid.UUID, wrapped: bytes) -> AESGCM:
        if (cipher := self._ciphers.get(data_key)) is None:
            if len(self._ciphers) >= 4096:
                self._ciphers.clear()
            cipher = self._ciphers[data_key] = AESGCM(_unwrap(self._private_key, data_key, wrapped))
        return cipher


class _Committed(msgspec.Struct):
    """What a leaf commits to, by field."""

    commitments: dict[str, str]


def opened(secret: bytes, leaf: bytes) -> tuple[Disclosure, ...]:
    """Return the disclosures of a decrypted private part. Raises Unopened unless they are exactly the leaf's."""
    try:
        triples = msgspec.json.decode(secret, type=list[tuple[str, str, Any]])
        commitments = msgspec.json.decode(leaf, type=_Committed).commitments
        found = tuple(Disclosure(salt=salt, field=field, value=value) for salt, field, value in triples)
        computed = {item.field: item.commitment() for item in found}
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        raise Unopened("content") from None
    if computed != commitments or len(found) != len(commitments):
        raise Unopened("commitments")
    return found


def _wrap(recipient: X25519PublicKey, name: uuid.UUID, key: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    wrapping = _wrapping_key(ephemeral.exchange(recipient), public, recipient)
    nonce = secrets.token_bytes(_NONCE)
    return public + nonce + AESGCM(wrapping).encrypt(nonce, key, name.bytes)


def _unwrap(private_key: X25519PrivateKey, name: uuid.UUID, wrapped: bytes) -> bytes:
    public, nonce, rest = wrapped[:_PUBLIC], wrapped[_PUBLIC : _PUBLIC + _NONCE], wrapped[_PUBLIC + _NONCE :]
    shared = private_key.exchange(X25519PublicKey.from_public_bytes(public))
    wrapping = _wrapping_key(shared, public, private_key.public_key())
    return AESGCM(wrapping).decrypt(nonce, rest, name.bytes)


def _wrapping_key(shared: bytes, ephemeral: bytes, recipient: X25519PublicKey) -> bytes:
    context = _CONTEXT + ephemeral + recipient.public_bytes_raw()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=context).derive(shared)
