"""Problem answers (RFC 9457) that quote nothing of a request."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from schemas.flaws import sentence
from schemas.pointers import pointer
from schemas.problems import MEDIA_TYPE, Problem
from services.observe.logs import exception_names

if TYPE_CHECKING:
    from fastapi import FastAPI


def problem(status: int, detail: str = "", headers: dict[str, str] | None = None) -> Response:
    """Return a problem document as a response (RFC 9457)."""
    return Response(
        Problem(status=status, detail=detail).body(), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def install_problems(app: Starlette) -> None:
    """Make an application answer every error with a problem document that quotes nothing of the request.

    What FastAPI says of a request's shape needs `install_shape_problems` too.
    """

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods_at(app, request.scope)))
        return problem(error.status_code, headers=headers)

    async def on_crash(_: Request, error: Exception) -> Response:
        structlog.get_logger().error("unhandled", error=exception_names(error))
        return problem(500, "The service failed; nothing more is known to the caller.")

    # A path with a slash too many is no resource: a redirection would repeat it, and what a caller wrote into it.
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_crash)


def install_shape_problems(app: "FastAPI") -> None:
    """Make an application answer what does not have its documented shape in the same way."""
    from fastapi.exceptions import RequestValidationError  # here: workers are without FastAPI, which loads slowly

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        parameters = _parameters(app, request)
        errors: tuple[dict[str, str | int], ...] = tuple(
            {"pointer": pointer(item["loc"], _documented_names(app)), "detail": _sentence(item, parameters)}
            for item in error.errors()
        )
        body = Problem(status=422, detail="The request does not have the documented shape.", errors=errors).body()
        return Response(body, status_code=422, media_type=MEDIA_TYPE)

    app.add_exception_handler(RequestValidationError, on_invalid)


def _sentence(item: dict[str, Any], parameters: list[str]) -> str:
    return sentence(item, parameters if item["loc"][:1] == ("query",) else ())


def _parameters(app: "FastAPI", request: Request) -> list[str]:
    """Return the names of the query parameters that are documented for a request's route."""
    found = route_at(app, request.scope)
    path = app.openapi()["paths"].get(found.path, {}) if found is not None else {}
    of_method = path.get(request.method.lower(), {}).get("parameters", ())
    return [one["name"] for one in of_method if one["in"] == "query"]


def _methods_at(app: Starlette, scope: Scope) -> set[str]:
    """Return every method that is answered at a path: a route that refuses knows its own alone."""
    found = route_at(app, scope)
    path = found.path if found is not None else None
    return {method for route in _routes(app.routes) if route.path == path for method in route.methods or ()}


def route_at(app: Starlette, scope: Scope) -> Route | None:
    """Return the first route of a request's path, whatever its method; None if there is none."""
    return next((route for route in _routes(app.routes) if route.matches(scope)[0] != Match.NONE), None)


def _routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        included = getattr(route, "original_router", None)  # FastAPI keeps what was included apart
        if included is not None:
            yield from _routes(included.routes)
        elif isinstance(route, Route):
            yield route


_PARTS: Final = frozenset({"body", "query", "path", "header", "cookie"})


def _documented_names(app: "FastAPI") -> frozenset[str]:
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
