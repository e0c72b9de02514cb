"""Waiting for what takes its time: polled, with a generous limit, never timed."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def until(probe: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    """Poll `probe` until it is true. Raises AssertionError, naming `what`, at the limit."""
    end = time.monotonic() + limit_s
    while not probe():
        assert time.monotonic() < end, f"waited {limit_s:.0f} s in vain until {what}"
        time.sleep(0.05)


async def until_async(probe: Callable[[], Awaitable[bool]], what: str, limit_s: float = 60.0) -> None:
    """Poll an asynchronous `probe` until it is true. Raises AssertionError, naming `what`, at the limit."""
    end = time.monotonic() + limit_s
    while not await probe():
        assert time.monotonic() < end, f"waited {limit_s:.0f} s in vain until {what}"
        await asyncio.sleep(0.05)
