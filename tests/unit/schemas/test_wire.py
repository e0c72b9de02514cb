"""The event codec: which version a message is of, however it is written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import wire
from schemas.detections import Detection
from tests.support.detections import detection

MESSAGE = wire.encode(detection(1))
NEXT = wire.VERSIONS[Detection] + 1


def test_a_message_begins_with_its_version() -> None:
    assert MESSAGE.startswith(b'{"v":1,"event_id":')
    assert wire.decode(MESSAGE, Detection) == detection(1)


@pytest.mark.parametrize(
    "later",
    [
        MESSAGE.replace(b'"v":1', b'"v":%d' % NEXT),
        MESSAGE[:-1] + b',"v":%d}' % NEXT,
        MESSAGE[:-1] + b', "v" : %d}' % NEXT,
        MESSAGE[:-1] + b',"\\u0076":%d}' % NEXT,
    ],
)
def test_a_later_version_is_refused_wherever_it_stands(later: bytes) -> None:
    with pytest.raises(wire.Undecodable):
        wire.decode(later, Detection)


@pytest.mark.parametrize(
    "same",
    [
        MESSAGE.replace(b'{"v":1,', b'{ "v": 1, '),
        b"{" + MESSAGE[7:-1] + b',"v":1}',
        MESSAGE[:-1] + b',"new":"a field that nobody knows \\u0076 \\"v\\": 9"}',
        MESSAGE[:-1] + b',"new":"v"}',
    ],
)
def test_the_same_version_is_taken_however_it_is_written(same: bytes) -> None:
    assert wire.decode(same, Detection) == detection(1)


@pytest.mark.parametrize("text", ["\0", "AB\0C", "\\\0", '\\\\\\"\0'])
def test_a_text_with_a_zero_byte_is_refused(text: str) -> None:
    for changes in ({"plate_raw": text}, {"camera_id": text}, {"owner": text}):
        with pytest.raises(wire.Undecodable):
            wire.decode(wire.encode(detection(1, **changes)), Detection)


@pytest.mark.parametrize("text", ["u0000", "\\u0000", "\\\\u0000", "\\u00000", "\u0001"])
def test_a_text_that_only_looks_like_one_with_a_zero_byte_is_taken(text: str) -> None:
    assert wire.decode(wire.encode(detection(1, plate_raw=text)), Detection) == detection(1, plate_raw=text)


@given(st.dictionaries(st.sampled_from(["v", "x", "\\v"]), st.integers(0, 3) | st.just("v"), max_size=3))
def test_any_other_members_are_taken_as_a_reader_without_a_short_cut_takes_them(more: dict[str, int | str]) -> None:
    message = MESSAGE[:-1] + b"," + msgspec.json.encode(more)[1:] if more else MESSAGE
    version = more.get("v", 1)
    if version in (0, 1):
        assert wire.decode(message, Detection) == detection(1)
    else:
        with pytest.raises(wire.Undecodable):
            wire.decode(message, Detection)
