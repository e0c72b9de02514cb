"""Processes and servers killed with -9 at a moment at which they had something in hand."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Final

from services.demo.process import ChildError
from tests.faults.counting import in_hand_after, look
from tests.faults.load import Load
from tests.faults.outages import nothing_is_committed
from tests.faults.system import (
    GROUPS,
    OWNER,
    TRIES_S,
    Place,
    Running,
    System,
    freeze,
    freeze_postgres,
    met,
    met_in_hand,
    own_word,
    resume,
    thaw,
)
from tests.support import reads, rows
from tests.support.wait import until_async

LONG_GONE: Final = timedelta(days=400)
DUE_DAYS: Final = 20
COMMITS_S: Final = 180.0


async def process(system: System, load: Load, name: str, rng: Random) -> int:
    """Kill a process and start it again; return what it had in hand: 0 is a kill that does not count."""
    if name == "maintain":
        return await _maintain(system, rng)
    load.stressed = name
    try:
        kill = _counting if name == "counting" else _killed_with_something_in_hand
        held = await kill(system, load, name, rng)
        await system.start(name)
    finally:
        load.stressed = ""
    return held


async def _killed_with_something_in_hand(system: System, load: Load, name: str, rng: Random) -> int:
    """Freeze the process first: what it has fetched is its own word (its log), what is committed is the broker's."""
    one = system.processes[name]
    pid = one.worker.pid
    hold = partial(in_hand, system, load, name)
    said = await own_word(system, [name]) if name in GROUPS else None
    held, _ = await met(rng, lambda: freeze(pid), hold, lambda _: thaw(pid), said)
    one.expected = True
    await asyncio.to_thread(one.worker.kill)
    assert one.worker.returncode == -signal.SIGKILL
    # Once more: a commit or an answer may have been on its way when it froze.
    return min(held, await hold()) if name in GROUPS else held


async def _counting(system: System, load: Load, name: str, rng: Random) -> int:
    """Kill what counts letters; return how many it had shown at /metrics whose offsets were not committed."""
    one = system.processes[name]
    await _until_it_commits(system, name)  # else there is nothing that it might have committed too early
    end_s = time.monotonic() + TRIES_S
    await asyncio.sleep(rng.uniform(0.05, 1.2))
    while True:
        seen = await look(system)
        load.looks.append(seen)
        freeze(one.worker.pid)
        held = await in_hand_after(system, seen)
        if held > 0 or time.monotonic() > end_s:
            break
        thaw(one.worker.pid)
        await asyncio.sleep(rng.uniform(0.05, 0.6))
    one.expected = True
    await asyncio.to_thread(one.worker.kill)
    assert one.worker.returncode == -signal.SIGKILL
    # Once more: a commit may have been on its way when it froze, of letters that nobody saw counted.
    seen.held = await in_hand_after(system, seen)
    return min(held, seen.held)


async def _until_it_commits(system: System, name: str) -> None:
    before: dict[Place, int] | None = None

    async def commits() -> bool:
        nonlocal before
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):  # KafkaError is a RuntimeError
            now = await system.committed(name)
            before = now if before is None else before
            return now != before
        return False

    await until_async(commits, f"{name} commits", COMMITS_S)


async def in_hand(system: System, load: Load, name: str) -> int:
    """Return what a frozen process has begun and not finished.

    Records fetched and not committed; reads or letters of requests without an answer; changes that wait in the outbox.
    """
    if name in load.waiting:
        await asyncio.sleep(0.05)  # what it had answered gets here
        return load.waiting[name]
    if name == "relay":
        [row] = await system.ask("select count(*) from registry.outbox")
        return int(row["count"])
    return await system.in_hand(name)


async def _maintain(system: System, rng: Random) -> int:
    """Kill the maintain service in its round, with days that are due to be dropped; a further round drops them.

    Raises AssertionError if a day is left, or was dropped with no entry in the audit log, or with two.
    """
    held = 0
    for _ in range(10):
        await system.stop("maintain")
        due = await _due_days(system)
        starting = asyncio.create_task(system.start("maintain"))
        held = await _killed_in_its_round(system, starting, rng)
        await system.start("maintain")
        await _dropped_once(system, due)
        if held:
            break
    return held


async def _killed_in_its_round(system: System, starting: "asyncio.Task[Running]", rng: Random) -> int:
    """Return how many days it had yet to drop."""

    async def begun() -> bool:  # or over already: a round takes a tenth of a second, and can be missed
        asked = "select from pg_stat_activity where application_name = 'platetrail-maintain'"
        return starting.done() or bool(await system.ask(asked))

    await until_async(begun, "maintain is in its round", 60)
    await asyncio.sleep(rng.uniform(0, 0.15))
    one = system.processes["maintain"]
    one.expected = True
    await asyncio.to_thread(one.worker.kill)
    with contextlib.suppress(ChildError):
        await starting
    return len(await _days_left(system))


async def _due_days(system: System) -> list[str]:
    """Put reads into days that are long past their time, and that no round before had; return the days."""
    last = datetime.now(UTC).replace(hour=12) - LONG_GONE - timedelta(days=system.days_used)
    days = [last - timedelta(days=number) for number in range(DUE_DAYS)]
    system.days_used += DUE_DAYS
    planted = [rows.row(captured_at=day, owner=OWNER, camera_id="faults-gone") for day in days]
    await reads.put(system.database, planted)
    return [day.date().isoformat() for day in days]


async def _days_left(system: System) -> list[str]:
    limit = datetime.now(UTC).date() - timedelta(days=300)
    return [str(row["day"]) for row in await system.ask("select day from reads.days() as day where day < $1", limit)]


async def _dropped_once(system: System, due: list[str]) -> None:
    assert await _days_left(system) == [], "a day that was due is still there"
    found = await system.ask("select convert_from(leaf, 'utf8') as leaf from audit.leaf where kind = 'purge'")
    for day in due:
        entries = sum(f'"day":"{day}"' in row["leaf"].replace(" ", "") for row in found)
        assert entries == 1, f"{entries} entries of the audit log say that {day} was dropped"


async def kafka(system: System, rng: Random, names: Sequence[str] = ("enricher", "indexer")) -> int:
    """Kill the broker and start it again; return how many records enricher and indexer had in hand."""
    pid = system.kafka.pid
    held, _ = await met_in_hand(system, names, rng, lambda: freeze(pid), lambda _: thaw(pid), broker=False)
    await asyncio.to_thread(system.kafka.kill)
    system.broker_kills += 1
    await asyncio.sleep(rng.uniform(0.2, 1.5))
    await asyncio.to_thread(system.kafka.restart)
    return held


async def kafka_with_letters(system: System, load: Load, rng: Random) -> int:
    """Kill the broker while the enricher, which commits again since the last time, has something in hand."""
    load.stressed = "counting"  # so that letters are counted
    try:
        await _until_it_commits(system, "enricher")
        held = await kafka(system, rng, ("enricher",))
    finally:
        load.stressed = ""
    return held


async def postgres(system: System, rng: Random) -> int:
    """Kill PostgreSQL and start it again; return how many records the indexer had in hand.

    Raises AssertionError if the indexer commits offsets while there is none.
    """
    held, _ = await met_in_hand(system, ["indexer"], rng, lambda: freeze_postgres(system), resume)
    await asyncio.to_thread(system.postgres.kill)
    await nothing_is_committed(system, rng.uniform(0.2, 1.0))
    held = min(held, await system.in_hand("indexer"))
    await asyncio.to_thread(system.postgres.restart)
    return held
