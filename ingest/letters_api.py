"""`/v1/deadletters`: camera operators see their agency's dead letters, look into one, put them back on the stream.

Everything that names a letter or a camera is in a body: it does not stand in a URL.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, get_args

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.errors import Unavailable
from ingest.letters import (
    MAX_IDS,
    MAX_LETTERS,
    MAX_NOTE,
    MIN_NOTE,
    OPERATOR,
    Forbidden,
    LetterBox,
    NotFound,
    Page,
    Replayed,
    ReplayWanted,
    Revealed,
    RevealWanted,
    Unrecorded,
    Wanted,
)
from schemas.deadletters import Reason, Stage
from schemas.problems import MEDIA_TYPE, Problem
from schemas.queries import Asker

QUERY_PATH: Final = "/v1/deadletters/query"
REVEAL_PATH: Final = "/v1/deadletters/reveal"
REPLAY_PATH: Final = "/v1/deadletters/replay"

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 10.0
JSON: Final = "application/json"

Identify = Callable[[str | None], Asker | None]
"""Tells whom an Authorization header names; None if it names nobody."""

Shape = TypeVar("Shape", bound=msgspec.Struct)

_MEMBER: Final = re.compile(r".*`\$\.([a-z_]+)|Object missing required field `([a-z_]+)`", re.DOTALL)

_HELPS: Final = {
    "letter_ids": f"A list of 1 to {MAX_IDS} ids of letters, as the list of letters shows them.",
    "letter_id": "The id of a letter (a UUID), as the list of letters shows it.",
    "reason": f"One of {', '.join(get_args(Reason))}.",
    "stage": f"One of {', '.join(get_args(Stage))}.",
    "camera_id": "A camera's id: 1 to 63 lower-case letters, digits and hyphens.",
    "since": "An RFC 3339 time with its offset from UTC, such as 2026-03-01T08:00:00-06:00 or 2026-03-01T14:00:00Z.",
    "before": "The value of next in the answer before, as it was.",
    "limit": f"A whole number from 1 to {MAX_LETTERS}.",
    "dry_run": "true or false.",
    "force": "true or false.",
    "note": f"A note, of {MIN_NOTE} to {MAX_NOTE} characters, says why the letter is looked into or put back, such as: "
    "reads of cam-7 are refused since its firmware was changed.",
}
"""What is expected of each member: the text of a flaw there."""


class _Refused(Exception):
    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.status)
        self.problem = problem
        self.headers = headers or {}


def routes(box: LetterBox, identify: Identify) -> list[Route]:
    """Return the routes. `identify` is handed in by the service: it knows tokens."""

    async def query(request: Request) -> Response:
        return await _answered(request, identify, Wanted, box.find)

    async def reveal(request: Request) -> Response:
        return await _answered(request, identify, RevealWanted, box.reveal)

    async def replay(request: Request) -> Response:
        return await _answered(request, identify, ReplayWanted, box.replay)

    return [
        Route(QUERY_PATH, query, methods=["POST"], name="query_deadletters"),
        Route(REVEAL_PATH, reveal, methods=["POST"], name="reveal_deadletter"),
        Route(REPLAY_PATH, replay, methods=["POST"], name="replay_deadletters"),
    ]


async def _answered(
    request: Request,
    identify: Identify,
    shape: type[Shape],
    do: Callable[[Asker, Shape], Awaitable[msgspec.Struct]],
) -> Response:
    try:
        asker = identify(request.headers.get("authorization"))
        if asker is None:
            detail = "A valid bearer token of the issuer is needed."
            raise _Refused(Problem(status=401, detail=detail), {"WWW-Authenticate": "Bearer"})
        if OPERATOR not in asker.roles:
            raise Forbidden(f"This needs the role {OPERATOR}.")
        answer = await do(asker, _decoded(await _body(request), shape))
    except _Refused as refused:
        return _problem(refused.problem, refused.headers)
    except Forbidden as error:
        return _problem(Problem(status=403, detail=str(error)))
    except NotFound as error:
        return _problem(Problem(status=404, detail=str(error)))
    except Unrecorded:
        return _problem(Problem(status=503, detail="The log took no entry: nothing was done."), {"Retry-After": "1"})
    except Unavailable:
        detail = "The broker does not answer. Doing the same again is harmless."
        return _problem(Problem(status=503, detail=detail), {"Retry-After": "2"})
    return Response(msgspec.json.encode(answer), media_type=JSON, headers={"Cache-Control": "no-store"})


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != JSON or request.headers.get("content-encoding", "identity") != "identity":
        raise _Refused(Problem(status=415, detail=f"The body is sent as {JSON}, not encoded."))
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    detail = f"A body has at most {MAX_BODY_BYTES} bytes."
                    raise _Refused(Problem(status=413, detail=detail), {"Connection": "close"})
    except (TimeoutError, ClientDisconnect):
        raise _Refused(Problem(status=408, detail="The body did not arrive.")) from None
    return bytes(body)


def _decoded(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        flaw = _flaw(error, shape.__struct_fields__)
        errors: tuple[dict[str, str | int], ...] = (flaw,)
        detail = "The body does not have the documented shape."
        raise _Refused(Problem(status=422, detail=detail, errors=errors)) from None


def _flaw(error: Exception, known: Sequence[str]) -> dict[str, str | int]:
    """Return where a body is wrong, and what would be right.

    The error's text may quote the body: of it, the name of a member that we document is told, and nothing else.
    """
    if not isinstance(error, msgspec.ValidationError):
        return {"pointer": "", "detail": "The body is not JSON (RFC 8259) in UTF-8, or nested too deeply."}
    found = _MEMBER.match(str(error))
    name = (found[1] or found[2]) if found is not None else ""
    if name in known:
        return {"pointer": f"/{name}", "detail": _HELPS[name]}
    return {"pointer": "", "detail": f"A JSON object is expected here, with no other members than {', '.join(known)}."}


def _problem(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(problem.body(), status_code=problem.status, media_type=MEDIA_TYPE, headers=all_headers)


def describe(document: dict[str, Any]) -> None:
    """Add the routes and their shapes to an OpenAPI document."""
    shapes_of = [Wanted, Page, RevealWanted, Revealed, ReplayWanted, Replayed, Problem]
    (wanted, page, reveal, revealed, replay, replayed, problem), shapes = msgspec.json.schema_components(
        shapes_of, ref_template="#/components/schemas/{name}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(shapes)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    paths = document.setdefault("paths", {})
    for path, name, says, asked, told in (
        (QUERY_PATH, "query_deadletters", _QUERY, wanted, page),
        (REVEAL_PATH, "reveal_deadletter", _REVEAL, reveal, revealed),
        (REPLAY_PATH, "replay_deadletters", _REPLAY, replay, replayed),
    ):
        refusals = {
            str(status): {"description": text, "content": {MEDIA_TYPE: {"schema": problem}}}
            for status, text in _PROBLEMS.items()
            if status != 404 or path == REVEAL_PATH
        }
        paths[path] = {
            "post": {
                "operationId": name,
                "tags": ["camera operators"],
                "summary": says[0],
                "description": says[1],
                "security": [{"bearer": []}],
                "requestBody": {"required": True, "content": {JSON: {"schema": asked}}},
                "responses": {"200": {"description": "Done.", "content": {JSON: {"schema": told}}}, **refusals},
            }
        }


_QUERY: Final = (
    "The dead letters of your agency, without what they hold",
    "The newest first. No plate and nothing of a vehicle is told. What is older than its owner may keep is not listed.",
)
_REVEAL: Final = (
    "Look into one dead letter",
    "Shows the detection, plate and all. Who looked, at which letter and why (`note`) is in the audit log first.",
)
_REPLAY: Final = (
    "Put dead letters back on the stream, after what was wrong was mended",
    "Each is judged by the registry and the owners' rules of today, and keeps its event id: doing it twice makes one "
    "sighting. With `dry_run` nothing is put back. It is in the audit log first.",
)
_PROBLEMS: Final = {
    401: "No valid bearer token.",
    403: f"The token has not the role {OPERATOR}.",
    404: "Your agency has no such letter that holds a read.",
    408: "The body did not arrive.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "The body does not have the documented shape.",
    503: "The broker or the audit log does not answer: try again after Retry-After seconds.",
}
