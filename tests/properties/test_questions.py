"""Whatever is sent, a refusal quotes none of it, and whatever is accepted can be recorded."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.entries import canonical
from schemas.plate import plate_key
from schemas.queries import TrajectoryRequest
from search.errors import Invalid, SearchError
from search.placeholders import names_nothing, says_nothing
from search.questions import decode

SECRET = "ZQX7391"
"""Stands in no help text."""

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(SECRET),
    st.just(f"{SECRET}~{SECRET}~{SECRET}"),
    st.sampled_from(
        ["exact", "none", "warrant", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00+01:00", "stolen_vehicle"]
    ),
)
_NAMES = st.sampled_from(
    [
        "plate",
        "match",
        "window",
        "purpose",
        "from",
        "to",
        "code",
        "case_number",
        "authority",
        "kind",
        "reference",
        SECRET,
    ]
)
_TREES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner), max_leaves=12
)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Questions that are nearly right: some member of a good one replaced by anything."""
    good: dict[str, Any] = {
        "plate": SECRET,
        "match": draw(st.sampled_from(["exact", "lookalike"])),
        "window": {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"},
        "purpose": {"code": "wanted_person", "case_number": f"{SECRET}-17", "authority": {"kind": "none"}},
    }
    where = draw(st.sampled_from([good, good["window"], good["purpose"], good["purpose"]["authority"]]))
    where[draw(st.sampled_from(sorted(where)) | _NAMES)] = draw(_TREES)
    return good


def ask(value: Any) -> TrajectoryRequest | SearchError:
    """Return what becomes of a body: the question, or the refusal."""
    try:
        return decode(json.dumps(value).encode())
    except SearchError as refusal:
        return refusal


@given(questions() | _TREES)
def test_no_refusal_quotes_the_body(value: Any) -> None:
    answer = ask(value)
    if isinstance(answer, TrajectoryRequest):
        assert timedelta(0) < answer.window.to - answer.window.from_ <= timedelta(days=31)
        canonical([answer.plate, plate_key(answer.plate), answer.purpose.case_number])
        return
    shown = answer.problem().body().decode() + str(answer) + repr(answer) + repr(answer.__cause__)
    assert SECRET.lower() not in shown.lower()
    # What a decoder said of the input must not come out in a traceback either.
    assert answer.__suppress_context__ or answer.__context__ is None


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    try:
        decode(data)
    except Invalid:
        return
    raise AssertionError("random bytes are no question")


@given(
    st.sampled_from(["inv", "test", "investigation", "n/a", "none", "police investigation", "unknown"]),
    st.text(alphabet=" .,-_/#!?:;*()'\"\u00a0\u200b", max_size=4),
    st.randoms(use_true_random=False),
)
def test_placeholders_stay_placeholders_in_any_dress(word: str, dress: str, dice: Any) -> None:
    dressed = dress + "".join(dice.choice([char.upper(), char.lower()]) for char in word) + dress
    assert says_nothing(dressed)
    assert names_nothing(dressed)
