"""What the routes share: who asks, bodies of a bounded size, and problem documents for everything that goes wrong."""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schemas.problems import MEDIA_TYPE, Problem
from schemas.queries import Asker, Role
from search.bodies import MAX_BODY_BYTES
from search.errors import Forbidden, SearchError, TooLarge
from search.identity import Verifier

JSON: Final = "application/json"


BODY_TIMEOUT_S: Final = 10.0
"""Seconds that a body may take to arrive: a client that sends it byte by byte holds a connection no longer."""


class TooSlow(SearchError):
    """Send the body at once."""

    status = 408


class UnsupportedMediaType(SearchError):
    """Send the body as one of the documented media types."""

    status = 415


def caller(request: Request, verifier: Verifier, role: Role) -> Asker:
    """Return who sends a request. Raises NotAuthenticated without a valid token, Forbidden without the role."""
    asker = verifier.identify(request.headers.get("authorization"))
    if role not in asker.roles:
        raise Forbidden(f"This needs the role {role}.")
    return asker


async def body_of(request: Request, limit_bytes: int = MAX_BODY_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Return the body of a JSON request.

    Raises UnsupportedMediaType if it is declared as anything else, or encoded, and TooLarge as soon as it is over the
    limit: no more of it is read. Raises TooSlow if it does not arrive.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != JSON or request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType(f"The body is sent as {JSON}, not encoded.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    parts = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.stream():
                parts += part
                if len(parts) > limit_bytes:
                    raise _too_large(limit_bytes)
    except (TimeoutError, ClientDisconnect):
        raise TooSlow("The body did not arrive.") from None
    return bytes(parts)


def answer_problem(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem document as a response (RFC 9457)."""
    return Response(
        problem.body(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def install_errors(app: FastAPI) -> None:
    """Make an application answer each of search's errors with its problem document."""

    async def on_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, SearchError)
        return answer_problem(error.problem(), error.headers())

    app.add_exception_handler(SearchError, on_error)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"A body has at most {limit_bytes} bytes.")
