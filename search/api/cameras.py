"""`/v1/cameras`: camera operators register, list and retire the cameras of their agency."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.problems import MEDIA_TYPE, Problem
from search.act import OPERATOR, Act
from search.api.common import JSON, body_of, caller
from search.cameras import CameraList, NewCamera, Registered, Retired
from search.identity import Verifier

PATH: Final = "/v1/cameras"
RETIRE_PATH: Final = PATH + "/{camera_id}/retire"


def routes(act: Act, verifier: Verifier) -> list[Route]:
    """Return the routes by which operators keep their agency's cameras."""

    async def add(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.add_camera(asker, await body_of(request)), status=201)

    async def show(request: Request) -> Response:
        return _answer(await act.list_cameras(caller(request, verifier, OPERATOR)))

    async def retire(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.retire_camera(asker, request.path_params["camera_id"]))

    return [
        Route(PATH, add, methods=["POST"], name="add_camera"),
        Route(PATH, show, methods=["GET"], name="list_cameras"),
        Route(RETIRE_PATH, retire, methods=["POST"], name="retire_camera"),
    ]


def _answer(value: msgspec.Struct, status: int = 200) -> Response:
    # A key that is shown once must not stay in a cache.
    return Response(
        msgspec.json.encode(value), status_code=status, media_type=JSON, headers={"Cache-Control": "no-store"}
    )


def describe(document: dict[str, Any]) -> None:
    """Add the routes and their shapes to an OpenAPI document."""
    (new, registered, listed, retired, problem), shapes = msgspec.json.schema_components(
        [NewCamera, Registered, CameraList, Retired, Problem], ref_template="#/components/schemas/{name}"
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(shapes)
    paths = document.setdefault("paths", {})
    add = _operation(
        "add_camera", "Register a camera of your agency", _ADD, 201, registered, problem, (409, 413, 415, 422)
    )
    add["requestBody"] = {"required": True, "content": {JSON: {"schema": new}}}
    paths[PATH] = {
        "post": add,
        "get": _operation("list_cameras", "The cameras of your agency", _LIST, 200, listed, problem),
    }
    retire = _operation("retire_camera", "Retire a camera of your agency", _RETIRE, 200, retired, problem, (404, 409))
    retire["parameters"] = [{"name": "camera_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths[RETIRE_PATH] = {"post": retire}


def _operation(
    name: str,
    summary: str,
    description: str,
    status: int,
    answer: dict[str, Any],
    problem: dict[str, Any],
    problems: tuple[int, ...] = (),
) -> dict[str, Any]:
    refusals = {
        str(code): {"description": _PROBLEMS[code], "content": {MEDIA_TYPE: {"schema": problem}}}
        for code in sorted((401, 403, 503, *problems))
    }
    return {
        "operationId": name,
        "tags": ["camera operators"],
        "summary": summary,
        "description": description,
        "security": [{"bearer": []}],
        "responses": {str(status): {"description": "Done.", "content": {JSON: {"schema": answer}}}, **refusals},
    }


_ADD: Final = (
    "The answer holds the camera's key. It is shown this once: what is kept is its hash. The change is in the audit "
    "log, in the same transaction."
)
_LIST: Final = "Retired ones too, without their keys."
_RETIRE: Final = (
    "Its key is refused from then on; the reads it pushed stay as long as its agency keeps reads. Its id is not given "
    "out again. The change is in the audit log."
)
_PROBLEMS: Final = {
    401: "No valid bearer token.",
    403: f"The token has not the role {OPERATOR}, or the camera would be another agency's.",
    404: "Your agency has no camera of this id.",
    409: "The id is taken, or the camera was changed by somebody else at the same time.",
    413: "The body is too large.",
    415: f"The body is not {JSON}.",
    422: "The camera cannot be registered: `errors` says where, and what would be right.",
    503: "Nothing is known to have changed: look, then try again after Retry-After seconds.",
}
