"""All inboxes of a process, side by side: the end of one is the end of all."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingest.errors import Unavailable
from ingest.inbox import Inbox, keep_reading
from ingest.lookout import Lookout


async def read_all(
    stop: asyncio.Event,
    inboxes: Sequence[Callable[[], Inbox]],
    lookout: Lookout,
    following: "asyncio.Task[None]",
    joined: Sequence[Callable[[], None]],
    *,
    drain_s: float,
) -> None:
    """Run inboxes and lookout until `stop` is set or one of them ends; the batches at hand are finished.

    `following` ends when the registry of cameras is no longer followed; `joined` are called when the inbox of their
    place reads. Raises what ended an inbox or the lookout; Unavailable if the registry is no longer followed, since it
    would go stale without a word, or if the batches at hand take more than `drain_s` seconds.
    """
    halt, awaited = asyncio.Event(), set(range(len(inboxes)))

    def ready(number: int) -> None:
        joined[number]()
        awaited.discard(number)
        if not awaited:
            structlog.get_logger().info("ready", networks=len(inboxes))

    running = {
        asyncio.create_task(keep_reading(make, halt, partial(ready, number))) for number, make in enumerate(inboxes)
    }
    beside = {asyncio.create_task(lookout.run()), asyncio.create_task(_wait(stop))}
    try:
        await asyncio.wait({*running, *beside, following}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in (*running, *beside, following) if task.done() and task.exception()]
    finally:
        halt.set()
        _, unfinished = await asyncio.wait(running, timeout=drain_s)
        for task in (*unfinished, *beside):
            task.cancel()
        await asyncio.wait({*running, *beside})
    for task in (*failed, *(running - unfinished)):
        task.result()
    if unfinished:
        raise Unavailable(f"the batches at hand could not be finished in {drain_s:g} s; they will be done again")
    if following.done():
        raise Unavailable("the camera registry is no longer followed")


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
