"""The small HTTP server beside a worker, for who watches over it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from services.heads import PROTOCOLS, BoundedHeads
from services.observe.open_routes import install_health, install_metrics
from services.observe.problems import install_problems
from services.settings import Settings

MOST: Final = 64
"""As many connections at once: each is an open file, which the worker needs to reach its broker and database again."""

END_S: Final = 2
"""How long answers under way may take when the worker ends."""


class CannotListen(Exception):
    """A worker's own address is taken, or not this machine's."""


class _Listener(uvicorn.Server):
    """A server beside a worker, which has the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up first: who asks and does not read would keep the worker from ending."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)


class _Few(BoundedHeads):
    """Hangs up on whoever comes when there are `MOST` connections."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there are few."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()


def build(collected: CollectorRegistry, ready: Callable[[], Awaitable[bool]]) -> Starlette:
    """Return what answers beside a worker: the open routes, and nothing else."""
    app = Starlette()  # FastAPI would be a fifth of what a worker loads at its start
    install_problems(app)
    install_health(app, ready)
    install_metrics(app, collected)
    return app


@contextlib.asynccontextmanager
async def listening(
    settings: Settings, collected: CollectorRegistry, ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics for a worker while the block runs; yield the port, which is logged too.

    They need no credentials, so they are on `listen_host`, loopback unless set otherwise. Raises CannotListen.
    """
    app = build(collected, ready)
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    try:
        listener = socket.create_server((settings.listen_host, settings.listen_port), family=family)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CannotListen(f"PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT: {why}") from None
    port: int = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        **PROTOCOLS | {"http": _Few},
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_S,
        lifespan="off",
    )
    server = _Listener(config)
    serving = asyncio.create_task(server.serve([listener]))
    structlog.get_logger().info("listening", port=port)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving
        listener.close()
