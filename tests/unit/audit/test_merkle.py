"""The tree against the definition in RFC 6962, section 2.1, and against the roots of its reference implementation."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.audit.merkle import EMPTY_ROOT, Tree, leaf_hash, place_hash, root_of

# Leaves and roots of the test vectors that certificate transparency's implementations share.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash exactly as RFC 6962 words it: MTH(D[n]), split at the largest power of 2 under n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:split]) + naive(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    assert root_of(map(leaf_hash, LEAVES[:size])).hex() == ROOTS[size]
    assert naive(LEAVES[:size]).hex() == ROOTS[size]


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_every_size_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    tree = Tree()
    for size, leaf in enumerate(leaves, start=1):
        tree.add(leaf_hash(leaf))
        assert tree.size == size
        assert len(tree.frontier) == size.bit_count()
    assert tree.root() == naive(leaves)


@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.binary(max_size=4), max_size=40))
def test_a_tree_goes_on_from_its_frontier(before: list[bytes], after: list[bytes]) -> None:
    first = Tree()
    for leaf in before:
        first.add(leaf_hash(leaf))
    second = Tree(first.size, first.frontier)
    for leaf in after:
        second.add(leaf_hash(leaf))
    assert second.root() == naive(before + after)


@pytest.mark.parametrize(
    ("size", "frontier"),
    [(1, ()), (0, (bytes(32),)), (3, (bytes(32),)), (1, (b"short",)), (-1, ()), (2, (bytes(32), bytes(32)))],
)
def test_a_frontier_of_another_size_is_refused(size: int, frontier: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="frontier"):
        Tree(size, frontier)


def test_leaves_nodes_and_places_are_told_apart() -> None:
    hashed = leaf_hash(b"x")
    assert hashed != hashlib.sha256(b"x").digest()
    assert place_hash(3, hashed) != place_hash(4, hashed)
    assert place_hash(3, hashed) == hashlib.sha256(b"\x02" + bytes(7) + b"\x03" + hashed).digest()
