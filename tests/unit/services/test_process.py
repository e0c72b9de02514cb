"""The end of a worker: its last line says why, whatever else is left behind."""

import gc
import json
import subprocess
import sys
import weakref

import pytest

from services.observe.process import collecting_by_the_clock
from tests.support.wait import until_async

ENDS = """
import asyncio
from ingest.errors import Misconfigured
from services.observe import run_worker

async def fails():
    raise RuntimeError("left behind")

async def work(settings, stop):
    left = asyncio.create_task(fails())  # nobody asks what became of it: asyncio says so when it is forgotten
    await asyncio.sleep(0)
    {end}

run_worker("example", work)
"""


@pytest.mark.parametrize(
    ("end", "code", "event"), [("raise Misconfigured('a reason')", 1, "failed"), ("return", 0, "stopped")]
)
def test_nothing_is_said_after_the_last_line(end: str, code: int, event: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ENDS.format(end=end)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == code, ran.stderr
    assert [json.loads(line)["event"] for line in ran.stderr.splitlines()][-1] == event


class Ring:
    """It holds itself: only a collector frees it."""

    def __init__(self) -> None:
        self.me = self


async def test_what_holds_itself_is_freed_by_the_clock_and_not_before() -> None:
    with collecting_by_the_clock(3600):
        gone = weakref.ref(Ring())
        rings = [Ring() for _ in range(10 * gc.get_threshold()[0])]
        assert gone() is not None, "the collector looks by itself"
        del rings
    with collecting_by_the_clock(0.01):
        gone = weakref.ref(Ring())

        async def is_freed() -> bool:
            return gone() is None

        await until_async(is_freed, "the ring is freed")
    assert gc.isenabled()
