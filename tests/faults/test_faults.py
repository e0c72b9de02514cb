"""Every fault once, in one running system under load: nothing is lost, and nothing is there twice.

`make faults` does the same many times, and writes the table of docs/faults.md.
"""

import random
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.faults.load import World
from tests.faults.rounds import TRANSACTIONAL, Result, run
from tests.faults.system import ORDER, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

Say = Callable[[str], None]


OUTAGE_LIMIT_S = 90.0
UNREACHABLE_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A system of this module's own, since it is broken again and again, and the cameras in it."""
    async with running(tmp_path_factory.mktemp("faults"), outage_s=OUTAGE_LIMIT_S) as system:
        system.unreachable_s = UNREACHABLE_S
        made = World(system, random.Random())
        await made.register()
        yield made


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that prints past pytest's capture: what was broken, and when, is part of the result."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)  # noqa: T201

    return say


async def once(world: World, say: Say, *faults: str) -> Result:
    """Inject faults, each once, under one load; return what was counted, after the checks that hold for all."""
    result = await run(world, dict.fromkeys(faults, 1), random.randrange(10**6), say)
    assert result.error == ""
    assert result.found.lost.total() == 0, result.line()
    assert result.found.doubled.total() == 0, result.line()
    assert result.found.strange.total() == 0, result.line()
    assert result.found.passes > 100, result.line()
    assert result.counted == len(result.held) == len(faults), "each met something in hand"
    return result


async def test_a_kill_of_any_process_loses_nothing_and_doubles_nothing(world: World, say: Say) -> None:
    result = await once(world, say, *(f"kill -9 {name}" for name in ORDER))
    assert result.ended == []


async def test_workers_wait_for_servers_that_are_killed_or_do_not_serve(world: World, say: Say) -> None:
    result = await once(
        world, say, "kill -9 Kafka", "kill -9 PostgreSQL", "PostgreSQL unreachable", "disk of PostgreSQL full"
    )
    assert [one.name for one in result.ended if one.name in ("enricher", "indexer")] == [], "the workers live on"
    assert +result.found.dead_letters == {}
    for name in ("enricher", "indexer", "gateway", "inbox"):
        logged = world.system.processes[name].worker.log_file.read_text()
        assert not any(plate in logged for plate in world.plates)


async def test_workers_that_come_and_go_stand_still_or_lose_their_clock(world: World, say: Say) -> None:
    result = await once(
        world, say, "second workers join and leave", "workers frozen past their session", "clocks of workers jump"
    )
    assert +result.found.dead_letters == {}


async def test_an_enricher_with_transactions_writes_nothing_twice_whatever_becomes_of_it(
    world: World, say: Say
) -> None:
    """The topic of sightings itself has no double for who reads what is committed: that is what the setting is for."""
    result = await once(world, say, *TRANSACTIONAL)
    ended = [one for one in result.ended if one.name.startswith("enricher")]
    assert all(one.returncode == 1 and "Fenced" in one.last for one in ended), "who lost its partitions says so"


async def test_messages_that_nobody_can_use_are_set_aside_once(world: World, say: Say) -> None:
    result = await once(world, say, "poisoned messages", "messages too large for the broker")
    assert result.ended == []
    assert result.found.dead_letters == {
        "undecodable": 10, "unknown_camera": 5, "wrong_owner": 5, "poisoned": 5, "too_large": 5,
    }  # fmt: skip
    assert +result.found.duplicates == {}
