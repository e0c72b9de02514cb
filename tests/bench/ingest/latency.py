"""From the acknowledgement of a detection to the moment at which a search can find it, under a steady load."""

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.bench.ingest.cases import Bench
from tests.bench.ingest.steady import Seen, Steady
from tests.bench.ingest.throughput import BENCH, Found, say
from tests.bench.report import Case, case

RATES: Final = (2000, 5000)
WARM_S: Final = 5.0
AIM_MS: Final = 500.0
"""What the yardstick of these cases is: nothing that was measured, but what p99 should stay under."""

CASES: Final = tuple(f"latency_{rate}_{part}_ms" for rate in RATES for part in ("p50", "p99"))


class Percentiles(NamedTuple):
    """In milliseconds."""

    p50: float
    p99: float
    longest: float


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Return what lies in the middle, what one in a hundred exceeds, and the longest."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return Percentiles(cuts[49] * 1000, cuts[98] * 1000, max(seconds) * 1000)


async def measure(bench: Bench, found: Found, names: Sequence[str], repetitions: int, measure_s: float) -> list[Case]:
    """Measure the rates whose cases are wanted, in turn."""
    rates = [rate for rate in RATES if any(name.startswith(f"latency_{rate}_") for name in names)]
    of_rate: dict[int, list[Percentiles]] = {rate: [] for rate in rates}
    for number in range(repetitions):
        for rate in rates:
            what = Steady(
                bootstrap=bench.rig.bootstrap,
                url=bench.rig.database.superuser_url,
                rate=rate,
                warm_s=min(WARM_S, measure_s),
                measure_s=measure_s,
                first=bench.next_vehicles(int(rate * (measure_s + WARM_S))),
            )
            run, seen = await bench.steady(f"steady_{rate}", what)
            found.take(run)
            of_rate[rate].append(_told(rate, number, seen))
    made = []
    for name in names:
        _, rate_text, part, _ = name.split("_")
        values = [getattr(one, part) for one in of_rate[int(rate_text)]]
        made.append(case(BENCH, name, "ms", values, [AIM_MS] * len(values)))
    return made


def _told(rate: int, number: int, seen: Seen) -> Percentiles:
    accepted, due = percentiles(seen.since_accepted), percentiles(seen.since_due)
    say(
        f"  {rate}/s ({seen.published / seen.seconds:,.0f}/s published), repetition {number + 1}, "
        f"{len(seen.since_accepted)} looked for: "
        f"accepted to seen p50 {accepted.p50:.0f}, p99 {accepted.p99:.0f}, longest {accepted.longest:.0f} ms; "
        f"due to seen p50 {due.p50:.0f}, p99 {due.p99:.0f}, longest {due.longest:.0f} ms"
    )
    return accepted
