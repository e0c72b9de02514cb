"""`/v1/cameras`: camera operators register, change, list, import and retire the cameras of their agency."""

from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.cameras import Proof
from schemas.problems import MEDIA_TYPE, Problem
from search import camera_changes, camera_csv
from search.act import OPERATOR, Act
from search.api.common import JSON, body_of, caller
from search.cameras import CameraList, CameraView, Changed, NewCamera, Registered, Retired
from search.errors import Invalid
from search.health import HealthList
from search.identity import Verifier

PATH: Final = "/v1/cameras"
CSV_PATH: Final = PATH + ".csv"
IMPORT_PATH: Final = PATH + "/import"
HEALTH_PATH: Final = PATH + "/health"
CAMERA_PATH: Final = PATH + "/{camera_id}"
RETIRE_PATH: Final = CAMERA_PATH + "/retire"
KEYS_PATH: Final = CAMERA_PATH + "/keys"

CSV: Final = "text/csv"
PATCH: Final = "application/merge-patch+json"


def routes(act: Act, verifier: Verifier) -> list[Route]:
    """Return the routes by which operators keep their agency's cameras."""

    async def add(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.add_camera(asker, await body_of(request)), status=201)

    async def listing(request: Request) -> Response:
        return _answer(await act.list_cameras(caller(request, verifier, OPERATOR)))

    async def health(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.camera_health(asker, silent=_flag(request, "silent")))

    async def show(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.show_camera(asker, request.path_params["camera_id"]))

    async def change(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await body_of(request, media_type=PATCH if declared == PATCH else JSON)
        return _answer(await act.change_camera(asker, request.path_params["camera_id"], body))

    async def rotate(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        named = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        body = await body_of(request) if named else b"{}"
        return _answer(await act.rotate_key(asker, request.path_params["camera_id"], body), status=201)

    async def retire(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        return _answer(await act.retire_camera(asker, request.path_params["camera_id"]))

    async def export(request: Request) -> Response:
        return _table(await act.export_cameras(caller(request, verifier, OPERATOR)))

    async def import_(request: Request) -> Response:
        asker = caller(request, verifier, OPERATOR)
        check_only = _flag(request, "check_only")
        body = await body_of(request, camera_csv.MAX_BYTES, media_type=CSV)
        table = await act.import_cameras(asker, body, check_only=check_only)
        return _table(table, status=200 if check_only else 201)

    return [
        Route(PATH, add, methods=["POST"], name="add_camera"),
        Route(PATH, listing, methods=["GET"], name="list_cameras"),
        Route(CSV_PATH, export, methods=["GET"], name="export_cameras"),
        Route(IMPORT_PATH, import_, methods=["POST"], name="import_cameras"),
        Route(HEALTH_PATH, health, methods=["GET"], name="camera_health"),  # before the path that takes any id
        Route(CAMERA_PATH, show, methods=["GET"], name="show_camera"),
        Route(CAMERA_PATH, change, methods=["PATCH"], name="change_camera"),
        Route(RETIRE_PATH, retire, methods=["POST"], name="retire_camera"),
        Route(KEYS_PATH, rotate, methods=["POST"], name="rotate_key"),
    ]


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise Invalid(detail=f"{name} is true or false.")
    return value == "true"


def _answer(value: msgspec.Struct, status: int = 200) -> Response:
    # A key that is shown once must not stay in a cache.
    return Response(
        msgspec.json.encode(value), status_code=status, media_type=JSON, headers={"Cache-Control": "no-store"}
    )


def _table(text: bytes, status: int = 200) -> Response:
    return Response(text, status_code=status, media_type=CSV, headers={"Cache-Control": "no-store"})


def describe(document: dict[str, Any]) -> None:
    """Add the routes and their shapes to an OpenAPI document."""
    shapes_of = [NewCamera, CameraView, Registered, CameraList, Changed, Retired, HealthList, Problem]
    (new, one, registered, listed, changed, retired, healths, problem), shapes = msgspec.json.schema_components(
        shapes_of, ref_template="#/components/schemas/{name}"
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(shapes)
    paths = document.setdefault("paths", {})
    json, table = _content(JSON), _content(CSV)
    text = {"type": "string"}
    paths[PATH] = {
        "post": _operation("add_camera", _ADD, 201, json(registered), problem, (409, 413, 415, 422))
        | {"requestBody": {"required": True, "content": json(new)}},
        "get": _operation("list_cameras", _LIST, 200, json(listed), problem),
    }
    paths[CSV_PATH] = {"get": _operation("export_cameras", _EXPORT, 200, table(text), problem)}
    paths[HEALTH_PATH] = {
        "get": _operation("camera_health", _HEALTH, 200, json(healths), problem, (422,)) | {"parameters": [_SILENT]}
    }
    imported = _operation("import_cameras", _IMPORT, 201, table(text), problem, (409, 413, 415, 422))
    imported["responses"]["200"] = {"description": "Checked: nothing is wrong, and nothing was registered."}
    paths[IMPORT_PATH] = {
        "post": imported | {"parameters": [_CHECK], "requestBody": {"required": True, "content": table(text)}}
    }
    paths[CAMERA_PATH] = {
        "get": _of_one("show_camera", _SHOW, 200, json(one), problem, (404,)),
        "patch": _of_one("change_camera", _CHANGE, 200, json(changed), problem, (404, 409, 413, 415, 422))
        | {"requestBody": {"required": True, "content": {PATCH: {"schema": _PATCH}, **json(_PATCH)}}},
    }
    paths[RETIRE_PATH] = {"post": _of_one("retire_camera", _RETIRE, 200, json(retired), problem, (404, 409))}
    paths[KEYS_PATH] = {
        "post": _of_one("rotate_key", _ROTATE, 201, json(registered), problem, (404, 409, 413, 415, 422))
        | {"requestBody": {"required": False, "content": json(_PROVING)}}
    }


def _of_one(*arguments: Any) -> dict[str, Any]:
    return _operation(*arguments) | {"parameters": [_CAMERA_ID]}


def _content(media_type: str) -> Any:
    return lambda schema: {media_type: {"schema": schema}}


def _operation(
    name: str,
    says: tuple[str, str],
    status: int,
    content: dict[str, Any],
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
        "summary": says[0],
        "description": says[1],
        "security": [{"bearer": []}],
        "responses": {str(status): {"description": "Done.", "content": content}, **refusals},
    }


_CAMERA_ID: Final = {"name": "camera_id", "in": "path", "required": True, "schema": {"type": "string"}}
_CHECK: Final = {"name": "check_only", "in": "query", "schema": {"type": "boolean", "default": False}}
_SILENT: Final = {
    "name": "silent",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Those alone that are silent.",
}
_PATCH: Final = {
    "type": "object",
    "description": "JSON merge patch (RFC 7396): null takes a member back to its default.",
    "properties": {name: {} for name in camera_changes.CHANGEABLE},
}
_PROVING: Final = {
    "type": "object",
    "properties": {
        "proof": {"enum": list(get_args(Proof))},
        "certificate_sha256": {"type": ["string", "null"], "description": "64 lower-case hex digits"},
        "device_id": {"type": ["string", "null"], "description": "with proof signature; without it, it stays"},
        "signing_secret": {"type": ["string", "null"], "description": "with proof signature: shown to nobody again"},
    },
}
_ADD: Final = (
    "Register a camera of your agency",
    "The answer holds the camera's key. It is shown this once: what is kept is its hash. The change is in the audit "
    "log, in the same transaction.",
)
_LIST: Final = ("The cameras of your agency", "Retired ones too, without their keys.")
_HEALTH: Final = (
    "How the cameras of your agency do",
    "When each was last seen, how much it reads and is refused, the skew learnt of its clock, and what to look at "
    "(`flags`). Whether it is silent is judged by its own past: at this hour it is usually quiet for `usual_quiet_s` "
    "at the most, and silent from `silent_after_s` on. Numbers alone, no read.",
)
_SHOW: Final = ("A camera of your agency", "Without its key.")
_EXPORT: Final = (
    "The cameras of your agency as CSV",
    "Retired ones too, without their keys. The columns are those of an import, and some that only the registry sets.",
)
_IMPORT: Final = (
    "Register many cameras of your agency, from CSV",
    f"Up to {camera_csv.MAX_ROWS} rows below the columns' names ({', '.join(camera_csv.COLUMNS)}; needed: "
    f"{', '.join(camera_csv.REQUIRED)}). All are registered, in one transaction with an audit entry each, or none: "
    "then `errors` has every flaw with `row` (the columns' names are row 1) and `column`. The answer has camera_id, "
    "key (shown this once) and entry. With check_only nothing is registered.",
)
_CHANGE: Final = (
    "Change a camera of your agency",
    "Place, clock, lanes, format, handling, active period, network. It counts for reads that arrive from then on; "
    "the change is in the audit log. A retired camera is not changed.",
)
_RETIRE: Final = (
    "Retire a camera of your agency",
    "Its key is refused from then on; the reads it pushed stay as long as its agency keeps reads. Its id is not given "
    "out again. The change is in the audit log.",
)
_ROTATE: Final = (
    "Give a camera of your agency a new key",
    "The old key ends at once (the gateway has heard of it within seconds), the new one is shown this once. `proof` "
    "and what goes with it change how the camera proves itself. The change is in the audit log.",
)
_PROBLEMS: Final = {
    401: "No valid bearer token.",
    403: f"The token has not the role {OPERATOR}, or the camera would be another agency's.",
    404: "Your agency has no camera of this id.",
    409: "The id is taken, the camera is retired, or somebody else changed it at the same time.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "The camera cannot be registered: `errors` says where, and what would be right.",
    503: "Nothing is known to have changed: look, then try again after Retry-After seconds.",
}
