"""Throughput: every case in turn with its yardsticks, as often as wanted."""

import statistics
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Set
from typing import Final, NamedTuple

from tests.bench.ingest.cases import Bench, Run
from tests.bench.report import Case, case

BENCH: Final = "ingest"
UNIT: Final = "reads/s"


class Compared(NamedTuple):
    """The runs that make a case: one is measured against the other."""

    run: str
    yardstick: str


CASES: Final[Mapping[str, Compared]] = {
    "end_to_end": Compared("end_to_end", "bare_pair"),
    "end_to_end_copy": Compared("end_to_end", "bare_copy"),
    "end_to_end_agent": Compared("end_to_end", "agents"),
    "enricher": Compared("enricher", "bare_decode"),
    "indexer": Compared("indexer", "bare_upsert"),
    "indexer_write": Compared("indexer", "bare_write"),
}

KNOWN: Final = 0.65
"""What is left of a loop that reads and writes nothing when it writes batches to a topic, each acknowledged.

With what an enricher makes of a partition in one batch. In batches of 256 KiB it was 0.55."""

REACHED: Final = 0.9


class Found:
    """All runs so far, by name."""

    def __init__(self) -> None:
        """Begin with none."""
        self.runs: dict[str, list[Run]] = defaultdict(list)

    def take(self, run: Run) -> None:
        """Keep a run, and tell of it."""
        self.runs[run.name].append(run)
        say(str(run))

    def rates(self, name: str) -> list[float]:
        """Return the rates of a run's repetitions."""
        return [run.rate for run in self.runs[name]]

    def cases(self, names: Iterable[str]) -> list[Case]:
        """Return cases of throughput."""
        return [
            case(BENCH, name, UNIT, self.rates(CASES[name].run), self.rates(CASES[name].yardstick)) for name in names
        ]

    def summary(self) -> str:
        """Return, for each run, the medians of what it took."""
        return "\n".join(str(median(runs)) for runs in self.runs.values())

    def by_cpu(self) -> str:
        """Compare cases with their yardsticks by the CPU seconds of all parts: what holds on a busy machine, too."""
        lines = []
        for name, (run, yardstick) in CASES.items():
            if self.runs[run] and self.runs[yardstick]:
                ours, theirs = (median(self.runs[one]).cpu_us for one in (run, yardstick))
                lines.append(f"{name}: {ours:.1f} us of CPU a read, the yardstick {theirs:.1f}: {theirs / ours:.2f}\n")
        return "".join(lines)

    def yardstick(self) -> str:
        """Say whether the yardsticks are as fast as they should be, as far as was measured."""
        if not (self.runs["bare_forward"] and self.runs["bare_decode"]):
            return ""
        ratio = statistics.median(self.rates("bare_forward")) / statistics.median(self.rates("bare_decode"))
        word = "as it should be" if ratio / KNOWN >= REACHED else "too little: look at the yardsticks before the cases"
        return (
            f"bare_forward is {ratio:.2f} of bare_decode, {ratio / KNOWN:.2f} of the {KNOWN} that are known of it: "
            f"{word}\n"
        )


def median(runs: list[Run]) -> Run:
    """Return the run in the middle, by its rate."""
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]


def say(line: str) -> None:
    """Tell it now: a benchmark that is cut short has told what it knew."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def measure(bench: Bench, found: Found, names: Collection[str], repetitions: int) -> list[Case]:
    """Measure cases in turn, each beside its yardsticks."""
    wanted = {run for name in names for run in CASES[name]}
    if wanted & {"bare_copy", "bare_upsert", "bare_write"}:
        bench.keep_rows()
    for number in range(repetitions):
        say(f"repetition {number + 1} of {repetitions}")
        await _once(bench, found, wanted)
    return found.cases(names)


async def _once(bench: Bench, found: Found, wanted: Set[str]) -> None:
    if wanted & {"bare_decode", "bare_pair"}:
        found.take(await bench.decode())
        found.take(await bench.forward())
    if wanted & {"enricher", "indexer"}:
        run, begin = await bench.enricher()
        found.take(run)
    rest: Mapping[str, Callable[[], Awaitable[Run]]] = {
        "bare_upsert": bench.upsert,
        "bare_write": bench.write,
        "indexer": lambda: bench.indexer(begin),
        "bare_copy": bench.copy,
        "bare_pair": bench.pair,
        "end_to_end": bench.end_to_end,
        "agents": bench.agents,
    }
    for name, run_it in rest.items():
        if name in wanted:
            found.take(await run_it())
