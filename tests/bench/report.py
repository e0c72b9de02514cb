"""What a benchmark prints: a table for people, and one JSON line a case for programs."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec


class Case(msgspec.Struct, kw_only=True):
    """One case of a benchmark. Its value and its yardstick's are medians over `n` repetitions, which took turns.

    `ratio` is the median of value to yardstick, repetition by repetition; `spread` is the largest of these less the
    smallest.
    """

    bench: str
    case: str
    value: float
    unit: str
    yardstick: float
    ratio: float
    n: int
    spread: float


def case(bench: str, name: str, unit: str, values: Sequence[float], yardsticks: Sequence[float]) -> Case:
    """Return a case of what was measured, repetition by repetition."""
    ratios = [value / yardstick for value, yardstick in zip(values, yardsticks, strict=True)]
    return Case(
        bench=bench,
        case=name,
        value=round(statistics.median(values), 1),
        unit=unit,
        yardstick=round(statistics.median(yardsticks), 1),
        ratio=round(statistics.median(ratios), 3),
        n=len(values),
        spread=round(max(ratios) - min(ratios), 3),
    )


def table(cases: Iterable[Case]) -> str:
    """Return cases as a table."""
    head = f"{'case':<20}{'value':>12}{'yardstick':>12}{'ratio':>8}{'spread':>8}{'n':>4}  unit"
    rows = (
        f"{one.case:<20}{one.value:>12,.0f}{one.yardstick:>12,.0f}{one.ratio:>8.2f}{one.spread:>8.2f}{one.n:>4}"
        f"  {one.unit}"
        for one in cases
    )
    return "\n".join((head, *rows))


def lines(cases: Iterable[Case]) -> str:
    """Return cases as JSON lines."""
    return "\n".join(msgspec.json.encode(one).decode() for one in cases)
