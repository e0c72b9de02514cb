"""Which partition keys belong to, as every Kafka client says: the hash murmur2, with Kafka's seed.

The client hashes one key in 2 µs, and this runs for every read that is written. Here all keys of one length are hashed
at once: side by side in one long number, each in a lane of its own, wide enough for a product of two words. Hashing
together takes time with the square of the keys' length, so long ones, which no plate and no camera of ours has, are
left to the client. A test compares both ways.
"""

import struct
from collections.abc import Sequence
from typing import Final

from aiokafka.partitioner import murmur2 as of_client

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF
_WORD: Final = 4
_LANE: Final = 8
"""A lane is a multiple of so many bytes, so that the product of two words fits."""

_LONGEST: Final = 128
"""Bytes of the longest key that is hashed together with others: that takes half of the client's time. For keys of twice
the length it takes as long as the client."""


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition of each key among so many of a topic, from 0."""
    return [(found & 0x7FFFFFFF) % partitions for found in murmur2(keys)]


def murmur2(keys: Sequence[bytes]) -> list[int]:
    """Return the hash of each key, from 0 to 2^32 - 1 (MurmurHash2 by Austin Appleby, 32 bits, little endian)."""
    places: dict[int, list[int]] = {}
    for at, size in enumerate(map(len, keys)):
        places.setdefault(size, []).append(at)
    found = [0] * len(keys)
    for size, of_size in places.items():
        for at, one in zip(of_size, _of_length(size, [keys[at] for at in of_size]), strict=True):
            found[at] = one
    return found


def _of_length(size: int, keys: Sequence[bytes]) -> list[int]:
    """Return the hash of each key; all have `size` bytes."""
    if size <= _LONGEST:
        return _together(size, keys)
    known = {key: of_client(key) & _32_BITS for key in {*keys}}
    return [known[key] for key in keys]


def _together(size: int, keys: Sequence[bytes]) -> list[int]:
    """Return the hash of each key of `size` bytes; every operation works on all lanes at once."""
    lane = max(_LANE, -(-size // _LANE) * _LANE)
    zeros = bytes(lane - _WORD)
    ones = int.from_bytes((b"\x01\0\0\0" + zeros) * len(keys), "little")
    mask = ones * _32_BITS
    rest = int.from_bytes(bytes(lane - size).join(keys), "little")
    found = ones * (_SEED ^ size)
    for _ in range(size // _WORD):
        word = (rest & mask) * _FACTOR & mask
        found = found * _FACTOR & mask ^ ((word ^ word >> 24) & mask) * _FACTOR & mask
        rest >>= 8 * _WORD
    if size % _WORD:
        found = (found ^ rest & mask) * _FACTOR & mask
    found = ((found ^ found >> 13) & mask) * _FACTOR & mask
    found = (found ^ found >> 15) & mask
    words = struct.unpack(f"<{len(keys) * lane // _LANE}Q", found.to_bytes(len(keys) * lane, "little"))
    return list(words[:: lane // _LANE])
