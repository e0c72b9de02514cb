"""How fast reads go from Kafka into the index, against bare loops that do the same without what it is for.

`make bench-ingest`. Broker, database, load and workers share this machine and take turns with the yardsticks; figures
of two machines are not to be compared, the ratios are.
"""

import argparse
import asyncio
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.demo.process import ChildError
from tests.bench.ingest import growth, latency, profiling, throughput
from tests.bench.ingest.cases import Bench
from tests.bench.ingest.children import Failed
from tests.bench.ingest.growth import Size
from tests.bench.ingest.rig import POSTGRES, Rig, servers
from tests.bench.ingest.throughput import Found, say
from tests.bench.ingest.watch import Topics
from tests.bench.report import Case, lines, table

CASES: Final = (*throughput.CASES, *latency.CASES)
GROWTH: Final = (Size(10**6), Size(20 * 10**6), Size(100 * 10**6))
QUICK: Final = 2_000
QUICK_S: Final = 1.0


def told(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="make bench-ingest ARGS=…", description=__doc__)
    parser.add_argument("--cases", nargs="*", choices=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--reads", type=positive, default=1_000_000, help="of each repetition (default: a million)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each steady load (default: 30)")
    parser.add_argument("--repetitions", type=positive, default=3)
    parser.add_argument(
        "--growth",
        type=sizes,
        metavar="MILLIONS",
        help="of sightings that are stored beforehand (default, unless --cases are named: 1,20,100, as far as the disk "
        "has room; 100 need 69 GB free, and a quarter of an hour)",
    )
    parser.add_argument("--keep", type=Path, help="a folder for what is stored, which is left there for the next time")
    parser.add_argument(
        "--profile", choices=profiling.STAGES, nargs="+", help="show where these stages' time goes, and measure nothing"
    )
    parser.add_argument("--quick", action="store_true", help="a few reads, once: that it runs, not how fast it is")
    found = parser.parse_args(argv)
    if found.quick:
        found.reads, found.repetitions, found.seconds = QUICK, 1, QUICK_S
    return found


def positive(text: str) -> int:
    """Return a number of at least 1. Raises ValueError."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def sizes(text: str) -> tuple[Size, ...]:
    """Return the millions of a list with commas. Raises ValueError."""
    return tuple(Size(round(float(one) * 10**6)) for one in text.split(","))


def _growing(options: argparse.Namespace, keep: Path) -> tuple[Size, ...]:
    """Return the sizes of the index to measure; of those that nobody named, the ones that the disk has room for."""
    if options.growth is not None or options.cases is not None or options.quick:
        return options.growth or ()
    for size in GROWTH:
        if not growth.fits(keep, size):
            say(f"{size.name} is left out: {growth.what_to_do(keep, size)}")
    return tuple(size for size in GROWTH if growth.fits(keep, size))


async def flow(rig: Rig, options: argparse.Namespace, found: Found) -> list[Case]:
    """Measure what begins with an empty index, and tell of it as it comes."""
    wanted = CASES if options.cases is None else options.cases
    cases: list[Case] = []
    async with rig.open(), Topics(rig.bootstrap).open() as looks:
        bench = Bench(rig, looks)
        if flowing := [name for name in wanted if name in throughput.CASES]:
            await bench.fill(options.reads)
            say(f"{bench.made.reads} reads of {bench.made.passes} passes are in the topic")
            cases += await throughput.measure(bench, found, flowing, options.repetitions)
        if steady := [name for name in wanted if name in latency.CASES]:
            cases += await latency.measure(bench, found, steady, options.repetitions, options.seconds)
    return cases


async def profile(rig: Rig, options: argparse.Namespace) -> None:
    """Show where the time of stages goes."""
    async with rig.open(), Topics(rig.bootstrap).open() as looks:
        bench = Bench(rig, looks)
        await bench.fill(options.reads)
        for stage in options.profile:
            say("\n".join(await profiling.measure(bench, stage)))


def measure(folder: Path, options: argparse.Namespace, found: Found, cases: list[Case]) -> None:
    """Start the servers and measure all that was asked for into `cases`. Raises ChildError and Failed."""
    if options.profile:
        with servers(folder) as rig:
            asyncio.run(profile(rig, options))
        return
    keep = options.keep or folder / "keep"
    growing = _growing(options, keep)
    if options.cases is None or options.cases:
        with servers(folder / "flow") as rig:
            cases += asyncio.run(flow(rig, options, found))
        shutil.rmtree(folder / "flow")
    if growing:
        reads = min(options.reads, growth.READS)
        cases += growth.measure(folder / "growth", keep, found, growing, reads, options.repetitions)


def main() -> None:
    """Measure and print; what was measured before something failed, too."""
    options = told()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new group's coordinator takes a moment to be there
    say("PostgreSQL: " + ", ".join(f"{name} = {value}" for name, value in POSTGRES.items()))
    found, cases = Found(), list[Case]()
    failure = ""
    try:
        with tempfile.TemporaryDirectory(prefix="platetrail-bench-", ignore_cleanup_errors=True) as name:
            measure(Path(name), options, found, cases)
    except (ChildError, Failed) as error:
        failure = str(error)
    if cases:
        say(f"\nthe repetition in the middle:\n{found.summary()}\n{found.yardstick()}{found.by_cpu()}")
        say(f"{table(cases)}\n{lines(cases)}")
    if failure:
        raise SystemExit(failure)


if __name__ == "__main__":
    main()
