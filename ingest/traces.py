"""What a stage tells the traces of a batch: which headers go out with what is made, and what became of each message."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from ingest.ports import Sink, Trace, TracedSink
from schemas.deadletters import DeadLetter

Write = Callable[[Sequence[Any]], Awaitable[None]]

Fate = Literal["written", "dropped", "again", "dead_letter", "refused"]
"""What became of a message. `again`: nothing new was in it; `refused`: another worker has it and does it again."""


def headers(traced: Mapping[int, Trace], places: Iterable[int]) -> dict[int, bytes]:
    """Return the traces that go out with items, by number. `places`: of the message that each item is made of.

    All that is made of a message carries its trace, later revisions too.
    """
    return {number: traced[at].header for number, at in enumerate(places) if at in traced} if traced else {}


def writer(sink: Sink[Any], traced: Mapping[int, Trace], items: Sequence[tuple[int, object]]) -> Write:
    """Return what writes items, each with the place of its message, into a sink: with traces if the sink takes them."""
    going = headers(traced, (at for at, _ in items))
    if going and isinstance(sink, TracedSink):
        return lambda items: sink.write_traced(items, going)
    return sink.write


def end(
    traced: Mapping[int, Trace],
    outcomes: Sequence[object],
    made: Sequence[Sequence[object] | None],
    *,
    committed: bool,
) -> None:
    """End each trace, with what became of its messages."""
    fates: defaultdict[Trace, Counter[str]] = defaultdict(Counter)
    for at, trace in traced.items():
        fates[trace][_fate(outcomes[at], made[at]) if committed else "refused"] += 1
    for trace, counted in fates.items():
        trace.end(counted)


def _fate(outcome: object, made: Sequence[object] | None) -> Fate:
    if made is None:
        return "again"
    if any(isinstance(one, DeadLetter) for one in made):
        return "dead_letter"
    if outcome is None:
        return "dropped"
    return "written" if made else "again"
