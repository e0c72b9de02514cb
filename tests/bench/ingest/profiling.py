"""Where a stage's time goes: the stage as its process runs it, under cProfile.

Run as `python -m tests.bench.ingest.profiling`, which is told a Profile (`children`), and to stop by a further line; it
answers with lines of text. A profiled function costs more the smaller it is: shares are a hint, rates say nothing.
"""

import asyncio
import cProfile
import importlib
import pstats
import sys
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from schemas import topics
from services.demo.places import ROOT
from services.observe import configure_logging
from services.settings import Settings
from tests.bench.ingest.cases import Bench
from tests.bench.ingest.children import Bare, Gate, run
from tests.bench.ingest.watch import ENRICHER, INDEXER, begin_at

LINES: Final = 25
WAITING: Final = ("poll", "select")
STAGES: Final = ("enricher", "indexer")


class Profile(msgspec.Struct, kw_only=True):
    """Which stage, on which servers, over how many reads."""

    stage: Literal["enricher", "indexer"]
    bootstrap: str
    url: str
    reads: int


async def work(what: Profile, gate: Gate) -> list[str]:
    """Run the stage until a line comes."""
    module: Any = importlib.import_module(f"services.{what.stage}")
    settings = Settings(kafka_bootstrap=what.bootstrap, database_url=what.url, log_level="warning")
    configure_logging(what.stage, settings)  # to standard error: the answer has the other
    stop = asyncio.Event()
    await gate.opens()
    profile = cProfile.Profile()
    profile.enable()
    running = asyncio.create_task(module.work(settings, stop))
    stopped = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    profile.disable()
    return told(profile, what.reads)


def told(profile: cProfile.Profile, reads: int) -> list[str]:
    """Return the functions with the most time of their own, in microseconds a read."""
    stats: Any = pstats.Stats(profile)
    rows = [
        (own, total, calls, _place(*function))
        for function, (_, calls, own, total, _) in stats.stats.items()
        if not any(word in function[2] for word in WAITING)
    ]
    whole = sum(own for own, *_ in rows)
    rows.sort(reverse=True)
    return [
        f"  {'own us':>8}{'share':>7}{'with callees':>14}{'calls a read':>14}  function",
        *(
            f"  {own / reads * 1e6:>8.2f}{own / whole:>7.1%}{total / reads * 1e6:>14.2f}{calls / reads:>14.2f}  {place}"
            for own, total, calls, place in rows[:LINES]
        ),
        f"  {whole / reads * 1e6:>8.2f}{1:>7.0%}{'':>28}  all, without waiting",
    ]


def _place(file: str, line: int, name: str) -> str:
    path = Path(file)
    if path.is_relative_to(ROOT) and ".venv" not in path.parts:
        return f"{path.relative_to(ROOT)}:{line} {name}"
    return f"{'/'.join(path.parts[-2:])}:{line} {name}" if line else name


async def measure(bench: Bench, stage: str) -> list[str]:
    """Profile a stage over the load that lies there; the indexer's sightings are made first."""
    if stage == "indexer":
        _, begin = await bench.enricher()
        await begin_at(bench.rig.bootstrap, INDEXER, begin)
        await bench.rig.empty()
    else:
        await begin_at(bench.rig.bootstrap, ENRICHER, bench.begin)
    what = Profile(
        stage="indexer" if stage == "indexer" else "enricher",
        bootstrap=bench.rig.bootstrap,
        url=bench.rig.database.url("platetrail_ingest"),
        reads=bench.made.reads,
    )
    group, topic = (INDEXER, topics.SIGHTINGS) if stage == "indexer" else (ENRICHER, topics.DETECTIONS)
    async with Bare.start("profiling", what) as bare:
        answer = asyncio.create_task(bare.answer())
        await bench.looks.until_done(group, ())
        await bare.stop()
        lines: list[str] = msgspec.json.decode(await answer)
    return [f"{stage}, of what it reads from {topic}:", *lines]


if __name__ == "__main__":
    run(Profile, work)
