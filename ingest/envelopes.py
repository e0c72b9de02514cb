"""Bodies of webhooks into messages: JSON, XML, or a form of which one part is the message, others pictures. Pure.

Cameras declare their bodies carelessly, so what a body is, is read off its first character. What stands in parts that
are no messages is never looked at, but for one picture: that of the plate alone, which is handed on as it is.
"""

from typing import Any, Final

from ingest.bodies import TooMany, UnsupportedMediaType, is_gzip
from ingest.formats import multipart, payload, xml
from ingest.formats.payload import NotUsable

MAX_MESSAGES: Final = 50
"""Messages that one body may hold: together with the bound on reads in a message, as many as a batch may have."""

JSON: Final = "application/json"
XML: Final = "application/xml"
FORM: Final = "multipart/form-data"

_JSON: Final = frozenset({JSON, "text/json"})
_XML: Final = frozenset({XML, "text/xml"})
_UNSAID: Final = frozenset({"", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"})
_PARTED: Final = frozenset({FORM, "multipart/mixed", "multipart/related"})
_UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})
_MESSAGE_FIELD: Final = "json"
_PLATE_PICTURES: Final = frozenset({"licenseplatepicture.jpg", "licenseplatepicture"})
"""Fields in which Hikvision's cameras send the picture of the plate alone."""

_BOM: Final = b"\xef\xbb\xbf"


class Messages(list[Any]):
    """The messages of a body; `picture` is that of the plate alone, if it came beside the one message of a form."""

    picture: bytes | None = None


def check(content_type: str, content_encoding: str) -> None:
    """Raise UnsupportedMediaType for what no camera sends: another type or charset, or a coding other than gzip."""
    is_gzip(content_encoding)
    kind, _, parameters = content_type.partition(";")
    named = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";"))
    if kind.strip().lower() not in _JSON | _XML | _UNSAID | _PARTED:
        raise UnsupportedMediaType
    if named.get("charset", "").strip('"') not in _UTF8:
        raise UnsupportedMediaType


def messages(body: bytes, content_type: str) -> Messages:
    """Return the messages of a body that `check` has let pass.

    Raises NotUsable if it, or one of its messages, can't be read, TooMany if it holds more than MAX_MESSAGES.
    """
    pictures: list[bytes] = []
    if content_type.partition(";")[0].strip().lower() in _PARTED:
        parts = multipart.loads(body, multipart.boundary(content_type))
        found = [part.body for part in parts if _is_message(part)]
        payload.check_size(*found)
        if not found:
            raise NotUsable("no_message")
        values = [_value(one) for one in found]
        pictures = [part.body for part in parts if part.name in _PLATE_PICTURES]
    else:
        payload.check_size(body)
        value = _value(body)
        values = value if isinstance(value, list) else [value]
    if len(values) > MAX_MESSAGES:
        raise TooMany
    read = Messages(values)
    if len(read) == len(pictures) == 1:
        read.picture = pictures[0]
    return read


def _is_message(part: multipart.Part) -> bool:
    if part.name == _MESSAGE_FIELD or part.media_type in _JSON | _XML:
        return True
    return part.media_type in _UNSAID and _bare(part.body)[:1] in (b"{", b"<")


def _value(body: bytes) -> Any:
    bare = _bare(body)
    return xml.loads(bare) if bare.startswith(b"<") else payload.loads(bare)


def _bare(body: bytes) -> bytes:
    return body.removeprefix(_BOM).lstrip()
