"""How clients of the broker are let go of."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

STOP_S: Final = 5.0
"""How long a client may take to stop: without a broker it would take for ever."""

_LOG: Final = structlog.get_logger()


async def let_go(stopping: Coroutine[Any, Any, object]) -> None:
    """Wait until a client has stopped, but no longer than `STOP_S`, and whatever it raises: its work is over.

    Without a broker a consumer cancels tasks of its own and then raises their cancellation, which is none of ours.
    """
    task = asyncio.ensure_future(stopping)
    try:
        await asyncio.wait({task}, timeout=STOP_S)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        _LOG.warning("left_behind", reason="the broker did not answer at the end")
    elif not task.cancelled() and (error := task.exception()) is not None:
        _LOG.warning("left_behind", reason=f"the client has ended: {type(error).__name__}")
