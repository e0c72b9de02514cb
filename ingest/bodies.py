"""Bodies of requests into payloads: what a media type promises, and the items that are in the bytes. Pure."""

from typing import Any, Final

from ingest.errors import Refuse
from ingest.formats.payload import NotUsable, check_size, loads

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_LINES: Final = frozenset({NDJSON, "application/ndjson"})
_UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})
_GZIP: Final = frozenset({"gzip", "x-gzip"})


class UnsupportedMediaType(Refuse):
    """The body is declared as something that is not taken here."""


class TooMany(Refuse):
    """The body holds more items than one request may."""


def media_type(content_type: str, content_encoding: str, *, lines: bool) -> str:
    """Return JSON or NDJSON, as declared; a body of undeclared type is JSON.

    Raises UnsupportedMediaType for any other type, for a charset other than UTF-8 (RFC 8259), for a coding other than
    gzip, and for NDJSON where `lines` is false.
    """
    is_gzip(content_encoding)
    declared, _, parameters = content_type.partition(";")
    kind = declared.strip().lower()
    named = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";"))
    if named.get("charset", "").strip('"') not in _UTF8:
        raise UnsupportedMediaType
    if kind in ("", JSON):
        return JSON
    if kind in _LINES and lines:
        return NDJSON
    raise UnsupportedMediaType


def is_gzip(content_encoding: str) -> bool:
    """Tell whether a body comes as gzip or as it is. Raises UnsupportedMediaType for any other coding, and for two."""
    coding = content_encoding.strip().lower()
    if coding not in ("", "identity") and coding not in _GZIP:
        raise UnsupportedMediaType
    return coding in _GZIP


def payloads(body: bytes, kind: str, limit: int) -> list[Any | NotUsable]:
    """Return the items of a body: an array's elements, or the one value; or one for each line that is not blank.

    A line of NDJSON that can't be used stands as its NotUsable. Raises NotUsable if a JSON body as a whole can't be
    used, TooMany if it holds more than `limit` items.
    """
    check_size(body)
    if kind == JSON:
        value = loads(body)
        items = value if isinstance(value, list) else [value]
    else:
        if body.count(b"\n") > 2 * limit:
            raise TooMany
        items = [_line(line) for line in body.split(b"\n") if line.strip()]
    if len(items) > limit:
        raise TooMany
    return items


def _line(line: bytes) -> Any | NotUsable:
    try:
        return loads(line)
    except NotUsable as error:
        return error
