"""Yardsticks as processes of their own: what starts them, and how they begin and end.

A yardstick is told what to do in a line of JSON on standard input. It connects, says `ready`, begins at the next line,
and answers with the times (of the machine's monotonic clock) at which it began and was done. Then it waits for its end,
so that it can be seen what it took.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

from services.demo.places import ROOT
from services.observe.loop import new_loop

What = TypeVar("What")


class Failed(Exception):
    """Something that is measured has failed, so that nothing can be said of it. The text says what."""


class Told(NamedTuple):
    """When a yardstick began and was done, in seconds of the monotonic clock, which all processes share."""

    begun: float
    ended: float


class Bare:
    """A yardstick that runs: `python -m tests.bench.ingest.<module>`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Know the process; `start` makes it."""
        self._process = process
        self.pid = process.pid

    @classmethod
    @asynccontextmanager
    async def start(cls, module: str, what: Any) -> AsyncIterator["Bare"]:
        """Start it and wait until it is ready; at the end of the block it is no more."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"tests.bench.ingest.{module}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
            cwd=ROOT,
        )
        bare = cls(process)
        try:
            await bare._tell(msgspec.json.encode(what))
            await bare._hear()
            yield bare
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def go(self) -> Told:
        """Let it begin; return when it is done."""
        return msgspec.json.decode(await self.answer(), type=Told)

    async def answer(self) -> bytes:
        """Let it begin; return its answer."""
        await self._tell(b"go")
        return await self._hear()

    async def stop(self) -> None:
        """Tell it to come to an end, if it is one that would not by itself."""
        await self._tell(b"stop")

    async def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        await self._process.stdin.drain()

    async def _hear(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise Failed("a yardstick has failed; what it said stands above")
        return line


class Gate:
    """Where a yardstick stands until it is told to go, and what it notes of its times."""

    def __init__(self) -> None:
        """Begin with no time taken."""
        self.begun = self.ended = 0.0

    async def opens(self) -> None:
        """Say that all is connected; return when the clock runs."""
        _say(b"ready")
        await asyncio.to_thread(sys.stdin.readline)
        self.begun = time.monotonic()

    def closes(self, taken_s: float | None = None) -> None:
        """Stop the clock; `taken_s` tells how long it ran, for those that stopped it in between."""
        self.ended = time.monotonic() if taken_s is None else self.begun + taken_s


def run(shape: type[What], work: Callable[[What, Gate], Awaitable[Any]]) -> None:
    """Be a yardstick: read what to do, do it, and answer with what came of it, or with the times."""
    with asyncio.Runner(loop_factory=new_loop) as runner:  # the loop that workers have
        runner.run(_run(msgspec.json.decode(sys.stdin.readline(), type=shape), work))


async def _run(what: What, work: Callable[[What, Gate], Awaitable[Any]]) -> None:
    gate = Gate()
    answer = await work(what, gate)
    _say(msgspec.json.encode(Told(gate.begun, gate.ended) if answer is None else answer))
    await asyncio.to_thread(sys.stdin.readline)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()
