"""The partition of a key is the one that every other client gives it: else reads of one plate are in two."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.adapters.murmur2 import murmur2, partition_of


@given(st.binary(max_size=40), st.integers(1, 200))
@example(b"", 12)
@example(b"ABC", 12)
@example(b"XYC3471", 12)
def test_a_key_has_the_partition_that_the_client_gives_it(key: bytes, partitions: int) -> None:
    numbers = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, numbers, numbers)


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
    assert {key: murmur2(key) for key in said} == {key: number & 0xFFFFFFFF for key, number in said.items()}
