"""What every service answers without credentials: whether it lives, whether it works, and its counters."""

from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from services.observe.problems import problem

OPEN_ROUTES: Final = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"})
"""The paths of every service that answer without credentials; a test walks all routes of all services against it."""


def install_health(app: Starlette, ready: Callable[[], Awaitable[bool]]) -> None:
    """Serve /healthz (the process lives) and /readyz (its parts answer, says `ready`): open, and without details."""

    async def healthz(_: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def readyz(_: Request) -> Response:
        if await ready():
            return Response(b'{"status":"ready"}', media_type="application/json")
        return problem(503, "A part that this service needs does not answer.", {"Retry-After": "1"})

    app.add_route("/healthz", healthz, methods=["GET"], include_in_schema=False)
    app.add_route("/readyz", readyz, methods=["GET"], include_in_schema=False)


def install_metrics(app: Starlette, collected: CollectorRegistry) -> None:
    """Serve /metrics, open like /healthz: no label names a plate, key, person, camera or case."""

    async def show(_: Request) -> Response:
        return Response(generate_latest(collected), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_route("/metrics", show, methods=["GET"], include_in_schema=False)
