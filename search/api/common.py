"""What the routes share: who asks, bodies of a bounded size, and problem documents for everything that goes wrong."""

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from schemas.queries import Asker, Role
from search.audit.http import BODY_TIMEOUT_S, JSON, Unread, answer_problem, read_body
from search.bodies import MAX_BODY_BYTES
from search.errors import Forbidden, SearchError, TooLarge
from search.identity import Verifier

__all__ = ["JSON", "TooSlow", "UnsupportedMediaType", "answer_problem", "body_of", "caller", "install_errors"]


class TooSlow(SearchError):
    """Send the body at once."""

    status = 408


class UnsupportedMediaType(SearchError):
    """Send the body as one of the documented media types."""

    status = 415


_REFUSALS: Final[dict[int, type[SearchError]]] = {
    kind.status: kind for kind in (TooSlow, TooLarge, UnsupportedMediaType)
}


def caller(request: Request, verifier: Verifier, role: Role) -> Asker:
    """Return who sends a request. Raises NotAuthenticated without a valid token, Forbidden without the role."""
    asker = verifier.identify(request.headers.get("authorization"))
    if role not in asker.roles:
        raise Forbidden(f"This needs the role {role}.")
    return asker


async def body_of(
    request: Request,
    limit_bytes: int = MAX_BODY_BYTES,
    timeout_s: float = BODY_TIMEOUT_S,
    media_type: str = JSON,
) -> bytes:
    """Return the body of a request of one media type.

    Raises UnsupportedMediaType, TooLarge and TooSlow as `read_body` refuses.
    """
    try:
        return await read_body(request, limit_bytes, timeout_s, media_type)
    except Unread as unread:
        raise _REFUSALS[unread.status](unread.detail) from None


def install_errors(app: FastAPI) -> None:
    """Make an application answer each of search's errors with its problem document."""

    async def on_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, SearchError)
        return answer_problem(error.problem(), error.headers())

    app.add_exception_handler(SearchError, on_error)
