"""Whatever a parser is given, it returns outcomes; whatever bytes a reader is given, values or NotUsable."""

from collections.abc import Callable
from typing import Any, Final, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import envelopes
from ingest.bodies import TooMany
from ingest.formats import multipart, table, xml
from ingest.formats.payload import NotUsable
from ingest.formats.read import Dropped, Read, Reason, Rejected
from ingest.formats.recognise import recognise
from schemas.detections import MAX_CANDIDATES, MAX_RAW_PLATE_LENGTH, MAX_WORD_LENGTH
from tests.support import samples

REASONS: Final = set(get_args(Reason))
ODD: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=60),
    st.sampled_from(
        [
            *(10**400, -(10**30), 10**18, 1e308, float("nan"), float("inf"), "nan", "inf", "1e999", "9" * 5000, "-1"),
            *("", " ", "\x00", "A" * 10_000, "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "24:00:00"),
            *("31/12/9999", "²", "١٢", "lpr", "AnprFlowObserved", "TrafficJunction"),
            *({}, [], [[]], [{}], {"x": {}}),
        ]
    ),
    st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)
"""Values that no camera sends at most places."""


def _changed(value: Any, draw: st.DrawFn, odd: Any) -> Any:
    """Return a value in which one place, at any depth, is odd."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return odd
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [_changed(item, draw, odd) if index == at else item for index, item in enumerate(value)]
    name = draw(st.sampled_from(sorted(value)))
    return {**value, name: _changed(value[name], draw, odd)}


@st.composite
def payloads(draw: st.DrawFn, format_: str) -> Any:
    names = [name for name in samples.NAMES if name.startswith(f"{format_}/")]
    value = samples.payload(draw(st.sampled_from(names)))
    for _ in range(draw(st.integers(0, 3))):
        value = _changed(value, draw, draw(ODD))
    return value


def _check(outcomes: Any) -> None:
    assert isinstance(outcomes, tuple)
    assert outcomes
    for outcome in outcomes:
        assert isinstance(outcome, Read | Rejected | Dropped)
        if not isinstance(outcome, Read):
            assert outcome.reason in REASONS
            continue
        assert outcome.claimed_at.utcoffset() is not None
        assert len(outcome.plate_raw or "") <= MAX_RAW_PLATE_LENGTH
        assert len(outcome.candidates) <= MAX_CANDIDATES
        words = [one for one in (outcome.make, outcome.model, outcome.colour, outcome.body) if one]
        assert all(0 < len(one.value) <= MAX_WORD_LENGTH and one.value.isprintable() for one in words)
        confidences = [outcome.plate_confidence, outcome.region_confidence, *(one.confidence for one in words)]
        assert all(one is None or 0 <= one <= 1 for one in confidences)
        assert all(0 <= one.confidence <= 1 for one in outcome.candidates)
    msgspec.json.encode([msgspec.structs.replace(one, key="") if isinstance(one, Read) else one for one in outcomes])


@pytest.mark.parametrize("format_", sorted(set(table.PARSERS) - {table.NATIVE}))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_parser_returns_outcomes(format_: str, data: st.DataObject) -> None:
    payload = data.draw(payloads(format_))
    _check(table.PARSERS[format_](payload))
    assert recognise(payload) in {None, *table.PARSERS}


@pytest.mark.parametrize("format_", sorted(table.PARSERS))
@settings(max_examples=50, deadline=None)
@given(payload=ODD)
def test_a_parser_takes_anything(format_: str, payload: Any) -> None:
    _check(table.PARSERS[format_](payload))
    assert recognise(payload) in {None, *table.PARSERS}


def _cut(data: bytes, start: int, length: int, junk: bytes) -> bytes:
    return data[:start] + junk + data[start + length :]


RAW: Final = st.builds(
    _cut,
    st.sampled_from([samples.body(name) for name in samples.NAMES if not name.endswith(".json")]),
    st.integers(0, 3000),
    st.integers(0, 300),
    st.binary(max_size=40) | st.sampled_from([b"<a>" * 50, b"&x;", b"]]>", b"<![CDATA[", b"--boundary", b"\r\n\r\n"]),
)


def _reason(read: Callable[[], Any]) -> str | None:
    """Return the reason for which bytes are not usable, None if they are."""
    try:
        read()
    except NotUsable as fault:
        return fault.reason if str(fault) == fault.reason and fault.__cause__ is None else repr(fault)
    except TooMany:
        return None
    return None


@settings(max_examples=300, deadline=None)
@given(st.binary() | RAW, st.sampled_from(["application/xml", "multipart/form-data; boundary=boundary", "text/plain"]))
def test_any_bytes_are_messages_or_not_usable(body: bytes, content_type: str) -> None:
    found: list[Any] = []
    reason = _reason(lambda: found.extend(envelopes.messages(body, content_type)))
    assert reason in {None, *REASONS}
    for payload in found:
        for parse in table.PARSERS.values():
            _check(parse(payload))


@settings(max_examples=200, deadline=None)
@given(st.binary(), st.text())
def test_readers_raise_nothing_else(body: bytes, text: str) -> None:
    assert _reason(lambda: xml.loads(body)) in {None, *REASONS}
    assert _reason(lambda: multipart.loads(body, multipart.boundary(text))) in {None, *REASONS}
