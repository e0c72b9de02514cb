"""What every Faust app of ours is: without a web server or tables, and with an end that comes."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import faust
import structlog

from ingest.adapters.broker import MECHANISM, Broker

LET_GO_S: Final = 10.0
"""How long an app may take to end once its work has, or was given up: its clients wait for brokers that are gone."""

_LOG: Final = structlog.get_logger()


class App(faust.App):
    """A Faust app without a web server, tables, or a folder for them."""

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


async def first(*awaited: Awaitable[Any] | asyncio.Event, limit_s: float | None = None) -> None:
    """Return once one of these has happened, or the time is up. Raises what the one that happened raised.

    Tasks and futures are left as they are; what else is waited for is called off.
    """
    tasks = [asyncio.ensure_future(one.wait() if isinstance(one, asyncio.Event) else one) for one in awaited]
    try:
        done, _ = await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, one in zip(tasks, awaited, strict=True):
            if task is not one:
                task.cancel()
    failed = [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
    if failed:
        raise failed[0]


async def end_app(app: faust.App) -> "asyncio.Task[None]":
    """Stop an app, and return its end. Its own stop takes no cancellation: it is left behind if it takes too long."""
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait({stopping}, timeout=LET_GO_S)
    if not stopping.done():
        stopping.cancel()
        _LOG.warning("left_behind", reason="the app did not end in time")
    return stopping


def app_settings(name: str, broker: Broker) -> dict[str, Any]:
    """Return what an app is made with."""
    return {
        "id": f"platetrail-{name}",
        "broker": [f"kafka://{address}" for address in broker.bootstrap.split(",")],
        "broker_credentials": _credentials(broker),
        "web_enabled": False,  # its server has no authentication
        "worker_redirect_stdouts": False,
        "stream_wait_empty": True,
        "autodiscover": False,
    }


def _credentials(broker: Broker) -> Any:
    if broker.security == "PLAINTEXT":
        return None
    return faust.SASLCredentials(
        username=broker.user, password=broker.password, mechanism=MECHANISM, ssl_context=broker.ssl_context()
    )
