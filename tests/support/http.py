"""An application behind a real uvicorn, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from services.heads import PROTOCOLS
from tests.support.wait import until_async

Operation = tuple[str, str]
"""A method and a path."""


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Run an application on a free loopback port, as `services.observe.run_http` does; yield a client of it."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, **PROTOCOLS, log_config=None, access_log=False, lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        assert not task.done(), "the application did not start"
        return server.started

    await until_async(started, "the application has started")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as made:
            yield made
    finally:
        server.should_exit = True
        await task


def operations(app: Starlette) -> Iterator[Operation]:
    """Yield every method and path that an application answers. Fails at a route that does not tell: a mount would."""
    return _walk(app.routes)


def _walk(routes: Iterable[Any]) -> Iterator[Operation]:
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:  # FastAPI keeps what was included apart
            assert route.include_context.prefix == "", "a router that was included under a prefix"
            yield from _walk(included.routes)
            continue
        path, methods = getattr(route, "path", None), getattr(route, "methods", None)
        assert path, f"a route that cannot be walked: {type(route).__name__}"
        assert methods, f"a route that cannot be walked: {type(route).__name__}"
        for method in sorted(methods - {"HEAD", "OPTIONS"}):
            yield method, path


async def statuses(app: Starlette, headers: Mapping[str, str] | None = None) -> dict[Operation, int]:
    """Return what every operation answers to a request that holds these headers and nothing else.

    The application is built, not started: who is turned away must be, before anything that it needs is asked.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return {
            (method, path): (await client.request(method, path, headers=headers)).status_code
            for method, path in operations(app)
        }
