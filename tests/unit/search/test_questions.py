"""The body of a question: what is taken, what is refused, and how helpfully."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.queries import PURPOSES
from search.bodies import MAX_BODY_BYTES
from search.errors import Invalid, TooLarge
from search.questions import HELPS, decode

GOOD: dict[str, Any] = {
    "plate": "abc-123",
    "match": "exact",
    "window": {"from": "2026-03-01T00:00:00-06:00", "to": "2026-03-02T00:00:00Z"},
    "purpose": {"code": "stolen_vehicle", "case_number": "2026-004711", "authority": {"kind": "none"}},
}


def body(changes: dict[str, Any] | None = None) -> bytes:
    """Return a good body with values put at pointers; `...` removes a member."""
    value = copy.deepcopy(GOOD)
    for pointer, new in (changes or {}).items():
        *path, name = pointer.split("/")[1:]
        inner = value
        for part in path:
            inner = inner[part]
        if new is ...:
            del inner[name]
        else:
            inner[name] = new
    return json.dumps(value).encode()


def flaws(data: bytes) -> dict[str, str]:
    """Return the flaws of a body that is refused: pointer -> detail."""
    with pytest.raises(Invalid) as caught:
        decode(data)
    return {flaw.pointer: flaw.detail for flaw in caught.value.flaws}


def test_a_good_question_is_normalised() -> None:
    asked = decode(body({"/region": "US-MO", "/limit": 20, "/purpose/case_number": "  2026 \t 004711 "}))
    assert asked.plate == "ABC123"
    assert asked.window.from_ == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert asked.window.to.tzinfo is UTC
    assert (asked.region, asked.limit, asked.purpose.case_number) == ("US-MO", 20, "2026 004711")


def test_optional_members_may_be_absent_or_null() -> None:
    absent = decode(body())
    null = decode(body({"/region": None, "/cursor": None, "/purpose/note": None, "/purpose/offence": None}))
    assert absent == null
    assert absent.limit == 1000


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/plate", ...),
        ("/plate", None),
        ("/plate", 7),
        ("/plate", ""),
        ("/plate", "---"),
        ("/plate", "~"),
        ("/plate", "NO PLATE"),
        ("/plate", "A" * 17),
        ("/plate", "A" * 33),
        ("/plate", "粤B12345"),
        ("/match", "fuzzy"),
        ("/match", ...),
        ("/window", ...),
        ("/window", []),
        ("/window/from", ...),
        ("/window/from", "2026-03-01"),
        ("/window/from", "2026-03-01T00:00:00"),
        ("/window/to", "2026-03-02T00:00:00"),
        ("/window/from", 1772323200),
        ("/window/from", "0001-01-01T00:00:00+01:00"),
        ("/window/to", "9999-12-31T23:59:59-01:00"),
        ("/region", "us-mo"),
        ("/region", "US\n"),
        ("/region", "Missouri"),
        ("/region", "US-%"),
        ("/limit", 0),
        ("/limit", 1001),
        ("/limit", True),
        ("/limit", 2.5),
        ("/limit", "10"),
        ("/cursor", 5),
        ("/cursor", "c" * 8193),
        ("/purpose", None),
        ("/purpose/code", ...),
        ("/purpose/code", "investigation"),
        ("/purpose/case_number", ...),
        ("/purpose/case_number", ""),
        ("/purpose/case_number", "   "),
        ("/purpose/case_number", "7" * 65),
        ("/purpose/case_number", "2026\u0000-17"),
        ("/purpose/offence", "n/a"),
        ("/purpose/offence", "123"),
        ("/purpose/note", "x" * 501),
        ("/purpose/note", "."),
        ("/purpose/authority", ...),
        ("/purpose/authority/kind", "badge"),
        ("/purpose/authority/reference", ""),
        ("/purpose/authority/reference", "tbd"),
    ],
)
def test_each_member_is_held_to_its_shape_with_help(pointer: str, value: Any) -> None:
    found = flaws(body({pointer: value}))
    assert list(found) == [pointer]
    assert HELPS[pointer] in found[pointer]


@pytest.mark.parametrize(
    ("start", "end", "fits"),
    [
        ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", True),
        ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00.000001Z", False),
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000001Z", True),
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", False),
        ("2026-03-01T00:00:00Z", "2026-03-01T01:00:00+01:00", False),
        ("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z", False),
    ],
)
def test_a_window_is_positive_and_at_most_31_days(start: str, end: str, fits: bool) -> None:
    data = body({"/window/from": start, "/window/to": end})
    if fits:
        decode(data)
    else:
        assert list(flaws(data)) == ["/window"]


@pytest.mark.parametrize("kind", ["warrant", "court_order"])
def test_a_warrant_or_order_needs_its_reference(kind: str) -> None:
    assert list(flaws(body({"/purpose/authority": {"kind": kind}}))) == ["/purpose/authority/reference"]
    decode(body({"/purpose/authority": {"kind": kind, "reference": "SW-2026-118"}}))


@pytest.mark.parametrize("kind", ["none", "consent", "exigent"])
def test_other_authority_needs_none(kind: str) -> None:
    assert decode(body({"/purpose/authority": {"kind": kind}})).purpose.authority.reference is None


@pytest.mark.parametrize(
    "note",
    [
        "inv", ".", "test", "Investigation", "N/A", "n.a.", "INV.", "...", "  ", "", "xxx", "aaaa", "123", "test 1",
        "ongoing investigation", "Police Investigation!!", "i.n.v.", "t e s t", "\uff34\uff25\uff33\uff34",
        "te\u200bst", "ínv", "none",
        "follow-up", "as requested", "for official use", "TBD", "?", "-", "_", "_test_", "asdf", "see case",
    ],
)  # fmt: skip
def test_placeholder_notes_are_refused_with_help(note: str) -> None:
    found = flaws(body({"/purpose/note": note}))
    assert "silver van" in found["/purpose/note"]


@pytest.mark.parametrize(
    "note",
    [
        "silver van seen leaving the burglary at about 02:10",
        "Stolen",
        "hit and run, Main St",
        "investigation of the robbery",
        "Fahrzeug nach Raub gesehen",
        "盗難車",
    ],
)
def test_notes_that_say_something_are_taken(note: str) -> None:
    assert decode(body({"/purpose/note": note})).purpose.note == note


@pytest.mark.parametrize(
    "case",
    ["test", "TEST 17", "none", "N/A", "0", "000", "1", "1234", "12345", "x", "XXX", "-", "case", "Case 1", "unknown",
     "inv", "TBD", "pending", "no case", "null-1", "case #123"],
)  # fmt: skip
def test_placeholder_case_numbers_are_refused_with_help(case: str) -> None:
    assert "2026-004711" in flaws(body({"/purpose/case_number": case}))["/purpose/case_number"]


@pytest.mark.parametrize("case", ["2026-0117", "17", "C-1", "INV-2026-17", "No. 4711", "CASE 4711", "Alpha-Bravo"])
def test_case_numbers_of_all_forms_are_taken(case: str) -> None:
    assert decode(body({"/purpose/case_number": case})).purpose.case_number == case


@pytest.mark.parametrize("offence", ["187", "18-4-102", "robbery", "DUI"])
def test_offences_are_codes_or_words(offence: str) -> None:
    assert decode(body({"/purpose/offence": offence})).purpose.offence == offence


def test_an_unknown_purpose_is_answered_with_the_list() -> None:
    detail = flaws(body({"/purpose/code": "curiosity"}))["/purpose/code"]
    assert all(code in detail and sentence in detail for code, sentence in PURPOSES.items())


def test_every_flaw_is_told_at_once() -> None:
    found = flaws(body({"/plate": "-", "/limit": 0, "/window/to": "yesterday", "/purpose/note": ".", "/colour": "red"}))
    assert set(found) == {"", "/plate", "/limit", "/window/to", "/purpose/note"}
    assert "colour" not in found[""]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"plate=ABC123", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'{"limit": NaN}', b'{"limit": Infinity}',
        b'{"limit": 1e999}', b'{"plate": "\\ud800"}', b'{"plate": "\xff"}', b"[" * 60_000, b"1" * 5000, b'{"a": 1,}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(data: bytes) -> None:
    assert list(flaws(data)) == [""]


@pytest.mark.parametrize("data", [b"[]", b"null", b'"ABC123"', b"3"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    assert flaws(data) == {"": HELPS[""]}


def test_a_name_that_stands_twice_is_refused_at_any_depth() -> None:
    for old, new in ((b'"plate"', b'"plate": "XYZ", "plate"'), (b'"kind"', b'"kind": "exigent", "kind"')):
        assert "twice" in flaws(body().replace(old, new))[""]


def test_a_long_body_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        decode(b" " * (MAX_BODY_BYTES + 1))


def test_a_problem_is_a_document() -> None:
    with pytest.raises(Invalid) as caught:
        decode(body({"/plate": "-"}))
    document = json.loads(caught.value.problem().body())
    assert document["status"] == 422
    assert document["title"] == "Unusable content"
    assert document["errors"] == [{"pointer": "/plate", "detail": HELPS["/plate"]}]
