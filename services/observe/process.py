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

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
"""The signals that tell a process to end."""

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
    """Return an event that SIGTERM and SIGINT set: a process's way to learn that it should finish and end."""
    event = asyncio.Event()

    def told(_: int, __: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it ends already
            loop.call_soon_threadsafe(event.set)

    # Not the loop's own handlers: they go with the loop, and a second signal would end a process that ends well.
    for name in STOPPING:
        signal.signal(name, told)
    return event


def hear_no_more() -> None:
    """Let no further signal change how the process ends; it ends within a stated time."""
    for name in STOPPING:
        signal.signal(name, signal.SIG_IGN)


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
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the process ends with it; nobody cancels it
        tell_failure(error)
        return ending(1)
    log.info("stopped")
    return ending(0)


def ending(code: int) -> int:
    """Return an exit code, and see that the process ends with it, even if a client does not let go of the loop.

    The last line of the log was said: what libraries say of tasks that they leave behind must not come after it.
    """
    hear_no_more()
    logging.disable(logging.CRITICAL)
    timer = threading.Timer(LET_GO_S, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return code
