"""What a stage tells the traces of a batch: which headers go out with what is made, and what became of each message."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from ingest.ports import Sink, Trace, TracedSink
from schemas.deadletters import DeadLetter

Write = Callable[[Sequence[Any]], Awaitable[None]]

Fate = Literal["written", "dropped", "again", "dead_letter", "refused"]
"""What became of a message. `again`: nothing new was in it; `refused`: another worker has it and does it again."""


def writer(sink: Sink[Any], traced: Mapping[int, Trace], items: Sequence[tuple[int, object]]) -> Write:
    """Return what writes items into a sink. With each item: the place of the message that it is made of.

    All that is made of a message carries its trace, later revisions too, if the sink takes traces.
    """
    headers = {number: traced[at].header for number, (at, _) in enumerate(items) if at in traced} if traced else {}
    if headers and isinstance(sink, TracedSink):
        return lambda items: sink.write_traced(items, headers)
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
