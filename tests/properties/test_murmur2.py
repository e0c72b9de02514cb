"""The partition of a key is the one that every other client gives it: else reads of one plate are in two."""

from unittest.mock import Mock

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as of_client
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.adapters.murmur2 import murmur2, partitions_of


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 200))
@example([b"", b"ABC", b"XYC3471", b"", b"XYC3472"], 12)
@example([b"\xff" * size for size in range(40)], 12)
@example([b"\xff" * 8] * 3, 12)
@example([b"\xff" * size for size in range(120, 140)] * 2, 12)
def test_keys_have_the_partitions_that_the_client_gives_them(keys: list[bytes], partitions: int) -> None:
    numbers = list(range(partitions))
    assert partitions_of(keys, partitions) == [DefaultPartitioner()(key, numbers, numbers) for key in keys]


@given(st.integers(0, 20).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1)))
def test_keys_of_one_length_do_not_mix(keys: list[bytes]) -> None:
    assert murmur2(keys) == [of_client(key) & 0xFFFFFFFF for key in keys]


def test_long_keys_are_hashed_once_each_and_not_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they would take the square of their length: 33 s for ten keys of 90 kB."""
    one, other = b"camera" * 20_000, b"kamera" * 20_000
    asked = Mock(side_effect=of_client)
    monkeypatch.setattr("ingest.adapters.murmur2.of_client", asked)
    numbers = {key: of_client(key) & 0xFFFFFFFF for key in (one, other)}
    assert murmur2([one, other, one] * 100) == [numbers[one], numbers[other], numbers[one]] * 100
    assert asked.call_count == 2


def test_the_hash_is_that_of_kafkas_own_tests() -> None:
    """`UtilsTest.testMurmur2` of Apache Kafka, whose numbers are signed."""
    said = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert murmur2(list(said)) == [number & 0xFFFFFFFF for number in said.values()]
