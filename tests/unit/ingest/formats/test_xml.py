"""XML: what it becomes, and what is refused before it costs anything."""

import tracemalloc
from typing import Any

import pytest

from ingest.formats.payload import NotUsable
from ingest.formats.xml import MAX_BYTES, loads


def refused(data: bytes) -> str:
    with pytest.raises(NotUsable) as caught:
        loads(data)
    assert caught.value.__cause__ is None
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"<a/>", {"a": None}),
        (b"<a> x </a>", {"a": "x"}),
        (b'<a x="dropped"><b y="too">1</b></a>', {"a": {"b": "1"}}),
        (b"<a><b>1</b><b>2</b><b/></a>", {"a": {"b": ["1", "2", None]}}),
        (b'<n:a xmlns:n="urn:x"><n:b>1</n:b></n:a>', {"a": {"b": "1"}}),
        (b"<a>lost<b>1</b>lost</a>", {"a": {"b": "1"}}),
        (b"<a><![CDATA[<b>]]>&amp;</a>", {"a": "<b>&"}),
        (b"<a><!-- no --><?pi no?><b>1</b></a>", {"a": {"b": "1"}}),
        ('\ufeff<?xml version="1.0" encoding="UTF-8"?><a>é</a>'.encode(), {"a": "é"}),
        (b"<?xml version='1.0' encoding='us-ascii'?><a/>", {"a": None}),
    ],
)
def test_values(data: bytes, value: Any) -> None:
    assert loads(data) == value


LOL = b'<!DOCTYPE l [<!ENTITY a "lollollol">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(20)
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (LOL + b"]><l>&u;</l>", "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/p"> %p;]><a/>', "not_xml"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>', "not_xml"),
        (b"<!DOCTYPE a><a/>", "not_xml"),
        (b"<a>&x;</a>", "not_xml"),
        (b"", "not_xml"),
        (b"<a>", "not_xml"),
        (b"<a/><b/>", "not_xml"),
        (b"<a>\xff</a>", "not_xml"),
        (b"<a>" * 80_000, "too_deep"),
        (b"<a>" * 33 + b"</a>" * 33, "too_deep"),
        (b"<a>" + b"<b/>" * 60_000 + b"</a>", "too_deep"),
        (b"<a>" * 2_000_000, "too_large"),
        (b"<a>" + b" " * MAX_BYTES + b"</a>", "too_large"),
        (b'<?xml version="1.0" encoding="GB2312"?><a/>', "wrong_charset"),
        (b'<?xml version="1.0" encoding="utf-16"?><a/>', "wrong_charset"),
        ('<?xml version="1.0"?><a/>'.encode("utf-16"), "wrong_charset"),
        ("<a/>".encode("utf-16-le"), "wrong_charset"),
        ("<a/>".encode("utf-32"), "wrong_charset"),
        (b"<a>+ADw-</a>\0", "wrong_charset"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    assert refused(data) == reason


@pytest.mark.parametrize(
    "data", [LOL + b"]><l>&u;</l>", b"<a>" * 80_000, b"<a>" + b"<b/>" * 60_000 + b"</a>", b"<a>" * 2_000_000]
)
def test_a_bomb_costs_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
