"""The gateway's routes as OpenAPI 3.1: what camera operators read."""

from typing import Any, Final

import msgspec

from ingest import bodies, envelopes, gateway
from ingest.formats import table
from ingest.formats.native import NativeDetection
from schemas.problems import MEDIA_TYPE, Problem

_EXAMPLE: Final = {
    "captured_at": "2026-03-01T14:05:09.250-05:00",
    "plate": "ABC 1234",
    "plate_confidence": 0.94,
    "candidates": [{"plate": "A8C 1234", "confidence": 0.31}],
    "region": "us-ma",
    "make": {"value": "bmw", "confidence": 0.98},
    "colour": {"value": "white", "confidence": 0.99},
    "lane": 2,
}

_OPENALPR_EXAMPLE: Final = {
    "data_type": "alpr_group",
    "version": 3,
    "epoch_start": 1634475947845,
    "company_id": "00000000-0000-4000-8000-000000000001",
    "agent_uid": "EXAMPLEAGENT",
    "camera_id": 1000,
    "best_uuid": "EXAMPLEAGENT-177622-1627675927855",
    "best_plate_number": "ABC1234",
    "best_confidence": 93.25,
    "best_region": "us-ma",
    "is_preview": False,
}

_PUSH: Final = f"""
One detection, a JSON array of them, or one a line ({bodies.NDJSON}); as it is, or with `Content-Encoding: gzip`.

202 means that the broker has every item whose status is `accepted`, durably. An item that can't be used is `rejected`
with its reason, and the others are taken; if none can be used the answer is 422. A read that is older than its owner
may keep is `dropped`, without a trace. One that lies more than five minutes ahead is `rejected` (`clock_future`) and
kept aside for the operator.

After a 429, a 503, or no answer, wait for as long as Retry-After says and send all of it again: an item has the same
id each time, and is indexed once.
""".strip()

_WEBHOOK: Final = """
Give the camera its key: as bearer token, as `X-Api-Key`, or as password of HTTP Basic with its id as user name; one
that is registered with `proof` `digest` takes part in HTTP Digest with SHA-256.

A message of another vendor's form that comes here is read as
what it is, and answered as its sender expects. What is in order and no read (a heartbeat, another event) is `dropped`,
so that it is not sent again. Fields that are not listed in this system's own form are not looked at: no pictures,
nobody's seat belt.
""".strip()

_BY_URL: Final = """
The token stands in the path, so whoever sees the URL can push as this camera: only for a device that takes nothing
else, registered with `proof` `url`. The message is read in the format that the camera is registered with, or as what it
is.
""".strip()

_SAYS: Final = {
    table.OPENALPR: (
        "OpenALPR / Rekor agents",
        "`alpr_group` (versions 2 and 3), `alpr_results`, `alpr_alert` (its group; the list's name is not looked at), "
        "`vehicle`, `heartbeat`. Previews (`is_preview`) are `dropped`.",
    ),
    table.PLATERECOGNIZER: (
        "Plate Recognizer Stream",
        "The webhook in plate mode or vehicle mode: JSON, or a form with the message in its field `json`.",
    ),
    table.HIKVISION: (
        "Hikvision cameras",
        "ISAPI `EventNotificationAlert` of type ANPR: XML, or multipart with XML and pictures. The answer is 200 "
        "without a body.",
    ),
    table.DAHUA: ("Dahua event streams", "`TrafficJunction`. Traffic without a motor is `rejected`."),
    table.DAHUA_ITSAPI: (
        "Dahua ITSAPI",
        '`TollgateInfo` and `KeepAlive`, under the paths that the cameras append. The answer is `{"Result": true}`.',
    ),
    table.AXIS: ("Axis licence-plate apps", "One object for each new, changed and lost car."),
    table.NGSI: ("NGSI", "`AnprFlowObserved`, alone or in a subscription's notification (`data`)."),
    table.GENETEC: ("Genetec AutoVu", "The JSON export, one object a read."),
    table.VERKADA: ("Verkada", "Licence-plate events, bare or as `webhook_type` `lpr`."),
    table.FRIGATE: (
        "Frigate",
        "`tracked_object_update` of type `lpr`, handed on by a bridge. Names are not looked at.",
    ),
}

_PROBLEMS: Final = {
    400: "The body can't be read: no JSON (XML, form), one key twice in an object, too deep, or far more values than "
    "cameras send.",
    401: "Nothing that proves a camera; WWW-Authenticate says what would.",
    403: "The camera is retired, outside its active period, or of a handling that this gateway does not do.",
    408: "The body took too long.",
    413: "The body, or the number of its items, is over the limit.",
    415: "Another media type, charset or encoding than is taken.",
    422: "No item could be used: `errors` says why, by `index` and `pointer`.",
    429: "This camera sends more than one camera may: send all of it again after Retry-After seconds.",
    503: "Nothing, or only a part, is known to be taken: send all of it again after Retry-After seconds.",
}


def describe(document: dict[str, Any]) -> None:
    """Add the routes and their shapes to an OpenAPI document."""
    (native, received, problem), shapes = msgspec.json.schema_components(
        [NativeDetection, gateway.Received, Problem], ref_template="#/components/schemas/{name}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(shapes)
    components.setdefault("securitySchemes", {})["cameraKey"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "ptk_<prefix>_<secret>",
        "description": "A camera's own key, shown once when it is registered (`platetrail camera add`).",
    }
    components["securitySchemes"]["apiKey"] = {"type": "apiKey", "in": "header", "name": "X-Api-Key"}
    components["securitySchemes"]["basic"] = {
        "type": "http",
        "scheme": "basic",
        "description": "The camera's id as user name, its key as password.",
    }
    components["securitySchemes"]["digest"] = {
        "type": "http",
        "scheme": "digest",
        "description": "RFC 7616 with SHA-256, for a camera that is registered with `proof` `digest`.",
    }
    one_or_more = {"oneOf": [native, {"type": "array", "items": native}]}
    paths = document.setdefault("paths", {})
    paths[gateway.DETECTIONS_PATH] = {
        "post": _operation("push_detections", "Push native detections", _PUSH, received, problem)
        | {
            "requestBody": {
                "required": True,
                "content": {
                    bodies.JSON: {"schema": one_or_more, "example": _EXAMPLE},
                    bodies.NDJSON: {"schema": native},
                },
            }
        }
    }
    for path, format_ in gateway.WEBHOOKS.items():
        paths[path] = {"post": _webhook(path, format_, received, problem)}
    by_url = _operation(
        "push_by_url", "Push from a device that can be given nothing but a URL", _BY_URL, received, problem
    )
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
    paths[gateway.PUSH_PATH] = {
        "post": by_url
        # OpenAPI has no scheme for a secret in a path.
        | {"parameters": [token], "security": [], "x-access": "token in the path"}
        | {"requestBody": {"required": True, "content": _message_content({})}}
    }


def _webhook(path: str, format_: str, received: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    """Return the operation of one webhook."""
    sender, says = _SAYS[format_]
    message: dict[str, Any] = {"schema": {"type": "object", "description": "As the camera or agent sends it."}}
    if format_ == table.OPENALPR:
        message["example"] = _OPENALPR_EXAMPLE
    content = _message_content(message)
    described = _operation(
        gateway.operation_of(path), f"Push from {sender}", f"{says}\n\n{_WEBHOOK}", received, problem
    )
    taken = described["responses"].pop("202")
    answer = table.ANSWERS[format_]
    if answer.body is not None:
        taken = {"description": "Taken."}
        if answer.media_type:
            taken["content"] = {answer.media_type: {"example": msgspec.json.decode(answer.body)}}
    described["responses"] = {str(answer.status): taken, **described["responses"]}
    return described | {"requestBody": {"required": path != gateway.KEEP_ALIVE_PATH, "content": content}}


def _message_content(message: dict[str, Any]) -> dict[str, Any]:
    form = {"schema": {"type": "object", "properties": {"json": {"type": "string"}}}}
    return {bodies.JSON: message, envelopes.XML: {"schema": {"type": "string"}}, envelopes.FORM: form}


def _operation(
    name: str, summary: str, description: str, answer: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    refusals = {
        str(code): {"description": says, "content": {MEDIA_TYPE: {"schema": problem}}}
        for code, says in _PROBLEMS.items()
    }
    taken = {"description": "What became of each item.", "content": {bodies.JSON: {"schema": answer}}}
    return {
        "operationId": name,
        "tags": ["cameras"],
        "summary": summary,
        "description": description,
        "security": [{"cameraKey": []}, {"apiKey": []}, {"basic": []}, {"digest": []}],
        "responses": {"202": taken, **refusals},
    }
