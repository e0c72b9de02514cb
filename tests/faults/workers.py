"""Workers that come and go, that stand still for longer than their session, and whose clock jumps."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from schemas import topics
from tests.faults.system import READS_OF, SESSION_S, Running, System, freeze, met_in_hand, thaw
from tests.support.wait import until_async

KINDS: Final = ("enricher", "indexer")
HOURS: Final = 3600.0
REBALANCED_S: Final = 60.0


async def come_and_go(system: System, rng: Random, kinds: Sequence[str] = KINDS) -> None:
    """Let a second worker of each kind join, work for a while and leave; the first one has everything again."""
    await asyncio.gather(*(system.start(f"{kind}-2") for kind in kinds))
    for kind in kinds:
        await _shared(system, kind)
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    await _alone_again(system, kinds)


async def _alone_again(system: System, kinds: Sequence[str]) -> None:
    await asyncio.gather(*(system.stop(f"{kind}-2") for kind in kinds))
    for kind in kinds:
        await _has_all(system, kind, kind)


async def frozen(system: System, rng: Random, kinds: Sequence[str] = KINDS) -> int:
    """Let a worker of each kind stand still until another has taken over, and go on then: a zombie.

    Returns what each had in hand as it froze, the least of them. A zombie that ends, as one with transactions does, is
    started again by who watches.
    """
    await asyncio.gather(*(system.start(f"{kind}-2") for kind in kinds))
    for kind in kinds:
        await _shared(system, kind)
    held = await asyncio.gather(*(_zombie(system, kind, rng) for kind in kinds))
    await _alone_again(system, kinds)
    return min(held)


async def _zombie(system: System, kind: str, rng: Random) -> int:
    one = system.processes[kind]
    pid = one.worker.pid
    held, _ = await met_in_hand(system, [kind], rng, lambda: freeze(pid), lambda _: thaw(pid))
    try:
        await asyncio.sleep(SESSION_S)
        await _has_all(system, f"{kind}-2", kind)
        await asyncio.sleep(rng.uniform(0.2, 1.0))  # the other one works on what the frozen one had in hand
    finally:
        thaw(one.worker.pid)
    await asyncio.sleep(rng.uniform(0.5, 1.5))
    return held


async def clock_jumps(system: System, rng: Random) -> None:
    """Let the clocks of enricher and indexer jump hours ahead and back, while they work, and right themselves."""
    shift = system.folder / "shift"
    shift.write_text("0")
    for kind in KINDS:
        await system.stop(kind)
    await asyncio.gather(
        *(system.start(kind, module=f"tests.support.jumping {shift} services.{kind}") for kind in KINDS)
    )
    shifts = (rng.uniform(2, 9) * HOURS, -rng.uniform(2, 9) * HOURS, 0.0)
    for number, seconds in enumerate(shifts):
        shift.write_text(str(seconds))
        for kind in KINDS:
            await _jumped(system.processes[kind], number + 1)
        await asyncio.sleep(rng.uniform(0.5, 1.5))
    for kind in KINDS:
        await system.stop(kind)
    await asyncio.gather(*(system.start(kind) for kind in KINDS))


async def _jumped(one: Running, times: int) -> None:
    async def jumped() -> bool:
        one.listen()
        return one.said["jumped"] >= times

    await until_async(jumped, f"the clock of {one.worker.name} has jumped {times} times", 60)


async def _shared(system: System, kind: str) -> None:
    """Wait until both workers have partitions."""
    whole = topics.load(READS_OF[kind][0]).partitions

    async def shared() -> bool:
        both = [system.processes[kind], system.processes[f"{kind}-2"]]
        for one in both:
            one.listen()
        return sum(one.assigned for one in both) == whole and all(one.assigned for one in both)

    await until_async(shared, f"two workers share the partitions of {kind}", REBALANCED_S)


async def _has_all(system: System, name: str, kind: str) -> None:
    whole = topics.load(READS_OF[kind][0]).partitions

    async def has_all() -> bool:
        one = system.processes[name]
        one.listen()
        return one.assigned == whole

    await until_async(has_all, f"one {kind} has all partitions", REBALANCED_S)
