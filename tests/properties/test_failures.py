"""Counting failures: however messages are split into batches, it ends after the same one as when each is counted."""

from collections import deque

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.deadletter import of_bytes
from ingest.failures import FAILURES, Failures, TooManyFailures
from tests.support.detections import NOW

MOST_IN_A_ROW, WINDOW = 3, 8
BAD = (of_bytes("enricher", "a place", 1, NOW),)
Made = list[tuple[object, ...] | None]

messages = st.lists(st.lists(st.sampled_from([None, (), (object(),), BAD]), max_size=6), max_size=20)


def plainly(batches: list[Made]) -> int | None:
    """Return the number of the batch that is one too many, by the words of `Failures` alone."""
    row, last = 0, deque[bool](maxlen=WINDOW)
    for number, batch in enumerate(batches):
        for one in batch:
            if one is None:
                continue
            failed = one is BAD
            row = row + 1 if failed else 0
            last.append(failed)
            if row > MOST_IN_A_ROW or sum(last) * 2 > WINDOW:
                return number
    return None


@given(messages)
@example([[BAD, BAD], [(object(),)] * 6, [BAD, BAD, BAD]])
def test_it_ends_after_the_batch_that_is_one_too_many(batches: list[Made]) -> None:
    failures = Failures(MOST_IN_A_ROW, WINDOW, FAILURES)
    ended = None
    for number, batch in enumerate(batches):
        try:
            failures.watch(batch)
        except TooManyFailures:
            ended = number
            break
    assert ended == plainly(batches)
