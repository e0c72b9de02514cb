"""What the routes of search and of auditing share: bodies of a bounded size and time, and problem documents."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schemas.problems import MEDIA_TYPE, Problem

JSON: Final = "application/json"

BODY_TIMEOUT_S: Final = 10.0
"""Seconds that a body may take to arrive: a client that sends it byte by byte holds a connection no longer."""


class Unread(Exception):
    """A body was not read to its end. `status` and `detail` are the answer's, and quote nothing."""

    def __init__(self, status: int, detail: str) -> None:
        """Know what to tell the caller."""
        super().__init__(detail)
        self.status: Final = status
        self.detail: Final = detail


async def read_body(
    request: Request, limit_bytes: int, timeout_s: float = BODY_TIMEOUT_S, media_type: str = JSON
) -> bytes:
    """Return the body of a request of one media type.

    Raises Unread: 415 if it is declared as anything else, or encoded; 413 as soon as it is over the limit, and no more
    of it is read; 408 if it does not arrive.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != media_type or request.headers.get("content-encoding", "identity") != "identity":
        raise Unread(415, f"The body is sent as {media_type}, not encoded.")
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
        raise Unread(408, "The body did not arrive.") from None
    return bytes(parts)


def answer_problem(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem document as a response (RFC 9457)."""
    return Response(
        problem.body(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _too_large(limit_bytes: int) -> Unread:
    return Unread(413, f"A body has at most {limit_bytes} bytes.")
