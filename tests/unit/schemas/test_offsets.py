"""What stands beside an offset that a group commits."""

import pytest

from schemas import offsets
from schemas.offsets import Written


@pytest.mark.parametrize(
    "written",
    [
        Written(done=7),
        Written(done=None),
        Written(done=9, whole_after_s=1.5),
        Written(done=0, whole_after_s=None, beginning_gone=True),
    ],
)
def test_what_is_written_is_read(written: Written) -> None:
    assert offsets.decode(3, offsets.encode(written)) == written
    assert offsets.decode(3, offsets.encode(written), by_text=True) == written


@pytest.mark.parametrize("text", ["", "somebody", '{"done":"7"}', "[]"])
def test_an_offset_alone_says_what_was_written_unless_only_a_text_counts(text: str) -> None:
    assert offsets.decode(3, text) == Written(done=3)
    assert offsets.decode(3, text, by_text=True) == Written(done=None), "somebody has moved the group"
    assert offsets.decode(0, text, by_text=True) == Written(done=0), "before the beginning there is nothing"
    assert offsets.done(3, text) == 3


def test_where_nobody_knows_what_was_written_reading_begins_at_the_offset() -> None:
    assert offsets.done(3, offsets.encode(Written(done=None))) == 3
    assert offsets.done(3, offsets.encode(Written(done=5))) == 5
