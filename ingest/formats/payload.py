"""Bytes -> JSON values, strictly: UTF-8, no NaN, no infinite number, no key twice in one object, no deep nesting.

A second value under one key is refused because readers differ in which of the two they take: what one component
checked would not be what the next one stores.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

import orjson

MAX_DEPTH: Final = 32

MAX_MARKS: Final = 600_000
"""Commas, colons and opening brackets that a body may hold, in texts too: at least as many as values and names.

A value takes up to fifty times the bytes of its text, so a body of the largest size could take a third of a gigabyte. A
batch of 5,000 detections with every field and ten candidates each has half a million.
"""

Fault = Literal[
    "not_json",
    "duplicate_key",
    "too_deep",
    "too_large",
    "not_xml",
    "wrong_charset",
    "not_multipart",
    "too_many_parts",
    "no_message",
    "not_gzip",
]

_SPACED_COLON: Final = re.compile(rb'"[ \t\r\n]+:')


class NotUsable(Exception):
    """The bytes are no JSON, XML or multipart body as we take it. Quotes none of them."""

    def __init__(self, reason: Fault) -> None:
        """Know the reason."""
        super().__init__(reason)
        self.reason: Fault = reason


def check_size(*data: bytes) -> None:
    """Raise NotUsable (too_large) if pieces of JSON hold far more values than cameras send, before they are read."""
    if sum(piece.count(mark) for piece in data for mark in (b",", b":", b"[", b"{")) > MAX_MARKS:
        raise NotUsable("too_large")


def loads(data: bytes) -> Any:
    """Return the JSON value of some bytes. Raises NotUsable."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NotUsable("not_json") from None
    # Each member's name is a string that a colon follows; a string's content can look like that too. So as many such
    # colons as members in the decoded value means that no member was lost; more means that it must be looked into.
    if _members(value) != data.count(b'":') + len(_SPACED_COLON.findall(data)):
        _look_for_duplicates(data)
    return value


def _members(value: Any) -> int:
    """Count the members of all objects in a value. Raises NotUsable if it is nested too deeply."""
    members = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:  # of every item of every batch: no comprehension, whose call costs more than its loop
            if type(node) is dict:
                members += len(node)
                inner: Iterable[Any] = node.values()
            else:
                inner = node if type(node) is list else ()
            for item in inner:
                kind = type(item)
                if kind is dict or kind is list:
                    below.append(item)
        if not below:
            return members
        level = below
    raise NotUsable("too_deep")


def _look_for_duplicates(data: bytes) -> None:
    json.loads(data, object_pairs_hook=_unique, parse_int=_no_number)


def _no_number(_: str) -> None:
    """Stand in for int(), which refuses numbers of more than 4,300 digits; the value is not used."""


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise NotUsable("duplicate_key")
