"""Whatever a store refuses, and wherever it stands: all else is written once, and it alone is named."""

import asyncio
from itertools import groupby
from math import ceil, log2

from hypothesis import example, given
from hypothesis import strategies as st

from ingest import isolating
from ingest.errors import Unwritable
from ingest.failures import TooManyFailures


class Store:
    """Takes whatever it is given, or nothing of it if one of the places is among those that it refuses."""

    def __init__(self, refuses: set[int]) -> None:
        self.refuses = refuses
        self.written: list[int] = []
        self.asked = 0

    async def write(self, start: int, stop: int) -> None:
        self.asked += 1
        if self.refuses.intersection(range(start, stop)):
            raise Unwritable("no")
        self.written.extend(range(start, stop))


sizes = st.integers(0, 200)
places = st.one_of(
    st.sets(st.integers(0, 199), max_size=40),
    st.sets(st.integers(0, 9)),  # dense ones, so that many stand beside one another
    st.tuples(sizes, sizes).map(lambda ends: set(range(*ends))),
)


def longest_row(refused: list[int]) -> int:
    """Return how many of these places, which are in order, stand beside one another at the most."""
    rows = groupby(enumerate(refused), key=lambda one: one[1] - one[0])
    return max((len(list(row)) for _, row in rows), default=0)


@given(size=sizes, refuses=places, most=st.integers(1, 200))
@example(size=1, refuses={0}, most=1)
@example(size=6, refuses={1, 2, 3, 4}, most=3)
@example(size=6, refuses={1, 2, 3, 4}, most=4)
def test_all_but_what_is_refused_is_written_unless_too_many_are_in_a_row(
    size: int, refuses: set[int], most: int
) -> None:
    store = Store(refuses)
    expected = [place for place in range(size) if place in refuses]
    try:
        found = asyncio.run(isolating.refused(store.write, size, most))
    except TooManyFailures:
        assert longest_row(expected) > most
        good = [place for place in range(size) if place not in refuses]
        assert store.written == good[: len(store.written)], "nothing is written behind the one too many"
        return
    assert longest_row(expected) <= most
    assert found == expected
    assert store.written == [place for place in range(size) if place not in refuses]
    assert store.asked <= 1 + 2 * len(expected) * ceil(log2(max(size, 2)))
