"""Media types, items of a body, and the bound on what is held."""

import pytest

from ingest.bodies import JSON, NDJSON, TooMany, UnsupportedMediaType, media_type, payloads
from ingest.budget import Budget
from ingest.errors import Limited, SlowDown
from ingest.formats.payload import NotUsable


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("", JSON),
        ("application/json", JSON),
        ("Application/JSON; charset=UTF-8", JSON),
        ('application/json;charset="utf-8";x=y', JSON),
        ("application/x-ndjson", NDJSON),
        ("application/ndjson; charset=us-ascii", NDJSON),
    ],
)
def test_what_is_taken(content_type: str, kind: str) -> None:
    assert media_type(content_type, "", lines=True) == kind


@pytest.mark.parametrize(
    ("content_type", "encoding", "lines"),
    [
        ("text/plain", "", True),
        ("application/json; charset=latin-1", "", True),
        ("application/x-ndjson", "", False),
        ("application/json", "br", True),
        ("application/json", "gzip, gzip", True),
        ("multipart/form-data; boundary=x", "", True),
    ],
)
def test_what_is_not_taken(content_type: str, encoding: str, lines: bool) -> None:
    with pytest.raises(UnsupportedMediaType):
        media_type(content_type, encoding, lines=lines)


def test_items() -> None:
    assert payloads(b'{"a":1}', JSON, 5) == [{"a": 1}]
    assert payloads(b'[{"a":1}, 2]', JSON, 5) == [{"a": 1}, 2]
    assert payloads(b"[]", JSON, 5) == []
    one, bad, two = payloads(b'{"a":1}\r\n\n{"a":\n[2]', NDJSON, 5)
    assert (one, two) == ({"a": 1}, [2])
    assert isinstance(bad, NotUsable)


@pytest.mark.parametrize(("body", "kind"), [(b"[1,2,3]", JSON), (b"1\n2\n3", NDJSON), (b"\n" * 10, NDJSON)])
def test_too_many(body: bytes, kind: str) -> None:
    with pytest.raises(TooMany):
        payloads(body, kind, 2)


def test_a_budget_is_never_exceeded_and_given_back_by_whoever_took_it() -> None:
    budget = Budget(100)
    with budget.holding("cam-1") as first:
        first.add(60)
        with budget.holding("cam-1") as second:
            second.add(40)
            for held in (first, second):
                with pytest.raises(SlowDown):
                    held.add(1)
            assert budget.held_bytes == 100
        assert budget.held_bytes == 60
    assert budget.held_bytes == 0


def test_one_camera_takes_its_share_at_most_and_the_others_have_the_rest() -> None:
    budget = Budget(100, share_bytes=60)
    with budget.holding("cam-1") as first, budget.holding("cam-1") as second, budget.holding("cam-2") as other:
        first.add(40)
        second.add(20)
        with pytest.raises(Limited) as limited:
            second.add(1)
        assert limited.value.reason == "bytes"
        other.add(40)
        with pytest.raises(SlowDown) as full:
            other.add(1)
        assert not isinstance(full.value, Limited)
    assert (budget.held_bytes, budget._of_camera) == (0, {})


def _fail_while_holding(budget: Budget) -> None:
    with budget.holding("cam-1") as held:
        held.add(7)
        raise KeyError


def test_a_budget_is_given_back_after_an_error() -> None:
    budget = Budget(100)
    with pytest.raises(KeyError):
        _fail_while_holding(budget)
    assert budget.held_bytes == 0
