"""The Merkle tree of RFC 6962, section 2.1: leaf and node hashes, and a frontier that grows leaf by leaf.

The frontier holds the roots of the perfect subtrees from left to right, one for each 1 in the binary form of the
size, and is all that the root and the next leaf need.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 || leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def place_hash(index: int, hashed: bytes) -> bytes:
    """Return SHA-256(0x02 || index as 8 bytes || leaf hash): binds a stored row to its index (ours, not RFC 6962's)."""
    return hashlib.sha256(b"\x02" + index.to_bytes(8) + hashed).digest()


class Tree:
    """A growing tree of which only the frontier is kept."""

    def __init__(self, size: int = 0, frontier: Sequence[bytes] = ()) -> None:
        """Go on from a size and its frontier. Raises ValueError if they disagree."""
        if size < 0 or len(frontier) != size.bit_count() or any(len(node) != 32 for node in frontier):
            raise ValueError("the frontier is not one of this size")
        self.size = size
        self._nodes = list(frontier)

    @property
    def frontier(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees, the largest first."""
        return tuple(self._nodes)

    def add(self, hashed: bytes) -> None:
        """Add a leaf by its hash."""
        nodes, size = self._nodes, self.size
        while size & 1:
            hashed = node_hash(nodes.pop(), hashed)
            size >>= 1
        nodes.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        """Return the Merkle tree hash of all leaves so far."""
        if not self._nodes:
            return EMPTY_ROOT
        *left, root = self._nodes
        for node in reversed(left):
            root = node_hash(node, root)
        return root


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes in order."""
    tree = Tree()
    for hashed in hashes:
        tree.add(hashed)
    return tree.root()
