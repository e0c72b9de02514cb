"""Both stages again, with millions of sightings stored that others wrote in the last thirty days.

The filling lies in a folder that may be kept: it takes far longer than what is measured.
"""

import asyncio
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tests.bench import filling
from tests.bench.ingest.cases import Bench
from tests.bench.ingest.children import Failed
from tests.bench.ingest.rig import Rig, servers
from tests.bench.ingest.throughput import BENCH, UNIT, Found, say
from tests.bench.ingest.watch import Topics
from tests.bench.report import Case, case

READS: Final = 300_000
"""Of each repetition: few beside what is stored on the day that they are written to."""

A_ROW: Final = 570
"""Bytes on disk, with its indexes, about."""

SPARE: Final = 12 * 10**9
"""Bytes that must stay free besides: write-ahead log, topics, what is measured."""


class Stored(msgspec.Struct, frozen=True):
    """What a folder was filled with: rows, and the day (ISO) that was the last of thirty."""

    rows: int
    day: str


class Size(NamedTuple):
    """Of an index: sightings stored beforehand."""

    rows: int

    @property
    def name(self) -> str:
        """The name of its case."""
        return f"growth_{self.rows / 10**6:g}M"


def measure(folder: Path, keep: Path, found: Found, sizes: Sequence[Size], reads: int, repetitions: int) -> list[Case]:
    """Measure sizes of the index: first the one that `keep` holds, then from the smallest on.

    The case of a size has the rate at the smallest size as its yardstick. Raises Failed if the disk is too small.
    """
    left = sorted(set(sizes))
    smallest, *greater = left
    kept = _stored(keep)
    left.sort(key=lambda size: kept is None or size.rows != kept.rows)
    if not fits(keep, max(left)):
        raise Failed(f"{keep} has no room for {max(left).rows:,} sightings: {what_to_do(keep, max(left))}")
    with servers(folder, keep) as rig:
        for size in left:
            filled(rig, keep, size.rows)
            asyncio.run(_at(rig, found, size, reads, repetitions))
    base = found.rates(smallest.name)
    return [case(BENCH, size.name, UNIT, found.rates(size.name), base) for size in greater or left]


def filled(rig: Rig, folder: Path, rows: int) -> None:
    """Fill the index with so many rows, unless it was today."""
    wanted = Stored(rows, f"{datetime.now(UTC):%Y-%m-%d}")
    if _stored(folder) == wanted:
        return
    say(f"filling the index with {rows:,} sightings")
    _note(folder).unlink(missing_ok=True)
    done = asyncio.run(filling.fill(rig.database.superuser_url, rows))
    say(f"  {done.seconds:.0f} s, {done.total_bytes / 2**30:.1f} GiB")
    _note(folder).write_bytes(msgspec.json.encode(wanted))


async def _at(rig: Rig, found: Found, size: Size, reads: int, repetitions: int) -> None:
    async with rig.open(), Topics(rig.bootstrap).open() as looks:
        bench = Bench(rig, looks)
        # Vehicles of their own for each size: what the size before has left would be updated.
        bench.next_vehicles(size.rows % 40_000_000)
        for _ in range(repetitions):
            await bench.fill(reads)
            found.take(await bench.end_to_end(size.name, beside=True))


def fits(folder: Path, size: Size) -> bool:
    """Say whether a folder has room for so many sightings, and for what else is written."""
    return _needed(folder, size) <= _free(folder)


def what_to_do(folder: Path, size: Size) -> str:
    """Say how much room is missing, and what helps."""
    return (
        f"{_needed(folder, size) / 2**30:.0f} GiB are needed and {_free(folder) / 2**30:.0f} GiB are free; "
        "--keep names another folder, --growth fewer millions"
    )


def _needed(folder: Path, size: Size) -> float:
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0
    return size.rows * A_ROW + min(SPARE, size.rows * A_ROW * 10) - there


def _free(folder: Path) -> int:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free


def _note(folder: Path) -> Path:
    return folder / "stored.json"


def _stored(folder: Path) -> Stored | None:
    note = _note(folder)
    return msgspec.json.decode(note.read_bytes(), type=Stored) if note.exists() else None
