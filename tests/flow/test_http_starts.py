"""HTTP services that cannot start: they end as every process does, with 1 and a last line that says why."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PARTS = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from ingest.errors import Misconfigured
from services.observe import run_http

@asynccontextmanager
async def parts(app):
    {start}
    yield

run_http("example", lambda settings: FastAPI(lifespan=parts))
"""


def last_line(start: str, code: int, **settings: str) -> dict[str, Any]:
    """Run a service whose parts start so; return the last line of its log."""
    env = os.environ | {f"PLATETRAIL_{name}": value for name, value in settings.items()}
    ran = subprocess.run(
        [sys.executable, "-c", PARTS.format(start=start)],
        capture_output=True, text=True, timeout=60, check=False, env=env,
    )  # fmt: skip
    assert ran.returncode == code, ran.stderr
    return dict(json.loads(ran.stderr.splitlines()[-1]))


def test_one_whose_parts_cannot_start_says_what_they_say() -> None:
    last = last_line("raise Misconfigured('no such database')", 1)
    assert (last["event"], last["error"], last["reason"]) == ("failed", "Misconfigured", "no such database")


def test_one_whose_parts_fail_in_a_way_that_nobody_expected_says_where_and_not_with_what() -> None:
    last = last_line("raise KeyError('XQ7041')", 1)
    assert (last["event"], last["error"]) == ("failed", "KeyError")
    assert "<string>" in last["where"]
    assert "XQ7041" not in str(last)


def test_one_that_is_told_to_end_while_its_parts_start_ends_well() -> None:
    start = "import asyncio, os, signal; os.kill(os.getpid(), signal.SIGTERM); await asyncio.sleep(0.2)"
    assert last_line(start, 0)["event"] == "stopped"


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that is another's."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


@pytest.mark.parametrize("unix", [False, True])
def test_one_whose_port_is_anothers_says_so(taken: str, tmp_path: Path, unix: bool) -> None:
    more = {"LISTEN_SOCKET": str(tmp_path / "socket")} if unix else {}
    last = last_line("pass", 1, LISTEN_PORT=taken, **more)
    assert (last["event"], last["error"].partition(" ")[0]) == ("failed", "NotStarted")
    assert last["reason"] == f"cannot listen on 127.0.0.1, port {taken}"
