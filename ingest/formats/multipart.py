"""Bytes -> parts, of multipart bodies (RFC 2046, RFC 7578): messages that cameras send together with pictures.

Only what says which part is the message is kept of a part's headers. Names and number of parts, and the length of
their headers, are bounded: the body itself was bounded before it got here.
"""

import re
from typing import Final

import msgspec

from ingest.formats.payload import NotUsable

MAX_PARTS: Final = 32
MAX_HEADER_BYTES: Final = 4096

_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb""";\s*([a-z*-]{1,16})\s*=\s*(?:"([^"]*)"|([^\s;"]*))""", re.IGNORECASE)
_MAX_NAME: Final = 64


class Part(msgspec.Struct, frozen=True):
    """One part: the field's name and the media type as declared, in lower case, empty if there is none; the bytes."""

    name: str
    media_type: str
    body: bytes


def boundary(content_type: str) -> bytes:
    """Return the boundary that a Content-Type states. Raises NotUsable (not_multipart) if it states none."""
    found = _BOUNDARY.search(content_type)
    if found is None or not content_type.isascii():
        raise NotUsable("not_multipart")
    return (found[1] or found[2]).encode()


def loads(data: bytes, mark: bytes) -> list[Part]:
    """Return a body's parts. Raises NotUsable: not_multipart, or too_many_parts.

    The last delimiter may be missing: some cameras leave it out.
    """
    delimiter = b"--" + mark
    if not data.startswith(delimiter):
        at = data.find(b"\r\n" + delimiter, 0, MAX_HEADER_BYTES)
        if at < 0:
            raise NotUsable("not_multipart")
        data = data[at + 2 :]
    pieces = data[len(delimiter) :].split(b"\r\n" + delimiter, MAX_PARTS + 1)
    parts: list[Part] = []
    for piece in pieces:
        if piece.startswith(b"--"):
            return parts
        if len(parts) == MAX_PARTS:
            raise NotUsable("too_many_parts")
        parts.append(_part(piece))
    return parts


def _part(piece: bytes) -> Part:
    padding, _, rest = piece.partition(b"\r\n")
    if padding.strip(b" \t"):
        raise NotUsable("not_multipart")
    if rest.startswith(b"\r\n"):
        return Part("", "", rest[2:])
    end = rest.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise NotUsable("not_multipart")
    name, media_type = "", ""
    for line in rest[:end].split(b"\r\n"):
        field, _, value = line.partition(b":")
        if field.strip().lower() == b"content-disposition":
            name = _name(value)
        elif field.strip().lower() == b"content-type":
            media_type = value.partition(b";")[0].strip().lower().decode("ascii", "replace")
    return Part(name, media_type, rest[end + 4 :])


def _name(disposition: bytes) -> str:
    """Return the field's name. What looks like one inside another parameter, such as a file's name, is none."""
    names = (found[2] or found[3] or b"" for found in _PARAMETER.finditer(disposition) if found[1].lower() == b"name")
    name = next(names, b"")
    return name.decode("utf-8", "replace").lower() if len(name) <= _MAX_NAME else ""
