"""A database that is there and does not serve: it does not answer, or its disk is full."""

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from tests.faults.system import Place, System, freeze_postgres, met_in_hand, resume
from tests.support.wait import until_async

SPARE_BYTES: Final = 48 * 1024 * 1024
"""What the small disk holds beyond the day that is moved to it, before it is filled."""

COMMITTED_S: Final = 0.5
"""When the database goes, a commit may be on its way whose write had ended: it has come if none comes for so long."""
STANDS_S: Final = 10.0

REFUSE: Final = """
create or replace function public.refuse() returns trigger language plpgsql as
$$ begin raise exception 'no space left' using errcode = '53100'; end $$
"""


async def unreachable(system: System, rng: Random) -> int:
    """Stop all of PostgreSQL's processes for `system.unreachable_s`; return what the indexer had in hand.

    Whoever is connected gets no answer, and whoever connects gets none either. Nothing is committed meanwhile.
    """
    held, frozen = await met_in_hand(system, ["indexer"], rng, lambda: freeze_postgres(system), resume)
    try:
        await nothing_is_committed(system, system.unreachable_s)
        held = min(held, await system.in_hand("indexer"))
    finally:
        resume(frozen)
    return held


async def nothing_is_committed(system: System, seconds: float) -> None:
    """See that the indexer's offsets come to a stand, and stay where they are then. Raises AssertionError."""
    before: dict[Place, int] = {}

    async def stands() -> bool:
        nonlocal before
        known, before = before, await system.committed("indexer")
        await asyncio.sleep(COMMITTED_S)
        return known == before

    await until_async(stands, "no commit is on its way any more", STANDS_S)
    await asyncio.sleep(seconds)
    assert await system.committed("indexer") == before, "the indexer commits what it cannot have written"


async def disk_full(system: System, rng: Random) -> int:
    """Let the disk on which today's rows are have no room, and after a while room again.

    Returns what the indexer had in hand while it waited. Raises AssertionError if it neither waits nor goes on.
    """
    indexer = system.processes["indexer"]
    async with small_disk(system) as fill:
        indexer.listen()
        waited = indexer.said["waiting"]
        empty = await asyncio.to_thread(fill)

        async def waits() -> bool:
            indexer.listen()
            return indexer.said["waiting"] > waited

        try:
            await until_async(waits, "the indexer waits for room", 90)
            held = await system.in_hand("indexer")
            await nothing_is_committed(system, rng.uniform(1.0, 3.0))
        finally:
            await asyncio.to_thread(empty)
        went_on = indexer.said["back"]

        async def goes_on() -> bool:
            indexer.listen()
            return indexer.said["back"] > went_on

        await until_async(goes_on, "the indexer goes on, now that there is room", 90)
    return held


Fill = Callable[[], Callable[[], None]]
"""Takes the room away; returns what gives it back."""


@asynccontextmanager
async def small_disk(system: System) -> AsyncIterator[Fill]:
    """Move today's rows to a small disk of their own, and back.

    Three ways, the first that the machine allows: a tmpfs, and an ext4 in a file (both need root); else a trigger that
    refuses every row with the SQLSTATE of a full disk.
    """
    folder = system.folder / "small"
    folder.mkdir(exist_ok=True)
    [row] = await system.ask("select pg_database_size(current_database()) as bytes")
    way = _mounted(folder, int(row["bytes"]) + SPARE_BYTES)
    if not way:
        yield _refusing(system)
        return
    system.notes.add(f"disk full: {way}")
    own = folder / "space"
    own.mkdir()
    with contextlib.suppress(PermissionError):
        os.chown(own, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        await _execute(system, f"create tablespace small location '{own}'")
        await _move_today(system, "small")
        try:
            yield lambda: _filled(folder)
        finally:
            await _move_today(system, "pg_default")
            await _execute(system, "drop tablespace small")
    finally:
        await asyncio.to_thread(_does, ["umount", "--lazy", str(folder)])


def _mounted(folder: Path, size: int) -> str:
    """Mount something small; return what, or nothing if the machine does not allow it."""
    tmpfs = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if _does(tmpfs):
        return "tmpfs"
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size)
    made = shutil.which("mkfs.ext4") is not None and _does(["mkfs.ext4", "-q", "-m0", str(image)])
    return "ext4 in a file" if made and _does(["mount", "-o", "loop", str(image), str(folder)]) else ""


def _does(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _filled(folder: Path) -> Callable[[], None]:
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass
    return filler.unlink


def _refusing(system: System) -> Fill:
    system.notes.add("disk full: a trigger that refuses rows as a full disk does")
    url = system.database.superuser_url

    def fill() -> Callable[[], None]:
        _psql(system, url, REFUSE, "create trigger refuse before insert on reads.sighting for each row"
              " execute function public.refuse()")  # fmt: skip
        return lambda: _psql(system, url, "drop trigger refuse on reads.sighting")

    return fill


def _psql(system: System, url: str, *statements: str) -> None:
    arguments = [part for statement in statements for part in ("--command", statement)]
    command = [str(system.postgres.bindir / "psql"), "--no-psqlrc", "--quiet", *arguments, url]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


async def _move_today(system: System, space: str) -> None:
    table = f"sighting_{datetime.now(UTC):%Y%m%d}"
    await _execute(system, f"alter table reads.{table} set tablespace {space}")
    for row in await system.ask(
        "select indexname from pg_indexes where schemaname = 'reads' and tablename = $1", table
    ):
        await _execute(system, f'alter index reads."{row["indexname"]}" set tablespace {space}')


async def _execute(system: System, statement: str) -> None:
    await system.ask(statement)
