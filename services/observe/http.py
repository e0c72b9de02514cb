"""The HTTP server of a service."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette

from services.heads import PROTOCOLS
from services.observe.logs import configured, tell_failure
from services.observe.loop import new_loop
from services.observe.process import STOPPING, collect_seldom, ending, hear_no_more
from services.observe.tracing import install_traces, is_on
from services.settings import Settings


class NotStarted(Exception):
    """A service could not begin to serve. Names where it should listen, as its settings say."""


def run_http(service: str, build: Callable[[Settings], Starlette]) -> None:
    """Run an application until SIGTERM or SIGINT. Paths and queries of requests are not logged.

    Exits with 1 if it cannot be built or started, and the last line of the log says why, as `run_worker` does.
    """
    settings = configured(service)
    try:
        app = build(settings)
        if is_on(settings):
            install_traces(app, service, settings)
        unix = None if settings.listen_socket is None else unix_socket(settings.listen_socket)
    except Exception as error:  # noqa: BLE001 - the process ends with it
        tell_failure(error)
        sys.exit(1)
    _note_failed_starts(app)
    config = uvicorn.Config(
        app,
        host=settings.listen_host,
        port=settings.listen_port,
        **PROTOCOLS,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )
    with asyncio.Runner(loop_factory=new_loop) as runner:
        code = runner.run(_serve(config, service, app, unix))
    sys.exit(code)


def end_failed(app: Starlette, error: BaseException) -> None:
    """End an HTTP service as SIGTERM does, but with 1 and this error in its last line."""
    app.state.failure = error
    signal.raise_signal(signal.SIGTERM)


class _Server(uvicorn.Server):
    """A server that ends when it is told to, by its own word and not by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Heed signals. Those of uvicorn raise them again at the end, as if the process had been killed."""
        for name in STOPPING:
            signal.signal(name, lambda number, frame: self.handle_exit(signal.SIGTERM, frame))
        yield
        hear_no_more()


def unix_socket(path: Path) -> socket.socket:
    """Return a socket that is bound to a path, for its owner and group alone, in place of one that was left there.

    Raises OSError, also if something else than a socket is there.
    """
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
    bound = socket.socket(socket.AF_UNIX)
    before = os.umask(0o117)  # so that it is nobody else's for no moment
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


def _note_failed_starts(app: Starlette) -> None:
    """Let `state.failure` be what keeps an application's parts from starting: uvicorn keeps that to itself."""
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def noting(of: Starlette) -> AsyncIterator[Any]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                state = await stack.enter_async_context(lifespan(of))
            except Exception as error:
                app.state.failure = error
                raise
            yield state

    app.router.lifespan_context = noting


async def _served(server: _Server, unix: socket.socket | None) -> None:
    """Serve until it is told to end. Raises NotStarted if it could not begin."""
    config = server.config
    try:
        await server.serve(None if unix is None else [config.bind_socket(), unix])
    except SystemExit as error:  # uvicorn's way to say so
        taken = isinstance(error.__context__, OSError)
        where = f"cannot listen on {config.host}, port {config.port}"
        raise NotStarted(where if taken else "a part did not start") from error.__context__


async def _serve(config: uvicorn.Config, service: str, app: Starlette, unix: socket.socket | None) -> int:
    server = _Server(config)
    task = asyncio.create_task(_served(server, unix))
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.01)
    log = structlog.get_logger()
    # There are no sockets if it was told to end while its parts began: they are closed by then.
    if server.started and (sockets := server.servers[0].sockets):
        collect_seldom()
        log.info("ready", service=service, port=sockets[0].getsockname()[1])
    error: BaseException | None = None
    try:
        await task
    except Exception as raised:  # noqa: BLE001 - the process ends with it
        error = raised
    failure: BaseException | None = getattr(app.state, "failure", None) or error
    if failure is not None:
        tell_failure(failure)
        return ending(1)
    log.info("stopped")
    return ending(0)
