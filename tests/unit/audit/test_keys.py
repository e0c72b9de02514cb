"""Key files and look-ups."""

import hashlib
import hmac
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from search.audit import keys
from search.audit.errors import KeyFileError
from search.audit.lookups import Lookups


@pytest.fixture
def private(tmp_path: Path) -> Path:
    keys.make_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    keys.make_secret(tmp_path / "lookup.key")
    return tmp_path / "private.pem"


def test_halves_of_a_pair_belong_together(private: Path) -> None:
    public = keys.read_public(private.with_name("public.pem"))
    assert keys.read_private(private).public_key().public_bytes_raw() == public.public_bytes_raw()


def test_files_are_their_owners_alone(private: Path) -> None:
    for file in private.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(private: Path) -> None:
    before = private.read_bytes()
    with pytest.raises(FileExistsError):
        keys.make_pair(private, private.with_name("other.pem"))
    assert private.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(private: Path, mode: int) -> None:
    secret = private.with_name("lookup.key")
    private.chmod(mode)
    secret.chmod(mode)
    with pytest.raises(KeyFileError, match="open to others"):
        keys.read_private(private)
    with pytest.raises(KeyFileError, match="open to others"):
        keys.read_secret(secret)


@pytest.mark.parametrize("content", [b"", b"not a key", b"QUJD\n", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    keys.write_secret(file, content)
    readers: list[Callable[[Path], object]] = [keys.read_private, keys.read_public, keys.read_secret]
    for read in readers:
        with pytest.raises(KeyFileError, match="not a key"):
            read(file)
        with pytest.raises(KeyFileError, match="not readable"):
            read(tmp_path / "missing")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = Ed25519PrivateKey.generate()
    keys.write_secret(tmp_path / "a", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    keys.write_secret(tmp_path / "b", other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyFileError, match="X25519"):
        keys.read_private(tmp_path / "a")
    with pytest.raises(KeyFileError, match="X25519"):
        keys.read_public(tmp_path / "b")


def test_lookups_are_keyed_by_file_and_class(private: Path) -> None:
    secret = keys.read_secret(private.with_name("lookup.key"))
    mine, same, other = Lookups(secret), Lookups(secret), Lookups(bytes(32))
    assert mine.mac("person", "ana") == same.mac("person", "ana") == mine.mac("person", b"ana")
    assert len(mine.mac("person", "ana")) == 32
    assert len({mine.mac("person", "ana"), mine.mac("case", "ana"), mine.mac("person", "bo")}) == 3
    assert other.mac("person", "ana") != mine.mac("person", "ana")
    assert mine.mac("person", "ana") != hmac.digest(secret, b"ana", hashlib.sha256)
    assert mine.lookup("case", "1").field == "case"


def test_a_short_lookup_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Lookups(bytes(31))
