"""The HTTP server of a service."""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from services.heads import PROTOCOLS
from services.observe.logs import configured, tell_failure
from services.observe.loop import new_loop
from services.observe.process import collect_seldom
from services.observe.tracing import install_traces, is_on
from services.settings import Settings


def run_http(service: str, build: Callable[[Settings], FastAPI]) -> None:
    """Run a FastAPI application until SIGTERM or SIGINT. Paths and queries of requests are not logged.

    Exits with 1 if it cannot be built, and the last line of the log says why, as `run_worker` does.
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
        runner.run(_serve(config, service, unix))


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


async def _serve(config: uvicorn.Config, service: str, unix: socket.socket | None) -> None:
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(None if unix is None else [config.bind_socket(), unix]))
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.01)
    if server.started:
        collect_seldom()
        structlog.get_logger().info("ready", service=service, port=server.servers[0].sockets[0].getsockname()[1])
    await task
    if not server.started:
        raise SystemExit(3)
