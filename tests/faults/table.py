"""Every fault again and again, and the table of it in docs/faults.md: `make faults`.

A row is written anew after each kind of fault, so that a run which is cut short leaves what it had counted. Fails
if anything was lost, doubled or made up, and if a kind of fault could not be carried out as often as it was to be.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.demo.places import ROOT
from tests.faults.load import World
from tests.faults.rounds import FAULTS, SERVERS, Result, run
from tests.faults.system import running

PAGE: Final = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
FAILED: Final = " (**failed**)"
COLUMNS: Final = (
    "fault", "rounds", "counted of tried", "reads", "in hand, min / median", "lost", "doubled", "harmless duplicates",
    "dead letters", "seed",
)  # fmt: skip


def row(result: Result) -> list[str]:
    """Return a kind of fault's row of the table."""
    met = [held for held in result.held if held > 0]
    found = result.found
    return [
        result.fault + (FAILED if not result.good else ""),
        str(len(result.held)) + (f" of {result.wanted}" if len(result.held) < result.wanted else ""),
        f"{result.counted} of {result.tried}",
        f"{found.reads:,}",
        f"{min(met)} / {statistics.median(met):.0f}" if met else "none",
        str(found.lost.total()),
        str(found.doubled.total()),
        ", ".join(f"{number} {topic}" for topic, number in (+found.duplicates).items()) or "0",
        ", ".join(f"{number} {reason}" for reason, number in (+found.dead_letters).items()) or "0",
        str(result.seed),
    ]


def write(results: Sequence[Result], page: Path, finished: bool) -> None:
    """Write the table between its markers. Raises ValueError if the page has none.

    Rows of other kinds of faults stay as they are, with the line of the run that they are of.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    known, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no markers for the table")
    rows = _known_rows(known) | {one.fault: _line(row(one)) for one in results}
    kept = [rows[name] for name in FAULTS if name in rows]
    runs = [*_known_runs(known, kept, results[0].seed), _says(results, finished)]
    whole = "\n".join([*runs, "", _line(COLUMNS), _line(["---"] * len(COLUMNS)), *kept])
    page.write_text(f"{before}{begin}\n{whole}\n{end}{after}", encoding="utf-8")


def _says(results: Sequence[Result], finished: bool) -> str:
    passes, reads = sum(one.found.passes for one in results), sum(one.found.reads for one in results)
    minutes = sum(one.seconds for one in results) / 60
    when = f"* Seed {results[0].seed}, {datetime.now(UTC):%Y-%m-%d}"
    end = "." if finished else "; **cut short**."
    return f"{when}: {passes:,} passes, {reads:,} reads, {minutes:.0f} minutes{end}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _known_rows(known: str) -> dict[str, str]:
    lines = [line for line in known.splitlines() if line.startswith("| ")]
    return {line[2:].partition(" |")[0].removesuffix(FAILED): line for line in lines}


def _known_runs(known: str, kept: Sequence[str], but: int) -> list[str]:
    """Return the lines of the runs, but one, of which there are still rows."""
    seeds = {line.removesuffix(" |").rpartition("| ")[2] for line in kept} - {str(but)}
    return [line for line in known.splitlines() if line.startswith("* Seed ") and line.split()[2].strip(",") in seeds]


def rounds_of(name: str, asked: argparse.Namespace) -> int:
    """Return how often a fault is injected."""
    if name in SERVERS:
        return int(asked.server_rounds)
    if name == "PostgreSQL unreachable":
        return 1
    return int(asked.rounds) if name.startswith("kill") else int(asked.other_rounds)


async def work(asked: argparse.Namespace) -> list[Result]:
    """Inject everything; return what was counted."""
    results: list[Result] = []
    end_s = time.monotonic() + asked.minutes * 60
    wanted = [name for name in FAULTS if not asked.only or any(word in name for word in asked.only.split(","))]
    with tempfile.TemporaryDirectory(prefix="platetrail-faults-") as folder:
        async with running(Path(folder)) as system:
            world = World(system, random.Random(asked.seed))
            await world.register()
            for number, name in enumerate(wanted):
                left_s = end_s - time.monotonic()
                # A kind that takes long may take the time that others have left over, but not theirs.
                share_s = max(60.0, 2.5 * left_s / (len(wanted) - number))
                results.append(await run(world, {name: rounds_of(name, asked)}, asked.seed, _say, share_s))
                _keep(results, asked.page, finished=number + 1 == len(wanted))
    return results


def _keep(results: Sequence[Result], page: str, *, finished: bool) -> None:
    if page:
        write(results, Path(page), finished)


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)  # noqa: T201


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Break every part again and again, and count.")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the load and of each moment")
    parser.add_argument("--rounds", type=int, default=20, help="kills of each process")
    parser.add_argument("--server-rounds", type=int, default=10, help="kills of each server")
    parser.add_argument("--other-rounds", type=int, default=3, help="of each other fault")
    parser.add_argument("--minutes", type=float, default=28.0, help="after that no further round begins")
    parser.add_argument("--only", default="", help="words, with commas between: faults whose names have one of them")
    parser.add_argument("--page", default=str(PAGE), help="where the table goes; an empty text: nowhere")
    return parser.parse_args(argv)


def main() -> int:
    """Run everything that was asked for; return 1 if anything was not as it should be."""
    asked = arguments()
    logging.disable(logging.CRITICAL)  # the clients of the load say over and over that a broker is gone: it is
    _say(f"seed {asked.seed}")
    results: list[Result] = []
    with contextlib.suppress(KeyboardInterrupt):
        results = asyncio.run(work(asked))
    bad = [one.fault for one in results if not one.good]
    _say("\n".join(["rows", *(_line(row(one)) for one in results)]))
    _say(f"NOT AS IT SHOULD BE: {', '.join(bad)}" if bad else "nothing lost, nothing doubled")
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
