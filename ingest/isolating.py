"""What a store refuses for its values, found by halving what was to be written. Pure but for the write it is given."""

from collections.abc import Awaitable, Callable

from ingest.errors import Unwritable
from ingest.failures import TooManyFailures

Write = Callable[[int, int], Awaitable[None]]
"""Writes the items from one place up to another. Raises Unwritable if their values are refused: none of them counts."""


async def refused(write: Write, size: int, most_in_a_row: int) -> list[int]:
    """Write `size` items, all but those that are refused alone; return the places of these.

    Raises TooManyFailures after more than `most_in_a_row` of them, one beside the other: the fault is likely ours then.
    Raises what `write` does besides Unwritable.
    """
    alone: list[int] = []
    in_a_row = 0
    waiting = [(0, size)] if size else []
    while waiting:
        start, stop = waiting.pop()
        try:
            await write(start, stop)
        except Unwritable:
            if stop - start > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                continue
            alone.append(start)
            in_a_row += 1
            if in_a_row > most_in_a_row:
                raise TooManyFailures(f"more than {most_in_a_row} messages in a row could not be written") from None
        else:
            in_a_row = 0
    return alone
