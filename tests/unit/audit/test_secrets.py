"""Sealing: what one process writes only another can read, whole, unaltered, and in its own place."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, disclose
from search.audit.errors import Unopened
from search.audit.ports import Writing
from search.audit.secrets import DataKey, Opener, Sealer, opened

PRIVATE = X25519PrivateKey.generate()
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def entry(person: str = "ana") -> Entry:
    return Entry(kind="intent", public={}, disclosures=(disclose("person", person), disclose("case_number", "2026-1")))


def sealed(one: Entry, key: DataKey | None = None) -> tuple[DataKey, Writing]:
    key = key or Sealer(PRIVATE.public_key()).current()
    return key, key.writing(one, one.leaf())


def test_what_was_sealed_opens_as_it_was() -> None:
    key, writing = sealed(entry())
    assert writing.sealed is not None
    found = Opener(PRIVATE).open(key.id, key.wrapped, writing.sealed, writing.leaf)
    assert [(item.field, item.value) for item in found] == [("person", "ana"), ("case_number", "2026-1")]
    assert b"ana" not in writing.sealed
    assert b"2026" not in writing.sealed


def test_another_private_key_opens_nothing() -> None:
    key, writing = sealed(entry())
    assert writing.sealed is not None
    with pytest.raises(Unopened):
        Opener(X25519PrivateKey.generate()).open(key.id, key.wrapped, writing.sealed, writing.leaf)


def test_one_changed_bit_anywhere_opens_nothing() -> None:
    key, writing = sealed(entry())
    assert writing.sealed is not None
    for position in range(0, len(key.wrapped), 7):
        with pytest.raises(Unopened):
            Opener(PRIVATE).open(key.id, flipped(key.wrapped, position), writing.sealed, writing.leaf)
    for position in range(0, len(writing.sealed), 7):
        with pytest.raises(Unopened):
            Opener(PRIVATE).open(key.id, key.wrapped, flipped(writing.sealed, position), writing.leaf)
    with pytest.raises(Unopened):
        Opener(PRIVATE).open(key.id, key.wrapped, writing.sealed, writing.leaf + b" ")
    with pytest.raises(Unopened):
        Opener(PRIVATE).open(uuid.uuid4(), key.wrapped, writing.sealed, writing.leaf)
    for short in (b"", writing.sealed[:11], writing.sealed[:-1]):
        with pytest.raises(Unopened):
            Opener(PRIVATE).open(key.id, key.wrapped, short, writing.leaf)
    for short in (b"", key.wrapped[:31], key.wrapped[:50]):
        with pytest.raises(Unopened):
            Opener(PRIVATE).open(key.id, short, writing.sealed, writing.leaf)


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def test_the_secret_of_another_entry_does_not_fit() -> None:
    key, first = sealed(entry())
    _, second = sealed(entry("bo"), key)
    assert second.sealed is not None
    with pytest.raises(Unopened):
        Opener(PRIVATE).open(key.id, key.wrapped, second.sealed, first.leaf)


def test_values_that_the_leaf_does_not_commit_to_are_refused() -> None:
    honest, other = entry(), entry("bo")
    assert len(opened(honest.secret(), honest.leaf())) == 2
    for secret in (other.secret(), b"[]", b"{}", b"\xff", b'[["a","b"]]', honest.secret().replace(b"ana", b"bob")):
        with pytest.raises(Unopened):
            opened(secret, honest.leaf())
    with pytest.raises(Unopened):
        opened(honest.secret(), Entry(kind="intent", public={}).leaf())


@pytest.mark.parametrize(
    "secret",
    [b'[["s","f",1.5]]', b'[["s","f",9007199254740993]]', b'[["s","f",' + b"[" * 5000 + b"]" * 5000 + b"]]"],
)
@pytest.mark.parametrize("commitments", [b'{"f":"x"}', b"[1]", b"1", b'{"f":[1]}', b"null"])
def test_a_private_part_that_no_leaf_can_commit_to_is_refused(secret: bytes, commitments: bytes) -> None:
    with pytest.raises(Unopened):
        opened(secret, b'{"commitments":' + commitments + b"}")


def test_a_data_key_serves_an_hour() -> None:
    clock = [NOW]
    sealer = Sealer(PRIVATE.public_key(), lambda: clock[0])
    first = sealer.current()
    clock[0] += timedelta(minutes=59)
    assert sealer.current() is first
    clock[0] += timedelta(minutes=1)
    second = sealer.current()
    assert second.id != first.id
    sealer.renew()
    assert sealer.current().id not in {first.id, second.id}
    assert sealer.fresh().id != sealer.current().id


def test_an_entry_without_disclosures_has_nothing_to_seal() -> None:
    _, writing = sealed(Entry(kind="denial", public={}, ends=0))
    assert (writing.data_key, writing.sealed) == (None, None)


def test_no_two_sealings_are_alike() -> None:
    one, key = entry(), Sealer(PRIVATE.public_key()).current()
    assert sealed(one, key)[1].sealed != sealed(one, key)[1].sealed
