"""Multipart bodies: which part is the message, and what is refused."""

import pytest

from ingest import envelopes
from ingest.bodies import TooMany, UnsupportedMediaType
from ingest.formats import multipart
from ingest.formats.multipart import MAX_PARTS, Part
from ingest.formats.payload import NotUsable
from tests.support import samples

FORM = "multipart/form-data; boundary=xYz"


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return a body of parts with these header lines."""
    pieces = [b"--xYz\r\n" + "".join(f"{line}\r\n" for line in head.split("|")).encode() for head, _ in parts]
    return (
        b"".join(piece + b"\r\n" + body + b"\r\n" for piece, (_, body) in zip(pieces, parts, strict=True)) + b"--xYz--"
    )


def field(name: str, *more: str) -> str:
    return "|".join([f'Content-Disposition: form-data; name="{name}"', *more])


def refused(body: bytes, content_type: str = FORM) -> str:
    with pytest.raises(NotUsable) as caught:
        envelopes.messages(body, content_type)
    return caught.value.reason


@pytest.mark.parametrize("stem", ["hikvision/anpr", "platerecognizer/stream_webhook"])
def test_a_message_with_pictures_is_the_message_without(stem: str) -> None:
    alone = next(name for name in samples.NAMES if name.startswith(f"{stem}.") and not name.endswith("multipart"))
    assert samples.payload(f"{stem}.multipart") == samples.payload(alone)


def test_the_field_json_is_the_message_and_the_file_is_thrown_away() -> None:
    body = form((field("json"), b'{"a": 1}'), (field("upload", "Content-Type: image/jpeg"), b'{"b": 2}'))
    assert envelopes.messages(body, FORM) == [{"a": 1}]
    upload_first = form((field("upload", "Content-Type: image/jpeg"), b"\xff\xd8"), (field("JSON"), b'{"a": 1}'))
    assert envelopes.messages(upload_first, 'multipart/form-data; charset=utf-8; boundary="xYz"') == [{"a": 1}]


def test_names_and_headers_of_parts_are_no_content() -> None:
    head = field("MARKER", 'X-MARKER: MARKER; name="MARKER"', "Content-Type: application/json; x=MARKER")
    parts = multipart.loads(form((head, b"{}"), (field("y", "Content-Type: image/x-MARKER"), b"MARKER")), b"xYz")
    assert envelopes.messages(form((head, b"{}"), (field("y", "Content-Type: image/x-MARKER"), b"MARKER")), FORM) == [
        {}
    ]
    assert [part.name for part in parts] == ["marker", "y"]


def test_parts_in_every_form_that_cameras_send() -> None:
    body = (
        b"preamble\r\n--xYz \t\r\n\r\n<a/>\r\n--xYz\r\ncontent-type:TEXT/XML;charset=x\r\n\r\n<b/>\r\n--xYz\r\n\r\n\r\n"
    )
    assert multipart.loads(body, b"xYz") == [
        Part("", "", b"<a/>"),
        Part("", "text/xml", b"<b/>"),
        Part("", "", b"\r\n"),
    ]
    assert envelopes.messages(body, "Multipart/Mixed;boundary=xYz") == [{"a": None}, {"b": None}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_multipart"),
        (b'{"a": 1}', "not_multipart"),
        (b"x" * 5000 + b"\r\n--xYz\r\n\r\n{}\r\n--xYz--", "not_multipart"),
        (b"--xYzjunk\r\n\r\n{}\r\n--xYz--", "not_multipart"),
        (b"--xYz\r\nno blank line", "not_multipart"),
        (b"--xYz\r\nA: " + b"a" * 5000 + b"\r\n\r\n{}\r\n--xYz--", "not_multipart"),
        (b"--xYz--", "no_message"),
        (form((field("upload", "Content-Type: image/jpeg"), b"\xff\xd8")), "no_message"),
        (form((field("text"), b"hello")), "no_message"),
        (form(*[(field(str(number)), b"x") for number in range(1000)]), "too_many_parts"),
        (b"--xYz" + b"\r\n\r\n\r\n--xYz" * 100_000, "too_many_parts"),
        (b"--xYz" + b"\r\n--xYz" * 100_000, "not_multipart"),
        (form((field("json"), b"{")), "not_json"),
        (form((field("json"), b'{"a": 1, "a": 2}')), "duplicate_key"),
        (form((field("json"), b"[" * 1000 + b"]" * 1000)), "too_deep"),
        (form((field("json"), b'{"a": NaN}')), "not_json"),
        (form((field("a.xml"), b"<a>" * 100)), "too_deep"),
        (form((field("a.xml"), b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')), "not_xml"),
    ],
)
def test_refused(body: bytes, reason: str) -> None:
    assert refused(body) == reason


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=\xe9",
    ],
)
def test_a_boundary_is_needed(content_type: str) -> None:
    assert refused(form((field("json"), b"{}")), content_type) == "not_multipart"


def test_as_many_parts_as_may_be() -> None:
    pictures = [(field("p", "Content-Type: image/jpeg"), b"x")] * (MAX_PARTS - 1)
    assert envelopes.messages(form(*pictures, (field("json"), b"{}")), FORM) == [{}]
    assert refused(form(*pictures, pictures[0], (field("json"), b"{}"))) == "too_many_parts"


def test_a_body_is_read_by_what_is_in_it() -> None:
    for content_type in ("", "text/plain", "application/json", "application/xml; charset=utf-8"):
        envelopes.check(content_type, "")
        assert envelopes.messages(b'\xef\xbb\xbf {"a": 1}', content_type) == [{"a": 1}]
        assert envelopes.messages(b"\r\n<a>1</a>", content_type) == [{"a": "1"}]
        assert envelopes.messages(b"[1, 2]", content_type) == [1, 2]


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; filename="json"; name="picture"',
        'form-data; filename="x; name=json"; name="picture"',
        "form-data; filename=\"x; name='json'\"",
        "form-data; filename*=UTF-8''x%22; filename=\"; name=json; \"; name=picture",
        'form-data; name="picture"; name="json"',
        'form-data; name*="json"',
        'form-data; xname="json"; name-="json"',
        'form-data; filename="../../json"; name="json/../picture"',
        f'form-data; name="{"json" * 30}"',
        'attachment name="json"',
        "",
    ],
)
def test_the_name_of_a_file_is_not_the_name_of_a_field(disposition: str) -> None:
    head = f"Content-Disposition: {disposition}|Content-Type: image/jpeg"
    assert refused(form((head, b'{"a": 1}'))) == "no_message"


def test_two_messages_in_fields_of_one_name_are_two_messages() -> None:
    """Neither hides the other: readers differ in which of the two they would take."""
    assert envelopes.messages(form((field("json"), b"1"), (field("JSON"), b"2")), FORM) == [1, 2]


def test_a_part_that_is_encoded_is_not_decoded() -> None:
    encoded = field("json", "Content-Transfer-Encoding: base64")
    assert refused(form((encoded, b"eyJhIjogMX0="))) == "not_json"
    assert refused(form((field("json", "Content-Transfer-Encoding: quoted-printable"), b"=7B=7D"))) == "not_json"


def test_a_form_in_a_form_is_not_looked_into() -> None:
    inner = b'--in\r\nContent-Disposition: form-data; name="json"\r\n\r\n{"a": 1}\r\n--in--'
    mixed = field("files", "Content-Type: multipart/mixed; boundary=in")
    assert refused(form((mixed, inner))) == "no_message"
    assert envelopes.messages(form((mixed, inner), (field("json"), b"{}")), FORM) == [{}]


def test_a_form_without_its_last_boundary_is_read_and_one_that_goes_on_after_it_is_not() -> None:
    whole = form((field("json"), b"{}"))
    assert envelopes.messages(whole.removesuffix(b"\r\n--xYz--"), FORM) == [{}]
    assert envelopes.messages(whole + b"\r\n" + form((field("json"), b"7")), FORM) == [{}]


def test_a_list_of_messages_is_bounded() -> None:
    assert len(envelopes.messages(b"[" + b"{}," * 49 + b"{}]", "")) == 50
    with pytest.raises(TooMany):
        envelopes.messages(b"[" + b"{}," * 50 + b"{}]", "")


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("image/jpeg", ""), ("application/x-ndjson", ""), ("application/json; charset=utf-16", ""), ("text/xml", "br")],
)
def test_what_no_camera_sends_is_refused_by_its_declaration(content_type: str, encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        envelopes.check(content_type, encoding)
