"""Bodies that nobody sends in good faith: refused before they cost much. What is bounded is memory, not time.

The bound of each is stated: a few times its own size, far under what its values would take.
"""

import asyncio
import functools
import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

import pytest

from ingest.formats import table
from ingest.formats.payload import MAX_MARKS, check_size
from ingest.gateway import DETECTIONS_PATH, WEBHOOKS
from schemas.detections import MAX_CANDIDATES
from tests.support.gateways import pushing
from tests.unit.ingest.test_webhooks import HIKVISION, JSON, PROBLEM

BODY: Final = 2 * 1024 * 1024
MEGABYTE: Final = 1_000_000
FORM: Final = "multipart/form-data; boundary=x"
XML: Final = "text/xml"
LINES: Final = "application/x-ndjson"
OPENALPR: Final = "/v1/webhooks/openalpr"
PLATE: Final = "/v1/webhooks/platerecognizer"
EVERY: Final = sorted({*WEBHOOKS, DETECTIONS_PATH})

JSON_PARSER_BYTES: Final = 14
"""For each byte of text orjson takes so many while it reads, whatever is in it, most of them never touched."""


def filled(unit: bytes, head: bytes = b"[", tail: bytes = b"0]", size: int = BODY) -> bytes:
    """Return a body of a unit again and again."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def pushed(path: str, body: bytes, content_type: str, **headers: str) -> tuple[int, str, int]:
    """Push a body; return status, media type and the most memory (bytes) that was held besides the body."""

    async def push() -> tuple[int, str, int]:
        async with pushing(body_bytes=BODY) as camera:
            request = camera.client.build_request(
                "POST", path, content=body, headers={"Content-Type": content_type, **headers}
            )
            tracemalloc.start()
            try:
                answer = await camera.client.send(request)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert camera.publisher.records == {}
            assert b"QQ7CANARY" not in answer.content
            return answer.status_code, answer.headers["content-type"], peak

    return asyncio.run(push())


BLOWN_UP: Final = {
    "lists": b"[],",
    "objects": b"{},",
    "members": b'{"a":1},',
    "numbers": b"7,",
    "fractions": b"1.5,",
    "texts": b'"ab",',
    "deep": b"[[[[[[]]]]]],",
    "candidates": b'{"plate":"A","confidence":1},',
}


@pytest.mark.parametrize("path", [DETECTIONS_PATH, OPENALPR])
@pytest.mark.parametrize("name", BLOWN_UP)
def test_many_small_values_are_refused_before_they_are_made(path: str, name: str) -> None:
    body = filled(BLOWN_UP[name], b'{"data_type":"alpr_group","candidates":[', b"0]}")
    status, media_type, peak = pushed(path, body, JSON)
    too_many = sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > MAX_MARKS
    assert (status, media_type) == (400 if too_many else 422, PROBLEM)
    assert peak < len(body) * (3 if too_many else JSON_PARSER_BYTES + 24)


def test_many_small_values_in_lines_are_refused_before_they_are_made() -> None:
    line = b"[" + b"[]," * 500 + b"0]\n"
    status, media_type, peak = pushed(DETECTIONS_PATH, line * (BODY // len(line)), LINES)
    assert (status, media_type) == (400, PROBLEM)
    assert peak < 3 * BODY


def test_many_small_values_in_many_parts_are_refused_before_they_are_made() -> None:
    part = b"\r\nContent-Type: application/json\r\n\r\n[" + b"[]," * 20_000 + b"0]\r\n--x"
    body = b"--x" + part * (BODY // len(part))
    status, media_type, peak = pushed(PLATE, body + b"--", FORM)
    assert (status, media_type) == (400, PROBLEM)
    assert peak < 6 * BODY


def test_the_largest_batch_that_may_come_is_not_refused_for_its_size() -> None:
    """5,000 detections, each with every field and as many candidates as are kept."""
    item: dict[str, Any] = {
        "captured_at": "2026-03-01T14:05:09.250-05:00",
        "plate": "ABC 1234",
        "plate_confidence": 0.94,
        "region": "us-ma",
        "region_confidence": 0.5,
        "key": "k",
        "candidates": [{"plate": f"ABC 123{number}", "confidence": 0.1} for number in range(MAX_CANDIDATES)],
        **{word: {"value": "x", "confidence": 0.5} for word in ("make", "model", "colour", "body")},
        "lane": 2,
        "heading_deg": 20.5,
        "position": {"latitude": 1.5, "longitude": 2.5},
        "camera_id": "cam-1",
    }
    check_size(json.dumps([item] * 5000).encode())


def test_empty_items_are_counted_before_anything_is_made_of_them() -> None:
    status, _, peak = pushed(DETECTIONS_PATH, b"[" + b"{}," * 100_000 + b"{}]", JSON)
    assert status == 413
    assert peak < 20 * MEGABYTE
    status, _, peak = pushed(DETECTIONS_PATH, b"\n" * BODY, LINES)
    assert status == 413
    assert peak < 3 * BODY


TEXTS: Final[dict[str, tuple[str, str]]] = {
    "a plate": (OPENALPR, '{"data_type":"alpr_group","best_uuid":"u","epoch_start":%s,"best_plate_number":"%s"}'),
    "a candidate": (
        OPENALPR,
        '{"data_type":"alpr_group","best_uuid":"u","epoch_start":%s,"best_plate_number":"A","is_preview":"%s"}',
    ),
    "a time": ("/v1/webhooks/dahua", '{"Picture":{"x":%s,"SnapInfo":{"AccurateTime":"%s"}}}'),
    "a day": ("/v1/webhooks/genetec", '{"x":%s,"CameraName":"","DateUtc":"%s","TimeUtc":""}'),
    "an hour": ("/v1/webhooks/genetec", '{"x":%s,"CameraName":"","DateUtc":"01/01/2026","TimeUtc":"%s"}'),
    "a number": ("/v1/webhooks/axis", '{"x":%s,"carState":"new","plateUTF8":"x","capture_ts":"%s"}'),
    "a date": (HIKVISION, '{"x":%s,"EventNotificationAlert":{"eventType":"ANPR","dateTime":"%s","ANPR":{}}}'),
    "a member": (OPENALPR, '{"data_type":"alpr_group","best_uuid":"u","epoch_start":"%s","%s":1}'),
}
LETTERS: Final = {"plain": "A", "digits": "2", "unseen": "\\u0000", "wide": "😀", "spaces": " "}


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_megabytes_is_refused_and_not_worked_on(name: str, letter: str) -> None:
    path, form = TEXTS[name]
    unit = LETTERS[letter].encode()
    text = unit * ((BODY - 300) // len(unit))
    body = (form % ("1", "@")).encode().replace(b"@", text)
    status, media_type, peak = pushed(path, body, JSON)
    if (name, letter) in {("a plate", "unseen"), ("a plate", "spaces")}:
        assert status in (202, 422)
    else:
        assert (status, media_type) == (422, PROBLEM)
    assert peak < len(body) * (JSON_PARSER_BYTES + 6)


def test_a_plate_of_ten_megabytes_is_refused_by_its_length() -> None:
    for path in EVERY:
        status, media_type, peak = pushed(path, b'{"plate":"' + b"A" * 10_000_000 + b'"}', JSON)
        assert (status, media_type) == (413, PROBLEM)
        assert peak < 2 * MEGABYTE


ENTITIES: Final = b"".join(b'<!ENTITY a%d "%s">' % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 12))
BOMBS: Final = {
    "billion laughs": b'<!DOCTYPE a [<!ENTITY a0 "QQ7CANARY">' + ENTITIES + b"]><a>&a11;</a>",
    "quadratic": b'<!DOCTYPE a [<!ENTITY x "' + b"A" * 100_000 + b'">]><a>' + b"&x;" * 20_000 + b"</a>",
    "a file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "an address": b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:9/QQ7CANARY">]><a>&x;</a>',
    "a parameter entity": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]><a/>',
    "a foreign DTD": b'<!DOCTYPE a PUBLIC "-//QQ7CANARY//" "http://127.0.0.1:9/a.dtd"><a/>',
    "an attribute of a DTD": b'<!DOCTYPE a [<!ATTLIST a x CDATA "QQ7CANARY">]><a/>',
    "deep": b"<a>" * 80_000,
    "wide": b"<a>" + b"<b/>" * 60_000 + b"</a>",
    "many attributes": b"<a " + b" ".join(b'a%d=""' % number for number in range(25_000)) + b"/>",
    "many prefixes": b"<a " + b" ".join(b'xmlns:a%d="u"' % number for number in range(14_000)) + b"/>",
    "a long name": b"<" + b"a" * 250_000 + b"/>",
    "a long comment": b"<a><!--" + b"-a" * 120_000 + b"--></a>",
    "a long instruction": b"<a><?x " + b"?" * 250_000 + b"?></a>",
    "one text in pieces": b"<a>" + b"&amp;" * 50_000 + b"</a>",
    "two megabytes": b"<a>" + b" " * (BODY - 10) + b"</a>",
    "GB 2312": b'<?xml version="1.0" encoding="GB2312"?><a>\xc4\xe3</a>',
    "UTF-16": '<?xml version="1.0" encoding="utf-16"?><a>QQ7CANARY</a>'.encode("utf-16"),
    "UTF-7": b'<?xml version="1.0" encoding="utf-7"?><a>+ADw-</a>',
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("in_a_form", [False, True])
def test_xml_that_would_grow_or_reach_out_is_refused(name: str, in_a_form: bool) -> None:
    body, content_type = BOMBS[name], XML
    if in_a_form:
        body, content_type = b"--x\r\nContent-Type: text/xml\r\n\r\n" + body + b"\r\n--x--", FORM
    status, media_type, peak = pushed(HIKVISION, body, content_type)
    assert status in (400, 413, 422)
    assert media_type == PROBLEM
    assert peak < 4 * len(body) + 9 * MEGABYTE


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 300_000,
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b"NaN",
        b'{"captured_at":NaN}',
        b"[Infinity,-Infinity]",
        b'{"a":1e400}',
        b'{"a":-1e999}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":[{"c":1,"c":1}]}}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"\x00{}",
        b"{}\x00",
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":1,}',
        b"// QQ7CANARY\n{}",
    ],
)
def test_json_that_readers_would_read_differently_is_refused(path: str, body: bytes) -> None:
    status, media_type, peak = pushed(path, body, JSON)
    assert (status, media_type) == (400, PROBLEM)
    assert peak < len(body) * (JSON_PARSER_BYTES + 4) + MEGABYTE


NUMBERS: Final = {
    OPENALPR: b'{"data_type":"alpr_group","best_uuid":"u","epoch_start":%b}',
    HIKVISION: b'{"EventNotificationAlert":{"eventType":"ANPR","dateTime":%b,"ANPR":{}}}',
    "/v1/webhooks/axis": b'{"carState":"new","capture_ts":%b}',
    "/v1/webhooks/verkada": b'{"license_plate_number":"A","created":%b}',
    "/v1/webhooks/frigate": b'{"type":"lpr","plate":"A","timestamp":%b}',
    "/v1/webhooks/dahua": b'{"Code":"TrafficJunction","Data":{"UTC":%b}}',
}


@pytest.mark.parametrize(
    "number", [b"184467440737095516160000", b"-9223372036854775809", b"9" * 300, b"1" + b"0" * 308]
)
@pytest.mark.parametrize("path", NUMBERS)
def test_numbers_beyond_64_bits_are_no_time(path: str, number: bytes) -> None:
    status, media_type, _ = pushed(path, NUMBERS[path] % number, JSON)
    assert (status, media_type) == (422, PROBLEM)


def parts(*heads: bytes, body: bytes = b"{}") -> bytes:
    return b"".join(b"--x\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head in heads) + b"--x--"


FORMS: Final[dict[str, Callable[[], bytes]]] = {
    "ten thousand parts": lambda: parts(*[b"Content-Type: application/json"] * 10_000),
    "a million boundaries": lambda: b"--x" + b"\r\n--x" * 400_000,
    "headers without end": lambda: b"--x\r\n" + b"A: b\r\n" * 300_000,
    "one endless header": lambda: b"--x\r\nContent-Disposition: form-data; name=" + b"j" * (BODY - 100),
    "a preamble of megabytes": lambda: b"\r\n" * (BODY // 2 - 100) + parts(b"Content-Type: application/json"),
    "a picture of megabytes": lambda: parts(b"Content-Type: image/jpeg", body=b"\xff" * (BODY - 100)),
    "a form in a form": lambda: parts(b"Content-Type: multipart/mixed; boundary=x", body=parts(b"A: b")),
    "an encoded part": lambda: parts(
        b"Content-Type: application/json\r\nContent-Transfer-Encoding: base64", body=b"e30="
    ),
    "quotes without end": lambda: parts(b'Content-Disposition: form-data; name="' + b'"; name="' * 400),
    "lines that end otherwise": lambda: parts(b"Content-Type: application/json").replace(b"\r\n", b"\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_no_camera_sends_are_refused(name: str) -> None:
    body = FORMS[name]()
    status, media_type, peak = pushed(PLATE, body, FORM)
    assert status in (400, 413, 422)
    assert media_type == PROBLEM
    assert peak < 4 * len(body) + 2 * MEGABYTE


@functools.cache
def gzip_bomb() -> bytes:
    """Return 200 MB of nothing, packed."""
    return gzip.compress(bytes(200 * MEGABYTE))


@pytest.mark.parametrize("path", EVERY)
def test_a_bomb_of_gzip_is_not_unpacked(path: str) -> None:
    packed = gzip_bomb()
    assert len(packed) < BODY
    status, media_type, peak = pushed(path, packed, JSON, **{"Content-Encoding": "gzip"})
    assert (status, media_type) == (413, PROBLEM)
    assert peak < 4 * BODY


def test_gzip_in_gzip_and_many_members_are_refused() -> None:
    once = gzip.compress(b"{}")
    for body in (gzip.compress(once), once * 1000, once + b"\x00" * 1000, once[:-1]):
        assert pushed(DETECTIONS_PATH, body, JSON, **{"Content-Encoding": "gzip"})[0] == 400
    for coding in ("gzip, gzip", "deflate", "br", "zstd"):
        assert pushed(DETECTIONS_PATH, once, JSON, **{"Content-Encoding": coding})[0] == 415


def test_every_format_is_here_by_its_path() -> None:
    assert {*WEBHOOKS.values(), table.NATIVE} == set(table.PARSERS)
