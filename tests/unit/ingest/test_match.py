"""Reads that may not be kept: compared with the wanted plates, counted, and let go."""

from datetime import timedelta

import pytest

from ingest.match import NOBODY, Outcome, Tally, match
from tests.support.detections import NOW, detection

JUST_IN = NOW - timedelta(seconds=2)


def test_as_long_as_nobody_is_wanted_every_read_is_discarded() -> None:
    batch = [detection(number, received_at=JUST_IN) for number in range(3)]
    assert match(NOBODY, NOW, batch) == ["discarded"] * 3


@pytest.mark.parametrize(
    ("plate_raw", "expected"),
    [("xq7-o41", "matched"), ("XQ7 O41", "matched"), ("XQ7042", "discarded"), (None, "discarded"), ("--", "discarded")],
)
def test_plates_are_compared_in_normal_form(plate_raw: str | None, expected: Outcome) -> None:
    wanted = frozenset({"XQ7O41"})
    assert match(wanted, NOW, [detection(plate_raw=plate_raw, received_at=JUST_IN)]) == [expected]


def test_a_read_past_its_time_is_not_looked_at() -> None:
    class Watched:
        def __contains__(self, plate: object) -> bool:
            raise AssertionError("it was looked up")

    edge = NOW - timedelta(seconds=60)
    late = detection(received_at=edge - timedelta(microseconds=1))
    assert match(Watched(), NOW, [late]) == ["late"]
    assert match(NOBODY, NOW, [detection(received_at=edge)]) == ["discarded"]


def test_lost_is_what_nobody_looked_at() -> None:
    tally = Tally()
    for outcome in ("matched", "discarded", "discarded", "late", "unusable"):
        tally.add(outcome)
    tally.add("expired", 7)
    assert (tally.seen, tally.lost) == (5, 8)
