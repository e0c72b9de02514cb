"""What every Faust app of ours is: without a web server or tables, and with an end that comes."""

import asyncio
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


async def end(app: faust.App) -> "asyncio.Task[None]":
    """Stop an app, and return its end. Its own stop takes no cancellation: it is left behind if it takes too long."""
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait({stopping}, timeout=LET_GO_S)
    if not stopping.done():
        stopping.cancel()
        _LOG.warning("left_behind", reason="the app did not end in time")
    return stopping


def settings(name: str, broker: Broker) -> dict[str, Any]:
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
