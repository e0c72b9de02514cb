"""Request bodies: strict JSON into values, with every flaw told at once and none of the input in it.

A decoder stops at the first thing it dislikes and quotes it. Here each member is converted by itself, so that one
answer names all that has to be mended, in words of ours.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from search.errors import Flaw, Invalid, TooLarge

MAX_BODY_BYTES: Final = 64 * 1024
"""Longest body of a question or change. The longest legal question has under 8 kB."""

_MISSING: Final = "This member is required. "


def load(body: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259).

    Raises TooLarge, and Invalid for what is not JSON: NaN and infinities, bytes that are no UTF-8, halves of surrogate
    pairs; for an object that names a member twice (readers disagree about which one counts, and a log must not say one
    thing while the index is asked another); and for nesting that no question needs.
    """
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"A body here has at most {MAX_BODY_BYTES} bytes.")
    try:
        value = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise Invalid(Flaw(pointer="", detail="The JSON is nested too deeply.")) from None
    except (msgspec.DecodeError, ValueError):
        raise Invalid(Flaw(pointer="", detail="The body is not valid JSON (RFC 8259) in UTF-8.")) from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Invalid(Flaw(pointer="", detail="An object of the body names a member twice. Name each once."))


def examine(
    value: Any, shape: type[msgspec.Struct], helps: Mapping[str, str], pointer: str = ""
) -> tuple[dict[str, Any], list[Flaw]]:
    """Hold a JSON value to a shape: return what fits as pointer -> value, and a flaw for whatever does not.

    `helps` says at each pointer what is expected there. Absent optional members are in neither.
    """
    if not isinstance(value, dict):
        return {}, [Flaw(pointer=pointer, detail=helps.get(pointer, "A JSON object is expected here."))]
    fields = _fields(shape)
    found: dict[str, Any] = {}
    flaws: list[Flaw] = []
    if not value.keys() <= fields.keys():
        flaws.append(
            Flaw(pointer=pointer, detail=f"There are members that mean nothing here; known are: {', '.join(fields)}.")
        )
    for name, field in fields.items():
        here = f"{pointer}/{name}"
        if name not in value:
            if field.required:
                flaws.append(Flaw(pointer=here, detail=_MISSING + helps.get(here, "")))
            continue
        inner_found, inner_flaws = _member(value[name], field.type, helps, here)
        found.update(inner_found)
        flaws.extend(inner_flaws)
    return found, flaws


@cache
def _fields(shape: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(shape)}


def _member(value: Any, shape: Any, helps: Mapping[str, str], here: str) -> tuple[dict[str, Any], list[Flaw]]:
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return examine(value, shape, helps, here)
    try:
        return {here: msgspec.convert(value, shape)}, []
    except (msgspec.ValidationError, ValueError):
        return {}, [Flaw(pointer=here, detail=helps.get(here, "This value is not of the documented type."))]
