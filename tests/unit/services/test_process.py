"""The end of a worker: its last line says why, whatever else is left behind."""

import json
import subprocess
import sys

import pytest

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
