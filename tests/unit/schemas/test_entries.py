"""Leaves and disclosures: canonical bytes, commitments, and nothing private in the leaf."""

import base64
import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from schemas.entries import Disclosure, Entry, canonical, commitment_of, disclose

ASCII_KEYS = st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ASCII_KEYS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_canonical_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_canonical_bytes_come_back_as_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), 2**53, -(2**53), b"x", {"é": 1}, {1: 2}, [object()], {"a": {"b": 0.5}}]
)
def test_what_has_no_one_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@given(VALUES)
def test_a_commitment_is_the_hash_of_salt_field_and_value(value: Any) -> None:
    item = disclose("question", value)
    encoded = rfc8785.dumps([item.salt, "question", value])
    expected = base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).decode().rstrip("=")
    assert item.encoded() == encoded
    assert item.commitment() == commitment_of(encoded) == expected


def test_salts_have_128_bits_and_differ() -> None:
    salts = {disclose("person", "ana").salt for _ in range(100)}
    assert len(salts) == 100
    assert all(len(base64.urlsafe_b64decode(salt + "==")) == 16 for salt in salts)


def test_a_leaf_holds_the_public_part_and_commitments_only() -> None:
    items = (disclose("person", "ana.ortiz"), disclose("question", {"plate": "QRS8210"}))
    entry = Entry(kind="intent", public={"agency": "aurora-pd", "at": "2026-01-01T00:00:00Z"}, disclosures=items)
    assert json.loads(entry.leaf()) == {
        "v": 1,
        "kind": "intent",
        "agency": "aurora-pd",
        "at": "2026-01-01T00:00:00Z",
        "commitments": {item.field: item.commitment() for item in items},
    }
    assert b"ana" not in entry.leaf()
    assert b"QRS" not in entry.leaf()
    assert json.loads(entry.secret()) == [[item.salt, item.field, item.value] for item in items]


def test_an_end_names_what_it_ends() -> None:
    assert json.loads(Entry(kind="denial", public={}, ends=0).leaf()) == {"v": 1, "kind": "denial", "ends": 0}


def test_the_same_value_is_committed_to_differently_each_time() -> None:
    assert disclose("person", "ana").commitment() != disclose("person", "ana").commitment()
    fixed = Disclosure(salt="AAAA", field="person", value="ana")
    assert fixed.commitment() != Disclosure(salt="AAAA", field="case", value="ana").commitment()
