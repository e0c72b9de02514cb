"""Bytes -> the same plain values that JSON gives, from XML: Hikvision's cameras send it.

An element with children is a dict by the children's local names, one without is its text, or None if it is empty;
where a name comes more than once its values are a list. Attributes and namespaces are left out. There is no DTD, so no
entity and nothing external: defusedxml refuses them before anything is expanded. Depth and number of elements are
bounded while the bytes are read, not afterwards.
"""

import re
from typing import Any, Final, cast
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from ingest.formats.payload import MAX_DEPTH, NotUsable

MAX_BYTES: Final = 256 * 1024
"""A camera's message has a few thousand; its pictures come beside it. A million attributes would take seconds."""

MAX_ELEMENTS: Final = 5_000
"""A camera's message has about a hundred."""

_CHARSETS: Final = frozenset({b"utf-8", b"utf8", b"us-ascii"})
_DECLARED: Final = re.compile(rb"""\A(?:\xef\xbb\xbf)?\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([^"']{0,40})["']""")


def loads(data: bytes) -> dict[str, Any]:
    """Return an XML document as {name of its root: content}.

    Raises NotUsable: not_xml, wrong_charset, too_deep or too_large.
    """
    if len(data) > MAX_BYTES:
        raise NotUsable("too_large")
    declared = _DECLARED.match(data)
    if declared is not None and declared[1].lower() not in _CHARSETS:
        raise NotUsable("wrong_charset")
    if b"\0" in data:  # UTF-16 and UTF-32, which a byte order mark would switch the parser to
        raise NotUsable("wrong_charset")
    parser = DefusedXMLParser(target=_Values(), encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(data)
        return cast("dict[str, Any]", parser.close())
    except (ParseError, DefusedXmlException):
        raise NotUsable("not_xml") from None


class _Values:
    """What the parser tells of a document, made into values. The methods' names are ElementTree's."""

    def __init__(self) -> None:
        self._above: list[dict[str, Any]] = []
        self._here: dict[str, Any] = {}
        self._text: list[str] = []
        self._elements = 0

    def start(self, _tag: str, _attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._above) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise NotUsable("too_deep")
        self._above.append(self._here)
        self._here = {}
        self._text = []

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        value = self._here or "".join(self._text).strip() or None
        self._text = []
        self._here = self._above.pop()
        name = tag.rpartition("}")[2]
        if name not in self._here:
            self._here[name] = value
        elif isinstance(self._here[name], list):
            self._here[name].append(value)
        else:
            self._here[name] = [self._here[name], value]

    def close(self) -> dict[str, Any]:
        return self._here
