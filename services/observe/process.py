"""A process without HTTP of its own kind: its signals, its end, and its last line."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NoReturn

import structlog

from services.observe.logs import configured, tell_failure
from services.observe.loop import new_loop
from services.observe.tracing import exported
from services.settings import Settings

YOUNG: Final = 50_000
"""How many objects are made before the garbage collector looks at them."""

COLLECT_S: Final = 600.0
"""How often it looks in a worker. It takes some tenths of a second then, of an enricher that holds a million reads."""

LET_GO_S: Final = 5.0
"""How long what is left in a process may take to end after the last line of its log."""


def collect_seldom() -> None:
    """Let the garbage collector look seldom, and never again at what is there now.

    What services work with forms no cycles: reference counts free it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)


@contextlib.contextmanager
def collecting_by_the_clock(every_s: float = COLLECT_S) -> Iterator[None]:
    """Let the garbage collector look every `every_s` seconds, and at no other time, while the block runs.

    An enricher holds all reads of the last window. A collector that looks whenever so many objects were made walks each
    of them at least once, for nothing: a twentieth of all its time, in pauses of 0.1 s. Cycles come of faults and
    outages, and wait. Needs a running event loop.
    """

    async def look() -> None:
        while True:
            await asyncio.sleep(every_s)
            gc.collect()

    looking = asyncio.create_task(look())
    gc.disable()
    try:
        yield
    finally:
        looking.cancel()
        gc.enable()


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
    settings = configured(service)
    with exported(service, settings), asyncio.Runner(loop_factory=new_loop) as runner:
        code = runner.run(_work(settings, work))
    sys.exit(code)


async def _work(settings: Settings, work: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> int:
    log = structlog.get_logger()
    collect_seldom()
    try:
        with collecting_by_the_clock():
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
