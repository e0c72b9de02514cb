"""gzip bodies: what one is, and what one that is hostile costs."""

import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.payload import NotUsable
from ingest.inflate import MAX_MEMBERS, STEP_BYTES, Inflater


def unpacked(data: bytes, chunk: int = 65536) -> bytes:
    inflater = Inflater()
    pieces = [piece for at in range(0, len(data), chunk) for piece in inflater.feed(data[at : at + chunk])]
    inflater.end()
    assert all(0 < len(piece) <= STEP_BYTES for piece in pieces)
    return b"".join(pieces)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 40))
def test_members_in_any_chunks_are_one_body(parts: list[bytes], chunk: int) -> None:
    assert unpacked(b"".join(map(gzip.compress, parts)), chunk) == b"".join(parts)


@pytest.mark.parametrize("chunk", [1000, 10**9])
@pytest.mark.parametrize("data", [os.urandom(200_000), b"a" * 1_000_000, b"ab" * STEP_BYTES])
def test_what_is_longer_than_a_step_comes_whole(data: bytes, chunk: int) -> None:
    assert unpacked(gzip.compress(data), chunk) == data


GOOD = gzip.compress(b'{"plate": "GZP0042"}')


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"plate": "GZP0042"}', id="not packed at all"),
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(GOOD[:12], id="cut short in the data"),
        pytest.param(GOOD + b"GZP0042", id="something after the end"),
        pytest.param(GOOD + b"\0" * 8, id="padding after the end"),
        pytest.param(GOOD + GOOD[:10], id="second member cut short"),
        pytest.param(GOOD[:-8] + b"\0\0\0\0" + GOOD[-4:], id="wrong checksum"),
        pytest.param(gzip.compress(b"") * (MAX_MEMBERS + 1), id="too many members"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 10**9])
def test_what_is_no_whole_gzip_file_is_not_usable(data: bytes, chunk: int) -> None:
    with pytest.raises(NotUsable) as fault:
        unpacked(data, chunk)
    assert fault.value.reason == "not_gzip"


def test_of_a_bomb_no_more_is_unpacked_than_is_asked_for() -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    pieces = Inflater().feed(bomb)
    assert sum(len(next(pieces)) for _ in range(10)) == 10 * STEP_BYTES
