"""What a stage tells the traces of a batch: which headers go out with what is made, and what became of each message."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from ingest.made import Made
from ingest.ports import Sink, Trace, TracedSink

Write = Callable[[Sequence[Any]], Awaitable[None]]

Fate = Literal["written", "dropped", "again", "dead_letter", "refused"]
"""What became of a message. `again`: nothing new was in it; `refused`: another worker has it and does it again."""


def headers(traced: Mapping[int, Trace], places: Iterable[int]) -> dict[int, bytes]:
    """Return the traces that go out with items, by number. `places`: of the message that each item is made of.

    All that is made of a message carries its trace, later revisions too.
    """
    return {number: traced[at].header for number, at in enumerate(places) if at in traced} if traced else {}


def writer(sink: Sink[Any], traced: Mapping[int, Trace], places: Sequence[int]) -> Write:
    """Return what writes items into a sink: with traces if the sink takes them. `places` as in `headers`."""
    going = headers(traced, places)
    if going and isinstance(sink, TracedSink):
        return lambda items: sink.write_traced(items, going)
    return sink.write


def end(traced: Mapping[int, Trace], made: Made[Any], *, committed: bool) -> None:
    """End each trace, with what became of its messages."""
    if not traced:
        return
    written, letters = set(made.places), set(made.letter_places)
    fates: defaultdict[Trace, Counter[str]] = defaultdict(Counter)
    for at, trace in traced.items():
        fate: Fate = "refused"
        if committed:
            fate = _fate(made, at, written, letters)
        fates[trace][fate] += 1
    for trace, counted in fates.items():
        trace.end(counted)


def _fate(made: Made[Any], at: int, written: Container[int], letters: Container[int]) -> Fate:
    if at in made.again:
        return "again"
    if at in letters:
        return "dead_letter"
    if at in made.dropped:
        return "dropped"
    return "written" if at in written else "again"
