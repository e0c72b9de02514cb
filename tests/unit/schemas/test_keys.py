"""Camera keys: their form, and that only the one text opens."""

import hashlib

import pytest

from schemas import keys


def test_a_key_has_256_random_bits_behind_its_prefix() -> None:
    made = [keys.new() for _ in range(200)]
    assert len({one.key for one in made}) == len({one.prefix for one in made}) == 200
    for key, prefix, digest in made:
        assert key.startswith(f"ptk_{prefix}_")
        assert len(key) == len("ptk_") + 8 + 1 + 43
        assert keys.prefix_of(key) == prefix
        assert digest == hashlib.sha256(key.encode()).hexdigest()
        assert keys.matches(key, digest)


def test_nothing_but_the_key_matches() -> None:
    key, _, digest = keys.new()
    for other in (keys.new().key, key[:-1], key + "A", key.lower(), "", digest, key.encode().hex(), "ключ"):
        assert not keys.matches(other, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ptk_",
        "ptk_abcdefgh",
        "ptk_abcdefgh_",
        "ptk_abc_" + "a" * 43,
        "xyz_abcdefgh_" + "a" * 43,
        "ptk_abcdefgh_" + "a" * 42,
        "ptk_abcdefgh_" + "a" * 44,
        "ptk_abcdefgh_" + "a" * 42 + "\n",
        "ptk_äbcdefgh_" + "a" * 43,
        " ptk_abcdefgh_" + "a" * 43,
    ],
)
def test_what_is_no_key_has_no_prefix(text: str) -> None:
    assert keys.prefix_of(text) is None
