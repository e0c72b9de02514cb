"""How fast reads go from Kafka into the index, against bare loops that do the same without what it is for.

`make bench-ingest`. Broker, database, load and workers share this machine and take turns with the yardsticks; figures
of two machines are not to be compared, the ratios are.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import Final

from services.demo.process import ChildError
from tests.bench.ingest import throughput
from tests.bench.ingest.cases import Bench
from tests.bench.ingest.children import Failed
from tests.bench.ingest.rig import POSTGRES, Rig, servers
from tests.bench.ingest.throughput import Found, say
from tests.bench.ingest.watch import Topics
from tests.bench.report import Case, lines, table

CASES: Final = tuple(throughput.CASES)
QUICK: Final = 2_000


def told(argv: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="make bench-ingest ARGS=…", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--reads", type=int, default=1_000_000, help="of each repetition (default: a million)")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few reads, once: that it runs, not how fast it is")
    found = parser.parse_args(argv)
    if found.quick:
        found.reads, found.repetitions = QUICK, 1
    return found


async def measure(rig: Rig, options: argparse.Namespace) -> list[Case]:
    """Measure what was asked for, and tell of it as it comes."""
    found = Found()
    async with rig.open(), Topics(rig.bootstrap).open() as looks:
        bench = Bench(rig, looks)
        await bench.fill(options.reads)
        say(f"{bench.made.reads} reads of {bench.made.passes} passes are in the topic")
        cases = await throughput.measure(bench, found, options.cases, options.repetitions)
    say(f"\nthe repetition in the middle:\n{found.summary()}\n{found.yardstick()}")
    return cases


def main() -> None:
    """Start the servers, measure, print."""
    options = told()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new group's coordinator takes a moment to be there
    say("PostgreSQL: " + ", ".join(f"{name} = {value}" for name, value in POSTGRES.items()))
    try:
        with tempfile.TemporaryDirectory(prefix="platetrail-bench-") as name, servers(Path(name)) as rig:
            cases = asyncio.run(measure(rig, options))
    except (ChildError, Failed) as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{table(cases)}\n{lines(cases)}\n")


if __name__ == "__main__":
    main()
