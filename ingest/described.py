"""The gateway's routes as OpenAPI 3.1: what camera operators read."""

from typing import Any, Final

import msgspec

from ingest import bodies, gateway
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
One detection, a JSON array of them, or one a line ({bodies.NDJSON}).

202 means that the broker has every item whose status is `accepted`, durably. An item that can't be used is `rejected`
with its reason, and the others are taken; if none can be used the answer is 422. A read that is older than its owner
may keep is `dropped`, without a trace. One that lies more than five minutes ahead is `rejected` (`clock_future`) and
kept aside for the operator.

After a 503, or no answer, send all of it again: an item has the same id each time, and is indexed once.
""".strip()

_PUSH_OPENALPR: Final = """
The webhook of an OpenALPR or Rekor agent; put the camera's key into its `Authorization` header.

`alpr_group` is taken. Previews (`is_preview`), and for now `alpr_results`, `alpr_alert`, `vehicle` and `heartbeat`,
are answered with 202 and `dropped`, so that the agent does not send them again. Pictures and `vehicle_signature` are
not looked at.
""".strip()

_PROBLEMS: Final = {
    400: "The body is not JSON, has one key twice in an object, or is nested too deeply.",
    401: "No valid camera key.",
    403: "The camera is retired.",
    408: "The body took too long.",
    413: "The body, or the number of its items, is over the limit.",
    415: "Another media type, charset or encoding than is taken.",
    422: "No item could be used: `errors` says why, by `index` and `pointer`.",
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
    group = {"type": "object", "description": "As the agent sends it."}
    paths[gateway.OPENALPR_PATH] = {
        "post": _operation("push_openalpr", "Push from an OpenALPR agent", _PUSH_OPENALPR, received, problem)
        | {
            "requestBody": {
                "required": True,
                "content": {bodies.JSON: {"schema": group, "example": _OPENALPR_EXAMPLE}},
            }
        }
    }


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
        "security": [{"cameraKey": []}],
        "responses": {"202": taken, **refusals},
    }
