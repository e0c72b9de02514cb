"""How a process is seen and run: JSON logs that hold no plate, problem answers, and the HTTP server."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import stat
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from schemas.pointers import pointer
from schemas.problems import MEDIA_TYPE, Problem
from services.heads import PROTOCOLS
from services.settings import Settings

OPEN_ROUTES: Final = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"})
"""The paths of every service that answer without credentials; a test walks all routes of all services against it."""


def configure_logging(service: str, settings: Settings) -> None:
    """Send structured logs as JSON lines to standard error, for our own code and every library.

    An exception is logged as the names of its types, outermost first, never with its text: the texts of database and
    parser errors quote values.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _name_exceptions,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level.upper()),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = _Forward()
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)


def exception_names(error: BaseException | None) -> str:
    """Return the types of an exception and its causes, such as `Unavailable < ConnectionDoesNotExistError[08003]`."""
    names = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        state = getattr(error, "sqlstate", None)
        names.append(type(error).__name__ + (f"[{state}]" if state else ""))
        error = error.__cause__ or error.__context__
    return " < ".join(names)


def _name_exceptions(_: Any, __: str, event: Any) -> Any:
    info = event.pop("exc_info", None)
    if info:
        error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
        event["error"] = exception_names(error)
    return event


class _Forward(logging.Handler):
    """Carries what libraries log, by the message's template alone: its arguments may hold a record or a row.

    A line of code that logs over and over (a client whose broker is gone does, ten times a second) is heard once in
    `QUIET_S`, and then with the number of times in between.
    """

    QUIET_S = 10.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._heard: dict[tuple[str, int, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record without its arguments, unless its like was heard a moment ago."""
        place = (record.pathname, record.lineno, record.levelno)
        at, unheard = self._heard.get(place, (-self.QUIET_S, 0))
        if self._clock() - at < self.QUIET_S:
            self._heard[place] = (at, unheard + 1)
            return
        self._heard[place] = (self._clock(), 0)
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            template=record.msg if record.args and isinstance(record.msg, str) else "(text withheld)",
            where=f"{record.module}:{record.lineno}",
            **({"unheard": unheard} if unheard else {}),
            **({"error": exception_names(error)} if error else {}),
        )


def problem(status: int, detail: str = "", headers: dict[str, str] | None = None) -> Response:
    """Return a problem document as a response (RFC 9457)."""
    return Response(
        Problem(status=status, detail=detail).body(), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def install_problems(app: FastAPI) -> None:
    """Make an application answer every error with a problem document that quotes nothing of the request."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods_at(app, request.scope)))
        return problem(error.status_code, headers=headers)

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors: tuple[dict[str, str | int], ...] = tuple(
            {"pointer": pointer(item["loc"], _documented_names(app)), "detail": str(item["type"])}
            for item in error.errors()
        )
        body = Problem(status=422, detail="The request does not have the documented shape.", errors=errors).body()
        return Response(body, status_code=422, media_type=MEDIA_TYPE)

    async def on_crash(_: Request, error: Exception) -> Response:
        structlog.get_logger().error("unhandled", error=exception_names(error))
        return problem(500, "The service failed; nothing more is known to the caller.")

    # A path with a slash too many is no resource: a redirection would repeat it, and what a caller wrote into it.
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_crash)


def _methods_at(app: FastAPI, scope: Scope) -> set[str]:
    """Return every method that is answered at a path: a route that refuses knows its own alone."""
    routes = list(_routes(app.routes))
    path = next((route.path for route in routes if route.matches(scope)[0] != Match.NONE), None)
    return {method for route in routes if route.path == path for method in route.methods or ()}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        included = getattr(route, "original_router", None)  # FastAPI keeps what was included apart
        if included is not None:
            yield from _routes(included.routes)
        elif isinstance(route, Route):
            yield route


_PARTS: Final = frozenset({"body", "query", "path", "header", "cookie"})


def _documented_names(app: FastAPI) -> frozenset[str]:
    """Return every name of a parameter or member that the application documents: what an answer may repeat."""
    names = set(_PARTS)
    waiting: list[Any] = [app.openapi()]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            names |= one["properties"].keys() if isinstance(one.get("properties"), dict) else set()
            names |= {one["name"]} if "in" in one and isinstance(one.get("name"), str) else set()
        waiting.extend(one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
    return frozenset(names)


def install_health(app: FastAPI, ready: Callable[[], Awaitable[bool]]) -> None:
    """Serve /healthz (the process lives) and /readyz (its parts answer, says `ready`): open, and without details."""

    async def healthz(_: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def readyz(_: Request) -> Response:
        if await ready():
            return Response(b'{"status":"ready"}', media_type="application/json")
        return problem(503, "A part that this service needs does not answer.", {"Retry-After": "1"})

    app.add_route("/healthz", healthz, methods=["GET"], include_in_schema=False)
    app.add_route("/readyz", readyz, methods=["GET"], include_in_schema=False)


def install_metrics(app: FastAPI, collected: CollectorRegistry) -> None:
    """Serve /metrics, open like /healthz: no label names a plate, key, person, camera or case."""

    async def show(_: Request) -> Response:
        return Response(generate_latest(collected), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_route("/metrics", show, methods=["GET"], include_in_schema=False)


def run_http(service: str, build: Callable[[Settings], FastAPI]) -> None:
    """Run a FastAPI application until SIGTERM or SIGINT. Paths and queries of requests are not logged.

    Exits with 1 if it cannot be built, and the last line of the log says why, as `run_worker` does.
    """
    settings = Settings()
    configure_logging(service, settings)
    try:
        app = build(settings)
        unix = None if settings.listen_socket is None else _unix_socket(settings.listen_socket)
    except Exception as error:  # noqa: BLE001 - the process ends with it
        _tell_failure(error)
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
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:  # uvloop, where there is one
        runner.run(_serve(config, service, unix))


def _unix_socket(path: Path) -> socket.socket:
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


def collect_seldom() -> None:
    """Let the garbage collector look seldom, and never again at what is there now.

    What services work with forms no cycles: reference counts free it, and a collector that walks all reads of the last
    window again and again takes a third of an enricher's time, and makes pauses at every HTTP service.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class CannotListen(Exception):
    """A worker's own address is taken, or not this machine's."""


class _Listener(uvicorn.Server):
    """A server beside a worker, which has the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@contextlib.asynccontextmanager
async def listening(
    settings: Settings, collected: CollectorRegistry, ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics for a worker while the block runs; yield the port, which is logged too.

    They need no credentials, so they are on `listen_host`, loopback unless set otherwise. Raises CannotListen.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install_problems(app)
    install_health(app, ready)
    install_metrics(app, collected)
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    try:
        listener = socket.create_server((settings.listen_host, settings.listen_port), family=family)
    except OSError as error:
        raise CannotListen(f"PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT: {type(error).__name__}") from None
    port: int = listener.getsockname()[1]
    config = uvicorn.Config(app, **PROTOCOLS, log_config=None, access_log=False, server_header=False, lifespan="off")
    server = _Listener(config)
    serving = asyncio.create_task(server.serve([listener]))
    structlog.get_logger().info("listening", port=port)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving
        listener.close()


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
    sys.exit(asyncio.run(_work(settings, work)))


async def _work(settings: Settings, work: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> int:
    log = structlog.get_logger()
    collect_seldom()
    try:
        await work(settings, stop_event(asyncio.get_running_loop()))
    except Exception as error:  # noqa: BLE001 - the process ends with it
        _tell_failure(error)
        return 1
    log.info("stopped")
    return 0


def _tell_failure(error: Exception) -> None:
    """Log why a process ends: the text of an error of ours, which holds no values, or the place of another."""
    ours = type(error).__module__.partition(".")[0] in {"schemas", "ingest", "search", "services"}
    more = {"reason": str(error)} if ours else {"where": _place(error)}
    structlog.get_logger().error("failed", error=exception_names(error), **more)


def _place(error: Exception) -> str:
    """Return where an error was raised, innermost last: what can be said of it without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
