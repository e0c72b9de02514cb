"""One kind of fault after another, each under a load of its own in one running system, and what was counted."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from tests.faults import kills, messages, outages, workers
from tests.faults.count import Found, before, count, drained
from tests.faults.load import Load, World
from tests.faults.system import ORDER, Ended, System

Say = Callable[[str], None]
Inject = Callable[[System, Load, Random], Awaitable[int]]
"""Does one round of a fault; returns what was in hand, or -1 if the fault is none that has to meet something."""

WARM_S: Final = 1.0
TRIES: Final = 3
"""How often a round is tried until it meets something in hand; a round that never does fails its fault."""


@dataclass
class Result:
    """What was counted of one kind of fault."""

    fault: str
    seed: int
    wanted: int
    held: list[int] = field(default_factory=list)
    tried: int = 0
    found: Found = field(default_factory=Found)
    ended: list[Ended] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    @property
    def counted(self) -> int:
        """How many rounds met something in hand."""
        return sum(held != 0 for held in self.held)

    @property
    def good(self) -> bool:
        """Tell whether every round that was wanted counted, and nothing was lost, doubled or made up."""
        return not self.error and self.found.whole and self.counted == len(self.held) == self.wanted

    def line(self) -> str:
        """Return it in one line."""
        found = self.found
        parts = [
            f"{self.fault}: {len(self.held)} rounds, {self.counted} counted of {self.tried} tried, in hand {self.held}",
            f"{found.passes} passes, {found.reads} reads ({found.resent} sent again, {found.late} passes late)",
            f"lost {dict(+found.lost)}, doubled {dict(+found.doubled)}, duplicates in topics {dict(+found.duplicates)}",
            f"dead letters {dict(+found.dead_letters)}, seed {self.seed}, {self.seconds:.0f} s",
        ]
        parts += [f"STRANGE {dict(found.strange)}"] if found.strange else []
        parts += [f"ended by itself: {ended}" for ended in self.ended]
        parts += [f"for example {example}" for example in found.examples]
        parts += [f"FAILED {self.error}"] if self.error else []
        return "; ".join(parts)


async def _kill(name: str, system: System, load: Load, rng: Random) -> int:
    return await kills.process(system, load, name, rng)


def _of(doing: Callable[[System, Random], Awaitable[int | None]]) -> Inject:
    async def inject(system: System, _: Load, rng: Random) -> int:
        held = await doing(system, rng)
        return -1 if held is None else held

    return inject


def _with_load(doing: Callable[[System, Load, Random], Awaitable[None]]) -> Inject:
    async def inject(system: System, load: Load, rng: Random) -> int:
        await doing(system, load, rng)
        return -1

    return inject


ENRICHER: Final = ("enricher",)

TRANSACTIONAL: Final[Mapping[str, Inject]] = {
    "kill -9 enricher with transactions": partial(_kill, "enricher"),
    "enricher frozen past its session with transactions": _of(partial(workers.frozen, kinds=ENRICHER)),
    "second enricher joins and leaves with transactions": _of(partial(workers.come_and_go, kinds=ENRICHER)),
    "kill -9 Kafka with transactions": kills.kafka_with_letters,
}
"""What is done to an enricher that writes in transactions (`PLATETRAIL_ENRICHER_TRANSACTIONS`)."""

FAULTS: Final[Mapping[str, Inject]] = {
    "disk of PostgreSQL full": _of(outages.disk_full),
    "PostgreSQL unreachable": _of(outages.unreachable),
    "second workers join and leave": _of(workers.come_and_go),
    "workers frozen past their session": _of(workers.frozen),
    "clocks of workers jump": _of(workers.clock_jumps),
    "poisoned messages": _with_load(messages.poisoned),
    "messages too large for the broker": _with_load(messages.too_large),
    **{f"kill -9 {name}": partial(_kill, name) for name in ORDER},
    "kill -9 Kafka": _of(kills.kafka),
    "kill -9 PostgreSQL": _of(kills.postgres),
    **TRANSACTIONAL,
}

SERVERS: Final = ("kill -9 Kafka", "kill -9 PostgreSQL", "kill -9 Kafka with transactions")


async def _round(result: Result, inject: Callable[[], Awaitable[int]]) -> int:
    """Try one round until it meets something in hand, `TRIES` times at most; note each try, and what the last met."""
    held = 0
    for _ in range(TRIES):
        result.tried += 1
        held = await inject()
        if held:
            break
    result.held.append(held)
    return held


def transactional(faults: Collection[str]) -> bool:
    """Tell whether faults are those of an enricher with transactions. Raises ValueError if some are, and some not."""
    kinds = {name in TRANSACTIONAL for name in faults}
    if len(kinds) > 1:
        raise ValueError("an enricher writes either in transactions or without")
    return kinds == {True}


async def run(world: World, faults: Mapping[str, int], seed: int, say: Say, limit_s: float = math.inf) -> Result:
    """Inject faults, each as often as is said, under one load; drain; count.

    After `limit_s` seconds no further round begins. What fails (a process that does not come back, a backlog that does
    not end) is in the result's `error`: the next kind of fault has its turn.
    """
    system = world.system
    result = Result(" + ".join(faults), seed, sum(faults.values()))
    rng = Random(f"{seed} {result.fault}")
    begun_s = time.monotonic()
    first_ended = len(system.ended)
    try:
        await system.transact(transactional(faults))
        since = await before(system)
        load = Load(world)
        async with load.running():
            await asyncio.sleep(WARM_S)
            for number, name in enumerate([name for name, rounds in faults.items() for _ in range(rounds)]):
                if time.monotonic() - begun_s > limit_s:
                    break
                held = await _round(result, partial(FAULTS[name], system, load, rng))
                say(f"{name} ({number + 1} of {result.wanted}): " + (f"{held} in hand" if held >= 0 else "done"))
        await drained(system)
        result.found = await count(system, load, since)
    except Exception as error:  # noqa: BLE001 - the next kind of fault must have its turn, and the table its line
        result.error = f"{type(error).__name__}: {str(error)[:1500]}"
    result.ended = system.ended[first_ended:]
    result.seconds = time.monotonic() - begun_s
    say(result.line())
    return result
