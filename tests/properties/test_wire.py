"""A message that begins as ours do is read in one go, and every other in two: with the same result."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import wire
from schemas.detections import Detection
from tests.support.detections import detection


class Envelope(msgspec.Struct):
    v: int


ENVELOPE = msgspec.json.Decoder(Envelope)
DETECTION = msgspec.json.Decoder(Detection)
WRITTEN = wire.encode(detection(1, lane=2))


def slow(data: bytes) -> Detection | str:
    """Look for the version first, wherever it stands."""
    try:
        if ENVELOPE.decode(data).v > wire.VERSIONS[Detection]:
            return "written by a later version"
        return DETECTION.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not a Detection"


def fast(data: bytes) -> Detection | str:
    try:
        return wire.decode(data, Detection)
    except wire.Undecodable as error:
        return str(error).partition(":")[0]


heads = st.sampled_from(
    [b'{"v":1,', b'{"v":2,', b'{"v":0,', b'{"v":"1",', b'{"v":1.0,', b'{ "v":1,', b'{"v":10,', b"{", b""]
)
tails = st.one_of(
    st.just(WRITTEN[7:]),
    st.integers(0, len(WRITTEN)).map(lambda end: WRITTEN[7:end]),
    st.tuples(st.integers(7, len(WRITTEN) - 1), st.binary(max_size=3)).map(
        lambda cut: WRITTEN[7 : cut[0]] + cut[1] + WRITTEN[cut[0] + 1 :]
    ),
    st.sampled_from([b"}", b'"event_id":1}', WRITTEN[7:] + b"}", WRITTEN[7:-1] + b',"more":' + b"[" * 5000]),
    st.binary(max_size=20),
)


@settings(max_examples=2000, deadline=None)
@given(head=heads, tail=tails)
def test_both_ways_say_the_same(head: bytes, tail: bytes) -> None:
    assert fast(head + tail) == slow(head + tail)


def test_a_text_that_is_no_utf_8_is_undecodable_and_nothing_worse() -> None:
    assert fast(WRITTEN.replace(b"cam-1", b"cam-\xff")) == "not a Detection"


def test_the_ways_are_worth_comparing() -> None:
    assert isinstance(fast(WRITTEN), Detection)
    assert fast(b'{"v":2,' + WRITTEN[7:]) == "written by a later version"
