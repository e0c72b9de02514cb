"""A process without HTTP of its own kind: its signals, its end, and its last line."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
from uvicorn.loops.auto import auto_loop_factory

from services.observe.logs import configure_logging, tell_failure
from services.observe.tracing import exported
from services.settings import Settings

YOUNG: Final = 200_000
"""How many objects are made before the collector looks at those: with fewer, most of a batch are still in use."""

LET_GO_S: Final = 5.0
"""How long what is left in a process may take to end after the last line of its log."""


def collect_seldom() -> None:
    """Let the garbage collector look seldom, and never again at what is there now.

    What services work with forms no cycles: reference counts free it, and a collector that walks all reads of the last
    window again and again takes a third of an enricher's time, and makes pauses at every HTTP service.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)


def stop_event(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set: a worker's way to learn that it should drain and end."""
    event = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, event.set)
    return event


def run_worker(service: str, work: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> NoReturn:
    """Run a process without HTTP until SIGTERM or SIGINT, and exit: 0 then, 1 if it failed.

    The last line of its log says which. The text of an error is shown if it is one of ours, which hold no values;
    otherwise its type alone.
    """
    settings = Settings()
    configure_logging(service, settings)
    loop_factory = auto_loop_factory()  # uvloop, where there is one
    with exported(service, settings), asyncio.Runner(loop_factory=loop_factory) as runner:
        code = runner.run(_work(settings, work))
    sys.exit(code)


async def _work(settings: Settings, work: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> int:
    log = structlog.get_logger()
    collect_seldom()
    try:
        await work(settings, stop_event(asyncio.get_running_loop()))
    except Exception as error:  # noqa: BLE001 - the process ends with it
        tell_failure(error)
        return _ending(1)
    log.info("stopped")
    return _ending(0)


def _ending(code: int) -> int:
    """Return an exit code, and see that the process ends with it, even if a client does not let go of the loop.

    The last line of the log was said: what libraries say of tasks that they leave behind must not come after it.
    """
    logging.disable(logging.CRITICAL)
    timer = threading.Timer(LET_GO_S, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return code
