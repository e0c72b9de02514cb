"""Verification of rows in memory: sound logs of any shape pass, and each kind of damage is named."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.entries import canonical
from schemas.queries import Receipt
from search.audit.errors import LogBroken
from search.audit.merkle import Tree, leaf_hash, place_hash
from search.audit.ports import Head
from search.audit.receipts import receipts_in
from search.audit.verify import Report, Row, verify

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def row(index: int, body: dict[str, Any]) -> Row:
    """Return a row as the database makes it."""
    leaf = canonical({"v": 1, **body})
    hashed = leaf_hash(leaf)
    return Row(
        index,
        leaf,
        hashed,
        place_hash(index, hashed),
        body["kind"],
        body.get("ends"),
        body.get("agency"),
        body.get("purpose"),
    )


def question(index: int, agency: str = "aurora-pd", at: datetime = NOW, end: str = "outcome") -> list[Row]:
    """Return the rows of a question and its end."""
    common = {"agency": agency, "at": at.isoformat()}
    return [
        row(index, {"kind": "intent", "purpose": "stolen_vehicle", **common}),
        row(index + 1, {"kind": end, "ends": index, **common}),
    ]


def log(questions: int = 8) -> list[Row]:
    return [item for number in range(questions) for item in question(2 * number)]


def head(rows: Sequence[Row]) -> Head:
    tree = Tree()
    for item in rows:
        tree.add(item.hash)
    return Head(size=tree.size, root=tree.root(), frontier=tree.frontier)


def receipt(rows: Sequence[Row], index: int, size: int) -> Receipt:
    leaf = base64.b64encode(rows[index].leaf).decode()
    return Receipt(index=index, leaf=leaf, size=size, root=head(rows[:size]).root.hex())


def check(rows: Sequence[Row], of: Head | None = None, *against: Receipt) -> Report:
    return verify(rows, of or head(rows), against, now=NOW)


def found(report: Report) -> set[tuple[str, int, int]]:
    return {(item.problem, item.first, item.last) for item in report.findings}


@given(st.integers(0, 40), st.data())
def test_a_sound_log_passes_with_any_receipt_it_gave(questions: int, data: st.DataObject) -> None:
    rows = log(questions)
    sizes = data.draw(st.lists(st.integers(1, len(rows)), max_size=5)) if rows else []
    kept = [receipt(rows, data.draw(st.integers(0, size - 1)), size) for size in sizes]
    report = check(rows, None, *kept)
    assert found(report) == set()
    assert report.root == head(rows).root
    report.raise_for_findings()


@given(st.data())
def test_any_one_damaged_row_is_named_and_no_other(data: st.DataObject) -> None:
    rows = log()
    index = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(["leaf", "hash", "place"]))
    old = bytes(getattr(rows[index], column))
    position, bit = data.draw(st.integers(0, len(old) - 1)), data.draw(st.integers(0, 7))
    new = old[:position] + bytes([old[position] ^ 1 << bit]) + old[position + 1 :]
    damaged = [*rows]
    change: dict[str, Any] = {column: new}
    damaged[index] = rows[index]._replace(**change)
    report = check(damaged, head(rows))
    assert ("altered", index, index) in found(report)
    assert {item.first for item in report.findings if item.problem in {"altered", "moved", "missing"}} == {index}


@given(st.data())
def test_any_missing_rows_are_named_and_no_other(data: st.DataObject) -> None:
    rows = log()
    gone = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))
    report = check([item for item in rows if item.idx not in gone], head(rows))
    named = {
        index for item in report.findings if item.problem == "missing" for index in range(item.first, item.last + 1)
    }
    assert named == gone
    assert not {"altered", "moved", "beyond"} & {item.problem for item in report.findings}
    with pytest.raises(LogBroken):
        report.raise_for_findings()


@given(st.data(), st.sampled_from(["leaf", "hashes", "row"]))
def test_any_two_swapped_rows_are_named_and_no_other(data: st.DataObject, how: str) -> None:
    rows = [row(number, {"kind": "camera", "agency": f"agency-{number}"}) for number in range(12)]
    one, two = data.draw(st.lists(st.integers(0, 11), min_size=2, max_size=2, unique=True))
    moved = {"leaf": ["leaf"], "hashes": ["leaf", "hash"], "row": [name for name in Row._fields if name != "idx"]}[how]
    swapped = [*rows]
    for here, there in ((one, two), (two, one)):
        swapped[here] = rows[here]._replace(**{name: getattr(rows[there], name) for name in moved})
    report = check(swapped, head(rows))
    named = {item.first: item.detail for item in report.findings if item.problem in {"moved", "altered", "missing"}}
    assert set(named) == {one, two}
    assert str(two) in named[one]
    assert str(one) in named[two]


def test_three_rows_in_a_circle_are_all_named() -> None:
    rows = [row(number, {"kind": "camera", "agency": f"agency-{number}"}) for number in range(6)]
    turned = [*rows]
    for here, there in ((1, 2), (2, 4), (4, 1)):
        turned[here] = rows[there]._replace(idx=here)
    report = check(turned, head(rows))
    assert {item.first for item in report.findings if item.problem == "moved"} == {1, 2, 4}


def test_of_very_many_damaged_rows_each_is_named() -> None:
    rows = [row(number, {"kind": "camera"}) for number in range(3000)]
    shifted = [rows[(number + 1) % 3000]._replace(idx=number) for number in range(3000)]
    report = check(shifted, head(rows))
    assert {item.first for item in report.findings if item.problem == "altered"} == set(range(3000))


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"v":1}',
        b'{"kind":1}',
        b'{"v": 1,"kind":"x"}',
        b'{"v":1,"kind":"x"}',
        b"\xff",
        b'{"deep":' + b"[" * 400 + b"]" * 400 + b',"kind":"x"}',
    ],
)
def test_a_leaf_that_is_no_canonical_entry_is_named(leaf: bytes) -> None:
    rows = log(2)
    hashed = leaf_hash(leaf)
    rows.append(Row(4, leaf, hashed, place_hash(4, hashed), "x", None, None, None))
    assert found(check(rows)) == {("undecodable", 4, 4)}


@pytest.mark.parametrize(
    "columns",
    [
        {"ends": [1]},
        {"ends": {"a": 1}},
        {"ends": True},
        {"ends": 1.0},
        {"ends": "1"},
        {"agency": ["a"]},
        {"agency": {"a": 1}},
        {"agency": 1},
        {"purpose": ["a"]},
        {"purpose": {}},
    ],
)
@pytest.mark.parametrize("kind", ["intent", "outcome", "abandoned"])
def test_a_leaf_whose_columns_have_other_types_is_named_and_does_not_stop_the_verification(
    kind: str, columns: dict[str, Any]
) -> None:
    rows = log(2)
    leaf = orjson.dumps({"v": 1, "kind": kind, **columns}, option=orjson.OPT_SORT_KEYS)
    hashed = leaf_hash(leaf)
    rows.append(Row(4, leaf, hashed, place_hash(4, hashed), kind, None, None, None))
    rows += question(5)
    assert found(check(rows)) == {("undecodable", 4, 4)}


@pytest.mark.parametrize("column", ["kind", "ends", "agency", "purpose"])
def test_columns_that_contradict_the_leaf_are_named(column: str) -> None:
    rows = log(2)
    other: dict[str, Any] = {column: 7 if column == "ends" else "other"}
    rows[2] = rows[2]._replace(**other)
    assert found(check(rows)) == {("columns", 2, 2)}


def test_a_second_end_and_an_end_of_nothing_are_named() -> None:
    rows = [
        *question(0),
        row(2, {"kind": "denial", "ends": 0}),
        row(3, {"kind": "failure", "ends": 99}),
        row(4, {"kind": "outcome"}),
    ]
    assert found(check(rows)) == {("end", 2, 2), ("end", 3, 3), ("end", 4, 4)}


def test_an_end_of_something_missing_is_no_further_fault() -> None:
    rows = log(3)
    assert found(check([*rows[:2], *rows[3:]], head(rows))) == {("missing", 2, 2)}


def test_the_unended_are_open_while_young_and_a_fault_when_old() -> None:
    times = [NOW - timedelta(seconds=seconds) for seconds in (0, 899, 901, 86400)]
    rows = [row(number, {"kind": "intent", "at": at.isoformat()}) for number, at in enumerate(times)]
    rows += [row(4, {"kind": "page", "intent": 0}), row(5, {"kind": "intent", "at": "2026-03-01T12:00:00"})]
    rows += [row(6, {"kind": "intent", "at": NOW.isoformat().replace("+00:00", "Z")})]
    report = check(rows)
    assert report.open == (0, 1, 6)
    assert found(report) == {("unended", number, number) for number in (2, 3, 4, 5)}
    assert found(verify(rows[:4], head(rows[:4]), now=NOW, end_limit_s=1e6)) == set()


def test_the_abandoned_are_counted_by_agency() -> None:
    rows = [*question(0, "a", end="abandoned"), *question(2, "b", end="abandoned"), *question(4, "a", end="abandoned")]
    report = check([*rows, *question(6)])
    assert report.abandoned == {"a": 2, "b": 1}
    assert report.kinds == {"intent": 4, "abandoned": 3, "outcome": 1}


def test_a_cut_tail_is_named_by_a_receipt() -> None:
    rows = log()
    cut = rows[:10]
    assert found(check(cut)) == set()
    assert found(check(cut, None, receipt(rows, 3, 14))) == {("cut", 10, 13)}
    assert found(check(cut, None, receipt(rows, 12, 14), receipt(rows, 2, 11))) == {("cut", 10, 13)}
    assert found(check(cut, None, receipt(rows, 3, 10))) == set()


def test_a_rewritten_history_is_named_by_receipts() -> None:
    rows = log()
    other = [*rows]
    other[6] = row(6, {"kind": "intent", "purpose": "stolen_vehicle", "agency": "someone", "at": NOW.isoformat()})
    assert found(check(other)) == set()
    assert found(check(other, None, receipt(rows, 6, 7))) == {("rewritten", 6, 6), ("rewritten", 0, 6)}
    narrowed = check(other, None, receipt(rows, 0, 1), receipt(rows, 0, 5), receipt(rows, 0, 9), receipt(rows, 0, 16))
    assert found(narrowed) == {("rewritten", 5, 8)}


def test_an_empty_log_is_sound_and_a_lost_head_is_not() -> None:
    assert found(check([])) == set()
    assert ("head", 0, 0) in found(check([], Head(size=0, root=b"", frontier=())))
    assert found(check(log(1), Head(size=0, root=b"", frontier=()))) >= {("beyond", 0, 1), ("head", 0, 0)}


@pytest.mark.parametrize(
    "changes",
    [{"root": "00"}, {"root": "zz" * 32}, {"leaf": "not base64!"}, {"index": 5, "size": 5}, {"index": -1}, {"size": 0}],
)
def test_a_receipt_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    rows = log()
    with pytest.raises(ValueError, match="receipt"):
        check(rows, None, msgspec.structs.replace(receipt(rows, 2, 4), **changes))


def test_receipts_are_found_alone_in_answers_and_in_lists() -> None:
    rows = log()
    one, two = receipt(rows, 2, 4), receipt(rows, 5, 6)
    plain = msgspec.json.encode(one)
    answer = json.dumps({"points": [], "receipt": msgspec.to_builtins(two)}).encode()
    assert receipts_in(plain) == (one,)
    assert receipts_in(answer) == (two,)
    assert receipts_in(b"[" + plain + b"," + answer + b"]") == (one, two)
    assert receipts_in(plain + b"\n" + answer + b"\n") == (one, two)  # as `search trajectory --all --json` prints


@pytest.mark.parametrize("content", [b"", b"QRS8210", b"3", b"[1]", b'{"receipt":3}', b'{"index":"QRS8210"}', b"null"])
def test_a_file_without_receipts_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(ValueError, match="holds no receipt") as caught:
        receipts_in(content)
    assert "QRS" not in str(caught.value)
