"""What breaks whoever relies on a document of shapes: an older AsyncAPI or OpenAPI document against a newer one.

A reader of ours must take what was written to the older document, and a caller must get along with our answers: so a
member, route, status or media type that is gone breaks, and so do another type, a list of values or a bound that
became narrower, and a member that became required (of what is sent to us) or optional (of what we answer). Members,
routes and values that are new do not.

A new version is the way out: of a shape in a topic, its `v`; of an HTTP interface, a major version of the document
(before 1.0.0 a minor one).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

Json = Mapping[str, Any]

Direction = Literal["taken", "given"]
"""Whether values of a shape come to us, or from us."""

METHODS: Final = ("get", "put", "post", "patch", "delete")

_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def of_topics(older: Json, newer: Json) -> list[str]:
    """Return what a newer AsyncAPI document breaks, as texts that name the place."""
    found = []
    for name, channel in older["channels"].items():
        if name not in newer["channels"]:
            found.append(f"topic {name}: gone")
            continue
        found += _of_topic(f"topic {name}", older, channel, newer, newer["channels"][name])
    return found


def _of_topic(at: str, older: Json, before: Json, newer: Json, after: Json) -> list[str]:
    was, now = _payload(older, before), _payload(newer, after)
    version, later = (one["properties"]["v"]["const"] for one in (was, now))
    if later > version:
        return []  # a reader still takes every version that the topic's file lists, and golden messages show that
    found = [f"{at}: another key"] if _key(older, before) != _key(newer, after) else []
    # A change of the number moves keys to other partitions, out of their order.
    kafka = [one["bindings"]["kafka"]["partitions"] for one in (before, after)]
    found += [f"{at}: another number of partitions"] if kafka[0] != kafka[1] else []
    return found + list(_Shapes(older, newer, "taken").breaks(was, now, at))


def _message(document: Json, channel: Json) -> Json:
    [message] = channel["messages"].values()
    return _resolved(document, message)


def _payload(document: Json, channel: Json) -> Json:
    return _resolved(document, _message(document, channel)["payload"])


def _key(document: Json, channel: Json) -> str:
    return str(_message(document, channel)["bindings"]["kafka"]["key"]["description"])


def of_http(older: Json, newer: Json) -> list[str]:
    """Return what a newer OpenAPI document breaks, as texts that name the place; nothing under a new version."""
    if _generation(newer) > _generation(older):
        return []
    return [
        broken
        for path, item in older["paths"].items()
        for method in METHODS
        if method in item
        for broken in _of_operation(
            f"{method.upper()} {path}", older, newer, item[method], _operation(newer, path, method)
        )
    ]


def _generation(document: Json) -> tuple[int, int]:
    major, minor, *_ = (int(part) for part in document["info"]["version"].split("."))
    return (major, 0) if major else (0, minor)


def _operation(document: Json, path: str, method: str) -> Json | None:
    found: Json | None = document["paths"].get(path, {}).get(method)
    return found


def _of_operation(at: str, older: Json, newer: Json, before: Json, after: Json | None) -> Iterator[str]:
    if after is None:
        yield f"{at}: gone"
        return
    yield from _of_parameters(at, older, newer, before, after)
    yield from _of_body(at, older, newer, before, after)
    answered = after["responses"]
    for status, answer in before["responses"].items():
        if status not in answered:
            yield f"{at} {status}: gone"
            continue
        yield from _of_content(f"{at} {status}", _Shapes(older, newer, "given"), answer, answered[status])


def _of_parameters(at: str, older: Json, newer: Json, before: Json, after: Json) -> Iterator[str]:
    was = {(one["in"], one["name"].lower()): one for one in before.get("parameters", ())}
    now = {(one["in"], one["name"].lower()): one for one in after.get("parameters", ())}
    shapes = _Shapes(older, newer, "taken")
    for key, one in now.items():
        if one.get("required") and not was.get(key, {}).get("required"):
            yield f"{at} {key[0]} {key[1]}: now required"
    for key, one in was.items():
        if key not in now:
            yield f"{at} {key[0]} {key[1]}: gone"
        else:
            yield from shapes.breaks(one.get("schema", {}), now[key].get("schema", {}), f"{at} {key[0]} {key[1]}")


def _of_body(at: str, older: Json, newer: Json, before: Json, after: Json) -> Iterator[str]:
    was, now = before.get("requestBody"), after.get("requestBody")
    if now is not None and now.get("required") and not (was or {}).get("required"):
        yield f"{at} body: now required"
    if was is not None:
        yield from _of_content(f"{at} body", _Shapes(older, newer, "taken"), was, now or {})


def _of_content(at: str, shapes: "_Shapes", before: Json, after: Json) -> Iterator[str]:
    now = after.get("content", {})
    for media_type, content in before.get("content", {}).items():
        if media_type not in now:
            yield f"{at} {media_type}: gone"
        else:
            yield from shapes.breaks(content.get("schema", {}), now[media_type].get("schema", {}), f"{at} {media_type}")


class _Shapes:
    """Two documents' JSON Schemas, compared."""

    def __init__(self, older: Json, newer: Json, direction: Direction) -> None:
        self._older, self._newer, self._direction = older, newer, direction
        self._compared: set[tuple[int, int]] = set()

    def breaks(self, was: Json, now: Json, at: str) -> Iterator[str]:
        """Yield what a newer schema breaks of an older one."""
        older, newer = _alternatives(self._older, was), _alternatives(self._newer, now)
        if not newer and older and self._direction == "given":
            yield f"{at}: no longer of a known type"
        if newer and not older and self._direction == "taken":
            yield f"{at}: no longer of any type"
        if not newer or not older:
            return
        for kind, one in older.items():
            if kind in newer:
                yield from self._within(kind, one, newer[kind], at)
            elif not (kind == "integer" and "number" in newer and self._direction == "taken"):
                yield f"{at}: no longer {kind}"
        if self._direction == "given":
            yield from (f"{at}: now {kind} too" for kind in newer if kind not in older)

    def _within(self, kind: str, was: Json, now: Json, at: str) -> Iterator[str]:
        yield from _narrower(was, now, at)
        if kind.startswith("object"):
            yield from self._members(was, now, at)
        elif kind == "array" and "items" in now:
            yield from self.breaks(was.get("items", {}), now["items"], f"{at}/*")

    def _members(self, was: Json, now: Json, at: str) -> Iterator[str]:
        """Compare the members of two objects; of the same two but once, since shapes may hold themselves."""
        if (id(was), id(now)) in self._compared:
            return
        self._compared.add((id(was), id(now)))
        before, after = was.get("properties", {}), now.get("properties", {})
        required, since = set(was.get("required", ())), set(now.get("required", ()))
        if self._direction == "taken":
            yield from (f"{at}/{name}: now required" for name in sorted(since - required))
        else:
            yield from (f"{at}/{name}: no longer always there" for name in sorted((required - since) & after.keys()))
        if was.get("additionalProperties") is not False and now.get("additionalProperties") is False:
            yield f"{at}: no other members any more"
        for name, schema in before.items():
            if name not in after:
                yield f"{at}/{name}: gone"
            else:
                yield from self.breaks(schema, after[name], f"{at}/{name}")


def _narrower(was: Json, now: Json, at: str) -> Iterator[str]:
    """Yield the bounds and lists of values that became narrower."""
    allowed = _values(now)
    if allowed is not None:
        before = _values(was)
        lost = [value for value in before or () if value not in allowed]
        if before is None or lost:
            yield f"{at}: fewer values"
    for bound in (*_UPPER, *_LOWER):
        if bound in now and (bound not in was or _is_narrower(bound, was[bound], now[bound])):
            yield f"{at}: {bound} is narrower"
    for rule in ("pattern", "format", "multipleOf"):
        if rule in now and was.get(rule) != now[rule]:
            yield f"{at}: another {rule}"


def _is_narrower(bound: str, was: float, now: float) -> bool:
    return now < was if bound in _UPPER else now > was


def _values(schema: Json) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def _alternatives(document: Json, schema: Json) -> dict[str, Json]:
    """Return the alternatives of a schema by their type; objects that are told apart by nothing but a name by that."""
    schema = _resolved(document, schema)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        found: dict[str, Json] = {}
        for choice in choices:
            for kind, one in _alternatives(document, choice).items():
                found[kind if kind not in found else f"{kind} {one.get('title', len(found))}"] = one
        return found
    kinds = schema.get("type", _type_of_values(schema))
    return dict.fromkeys([kinds] if isinstance(kinds, str) else kinds or (), schema)


def _type_of_values(schema: Json) -> list[str]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return sorted({names[type(value)] for value in _values(schema) or ()})


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema
