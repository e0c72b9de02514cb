"""Each change that breaks somebody is found, where it is; what only adds is let pass; a new version may break."""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from schemas import asyncapi, compatibility

TOPICS: Final = asyncapi.document("0.1.0")
DETECTION: Final = ("components", "messages", "Detection", "payload")
CAMERA: Final = ("components", "messages", "Camera", "payload")
LETTER: Final = ("components", "messages", "DeadLetter", "payload")

WORD: Final = {
    "type": "object",
    "properties": {
        "value": {"type": "string", "maxLength": 40, "minLength": 1},
        "kind": {"enum": ["make", "model"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "more": {"anyOf": [{"$ref": "#/components/schemas/Word"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["value"],
}
HTTP: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "Words", "version": "0.1.0"},
    "paths": {
        "/v1/words": {
            "post": {
                "parameters": [{"name": "key", "in": "header", "schema": {"type": "string", "maxLength": 9}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Word"}}}},
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Word"}}}},
                    "400": {"description": "no word"},
                },
            },
            "get": {"responses": {"200": {"description": "words"}}},
        }
    },
    "components": {"schemas": {"Word": WORD}},
}
POST: Final = ("paths", "/v1/words", "post")
TAKEN: Final = (*POST, "requestBody", "content", "application/json", "schema")
GIVEN: Final = (*POST, "responses", "200", "content", "application/json", "schema")


def changed(document: Any, place: tuple[Any, ...], change: Any) -> Any:
    """Return a copy in which one value is another, what a function makes of it, or, for `...`, gone."""
    found = copy.deepcopy(document)
    inner = found
    for step in place[:-1]:
        inner = inner[step]
    if change is ...:
        del inner[place[-1]]
    elif callable(change):
        inner[place[-1]] = change(inner[place[-1]])
    else:
        inner[place[-1]] = change
    return found


def without(*names: str) -> Callable[[list[str]], list[str]]:
    return lambda values: [value for value in values if value not in names]


@pytest.mark.parametrize(
    ("place", "change", "broken"),
    [
        (("channels", "sightings"), ..., ["topic sightings: gone"]),
        (("channels", "sightings", "bindings", "kafka", "partitions"), 16, ["another number of partitions"]),
        (("components", "messages", "Sighting", "bindings", "kafka", "key", "description"), "plate", ["another key"]),
        ((*DETECTION, "properties", "region"), ..., ["topic detections/region: gone"]),
        ((*DETECTION, "properties", "owner"), {"type": "integer"}, ["topic detections/owner: no longer string"]),
        ((*DETECTION, "properties", "plate_raw"), {"type": "string"}, ["/plate_raw: no longer null"]),
        ((*DETECTION, "properties", "claimed_at", "format"), "date", ["/claimed_at: another format"]),
        ((*DETECTION, "properties", "candidates", "maxItems"), 5, ["/candidates: maxItems is narrower"]),
        ((*DETECTION, "required"), lambda names: [*names, "lane"], ["topic detections/lane: now required"]),
        ((*DETECTION, "additionalProperties"), False, ["topic detections: no other members any more"]),
        (("components", "schemas", "Candidate", "required"), ["plate", "confidence", "seen"], ["/seen: now required"]),
        (("components", "schemas", "Candidate", "properties", "plate"), ..., ["candidates/*/plate: gone"]),
        ((*CAMERA, "properties", "clock_use", "enum"), without("offset"), ["cameras/clock_use: fewer values"]),
        ((*LETTER, "properties", "reason", "enum"), without("poisoned"), ["dead-letters/reason: fewer values"]),
    ],
)
def test_a_break_of_a_topic_is_found(place: tuple[str, ...], change: Any, broken: list[str]) -> None:
    found = compatibility.of_topics(TOPICS, changed(TOPICS, place, change))
    assert found
    assert all(any(text in one for one in found) for text in broken)


def test_a_break_is_found_wherever_the_shape_is_used() -> None:
    """A dead letter holds a detection."""
    place = ("components", "schemas", "Candidate", "properties", "confidence")
    users = ("detections/candidates/*", "sightings/candidates/*", "dead-letters/detection/candidates/*")
    found = compatibility.of_topics(TOPICS, changed(TOPICS, place, ...))
    assert set(found) >= {f"topic {name}/confidence: gone" for name in users}


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("channels", "hits"), TOPICS["channels"]["sightings"]),
        (("channels", "detections", "description"), "something else"),
        (("channels", "detections", "bindings", "kafka", "topicConfiguration", "retention.ms"), 1),
        ((*DETECTION, "properties", "weather"), {"type": "string"}),
        ((*DETECTION, "required"), without("owner")),
        ((*DETECTION, "properties", "owner"), {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ((*DETECTION, "properties", "lane"), {"type": ["number", "null"]}),
        ((*LETTER, "properties", "reason", "enum"), lambda values: [*values, "conflicting_resend"]),
    ],
)
def test_an_addition_to_a_topic_is_let_pass(place: tuple[str, ...], change: Any) -> None:
    assert compatibility.of_topics(TOPICS, changed(TOPICS, place, change)) == []


def test_a_new_version_of_a_shape_may_break() -> None:
    broken = changed(TOPICS, (*DETECTION, "properties", "owner"), ...)
    assert compatibility.of_topics(TOPICS, broken) != []
    later = changed(broken, (*DETECTION, "properties", "v", "const"), 2)
    assert [one for one in compatibility.of_topics(TOPICS, later) if one.startswith("topic detections")] == []


@pytest.mark.parametrize(
    ("place", "change", "broken"),
    [
        (("paths", "/v1/words"), ..., ["GET /v1/words: gone", "POST /v1/words: gone"]),
        (("paths", "/v1/words", "get"), ..., ["GET /v1/words: gone"]),
        ((*POST, "responses", "400"), ..., ["POST /v1/words 400: gone"]),
        ((*POST, "responses", "200", "content"), {}, ["POST /v1/words 200 application/json: gone"]),
        ((*POST, "requestBody", "content"), {}, ["POST /v1/words body application/json: gone"]),
        ((*POST, "requestBody", "required"), True, ["POST /v1/words body: now required"]),
        ((*POST, "parameters"), [], ["POST /v1/words header key: gone"]),
        ((*POST, "parameters", 0, "required"), True, ["POST /v1/words header key: now required"]),
        ((*POST, "parameters", 0, "schema", "maxLength"), 8, ["header key: maxLength is narrower"]),
        (
            (*POST, "parameters"),
            lambda old: [*old, {"name": "new", "in": "query", "required": True}],
            ["POST /v1/words query new: now required"],
        ),
        ((*TAKEN, "required"), ["value", "kind"], ["body application/json/kind: now required"]),
        ((*TAKEN, "properties", "value", "maxLength"), 39, ["body application/json/value: maxLength is narrower"]),
        ((*TAKEN, "properties", "value", "minLength"), 2, ["body application/json/value: minLength is narrower"]),
        ((*TAKEN, "properties", "value", "pattern"), "^a", ["body application/json/value: another pattern"]),
        ((*TAKEN, "properties", "kind", "enum"), ["make"], ["body application/json/kind: fewer values"]),
        ((*TAKEN, "properties", "kind"), {"const": "make"}, ["body application/json/kind: fewer values"]),
        ((*TAKEN, "properties", "count"), {"type": "string"}, ["body application/json/count: no longer integer"]),
        ((*TAKEN, "properties", "list", "items"), {"type": "number"}, ["body application/json/list/*: no longer str"]),
        ((*TAKEN, "properties", "more"), {"type": "null"}, ["body application/json/more: no longer object"]),
        ((*GIVEN, "required"), [], ["200 application/json/value: no longer always there"]),
        ((*GIVEN, "properties", "value"), ..., ["200 application/json/value: gone"]),
        ((*GIVEN, "properties", "count", "type"), "number", ["count: no longer integer", "count: now number too"]),
        ((*GIVEN, "properties", "value"), {"type": ["string", "null"]}, ["200 application/json/value: now null too"]),
        ((*GIVEN, "properties", "value"), {}, ["200 application/json/value: no longer of a known type"]),
    ],
)
def test_a_break_of_a_route_is_found(place: tuple[Any, ...], change: Any, broken: list[str]) -> None:
    start = _in_place()
    found = compatibility.of_http(start, changed(start, place, change))
    assert [one for text in broken for one in found if text in one] == found


def _in_place() -> Any:
    """Return the document with the shape written out where it is used, so that each use can change by itself."""
    return changed(changed(HTTP, TAKEN, copy.deepcopy(WORD)), GIVEN, copy.deepcopy(WORD))


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("paths", "/v1/more"), {"get": {"responses": {}}}),
        ((*POST, "summary"), "another"),
        ((*POST, "responses", "429"), {"description": "slow down"}),
        ((*POST, "parameters"), lambda old: [*old, {"name": "new", "in": "query"}]),
        ((*TAKEN, "properties", "new"), {"type": "string"}),
        ((*TAKEN, "required"), []),
        ((*TAKEN, "properties", "value", "maxLength"), 41),
        ((*TAKEN, "properties", "kind", "enum"), ["make", "model", "body"]),
        ((*TAKEN, "properties", "count"), {"type": "number"}),
        ((*GIVEN, "properties", "new"), {"type": "string"}),
        ((*GIVEN, "required"), ["value", "kind"]),
        ((*GIVEN, "properties", "kind", "enum"), ["make", "model", "body"]),
    ],
)
def test_an_addition_to_a_route_is_let_pass(place: tuple[Any, ...], change: Any) -> None:
    start = _in_place()
    if place[-1] == "count":
        start = changed(start, place, {"type": "integer"})
    assert compatibility.of_http(start, changed(start, place, change)) == []


def test_a_shape_that_holds_itself_is_compared_to_its_end() -> None:
    assert compatibility.of_http(HTTP, HTTP) == []
    gone = changed(HTTP, ("components", "schemas", "Word", "properties", "count"), ...)
    assert compatibility.of_http(HTTP, gone) == [
        "POST /v1/words body application/json/count: gone",
        "POST /v1/words 200 application/json/count: gone",
    ]


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [("0.1.0", "0.1.9", False), ("0.1.0", "0.2.0", True), ("1.2.0", "1.3.0", False), ("1.2.0", "2.0.0", True)],
)
def test_a_new_version_of_an_interface_may_break(before: str, after: str, may: bool) -> None:
    older = changed(HTTP, ("info", "version"), before)
    newer = changed(changed(HTTP, ("info", "version"), after), ("paths", "/v1/words"), ...)
    assert (compatibility.of_http(older, newer) == []) is may
