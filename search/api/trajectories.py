"""`POST /v1/trajectories`: a plain Starlette route, since FastAPI's way of returning a body costs half of the answer.

Its part of the OpenAPI document is made from the same types that decode and encode it.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.problems import MEDIA_TYPE, Problem
from schemas.queries import PURPOSES, Answer, TrajectoryRequest
from search import questions
from search.api.common import JSON, body_of, caller
from search.ask import Door, Format, NobodyPermits
from search.errors import Flaw, Invalid
from search.identity import Verifier

PATH: Final = "/v1/trajectories"
GEOJSON: Final = "application/geo+json"
MAX_KEY_LENGTH: Final = 255

_MEDIA_TYPES: Final[dict[Format, str]] = {"json": JSON, "geojson": GEOJSON}


def routes(door: Door, verifier: Verifier) -> list[Route]:
    """Return the route by which investigators ask."""

    async def ask(request: Request) -> Response:
        asker = caller(request, verifier, "investigator")
        form = format_of(request.headers.get("accept", ""))
        key = key_of(request.headers.getlist("idempotency-key"))
        question = questions.decode(await body_of(request))
        body = await door.trajectory(asker, question, form, key)
        return Response(body, media_type=_MEDIA_TYPES[form], headers={"Cache-Control": "no-store", "Vary": "Accept"})

    return [Route(PATH, ask, methods=["POST"], name="ask_trajectory")]


def format_of(accept: str) -> Format:
    """Return the format that an Accept header prefers (RFC 9110, 12.5.1): GeoJSON only where it is named."""
    geojson, other = 0.0, 0.0
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = _quality(parameters)
        if name == GEOJSON:
            geojson = max(geojson, quality)
        elif name == JSON:
            other = max(other, quality)
    return "geojson" if geojson > 0 and geojson >= other else "json"


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def key_of(headers: Sequence[str]) -> str | None:
    """Return the idempotency key, if there is one. Raises Invalid unless it is one header of visible ASCII."""
    if not headers:
        return None
    key = headers[0]
    if len(headers) > 1 or not 0 < len(key) <= MAX_KEY_LENGTH or not all("!" <= char <= "~" for char in key):
        fault = f"Idempotency-Key is one header of 1 to {MAX_KEY_LENGTH} visible ASCII characters."
        raise Invalid(Flaw(pointer="", detail=fault), detail=fault)
    return key


def describe(document: dict[str, Any]) -> None:
    """Add the route and its shapes to an OpenAPI document."""
    (asked, answer, problem, refusal), shapes = msgspec.json.schema_components(
        [TrajectoryRequest, Answer, Problem, NobodyPermits.Document], ref_template="#/components/schemas/{name}"
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(shapes)
    document["components"].setdefault("securitySchemes", {})["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    operation = {
        "operationId": "ask_trajectory",
        "tags": ["investigators"],
        "summary": "Where was this plate seen?",
        "description": _DESCRIPTION,
        "security": [{"bearer": []}],
        "parameters": [_KEY_PARAMETER],
        "requestBody": {"required": True, "content": {JSON: {"schema": asked}}},
        "responses": {
            "200": {
                "description": "The points that may be seen, in time order; an unverified lead, never a proof.",
                "content": {JSON: {"schema": answer}, GEOJSON: {"schema": _FEATURES}},
            },
            "403": _problem(f"{_PROBLEMS[403]} Or no owner permits the question, which is on the record.", refusal),
            **{str(status): _problem(text, problem) for status, text in _PROBLEMS.items() if status != 403},
        },
    }
    document.setdefault("paths", {})[PATH] = {"post": operation}


def _problem(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}


_PROBLEMS: Final = {
    401: "No valid bearer token.",
    403: "The token has not the role investigator.",
    409: "The first request with this Idempotency-Key is still being answered.",
    413: "The body is too large.",
    415: f"The body is not {JSON}.",
    422: "The question cannot be used: `errors` says where, and what would be right.",
    503: "Nothing was answered: try again after Retry-After seconds.",
}

_DESCRIPTION: Final = (
    "Records the question in the audit log, then reads what the owners of the cameras permit, and answers with a "
    "receipt of the record. Each further page (`cursor`, from `next`; the rest of the body as before) is recorded, "
    "too.\n\nPurpose codes:\n\n" + "\n".join(f"- `{code}`: {text}" for code, text in PURPOSES.items())
)

_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    "description": "Repeat a question with the same key, within 24 hours, and it is answered under the first one's "
    "record. A body with a cursor needs none: a page never makes a new question.",
}

_FEATURES: Final = {
    "type": "object",
    "description": "A GeoJSON FeatureCollection (RFC 7946): one Point a sighting, one LineString an unbroken stretch.",
    "required": ["type", "features"],
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {"type": "array", "items": {"type": "object"}},
    },
}
