"""JSON as the gateway takes it: strict, bounded in depth, and without a key twice."""

import json

import pytest

from ingest.formats.payload import MAX_DEPTH, NotUsable, loads


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"{} {}", "not_json"),
        (b"NaN", "not_json"),
        (b'{"a":Infinity}', "not_json"),
        (b"1e999", "not_json"),
        (b'"\xff"', "not_json"),
        (b'"\\ud800"', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        ('{"a":1}'.encode("utf-16"), "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[" * 1000 + b"]" * 1000, "too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'[{"b":{"a":1,\n"a"\t :2}}]', "duplicate_key"),
        (b'{"a" :1,"\\u0061":2}', "duplicate_key"),
        (b'{"a":":\\":\\":","a":2}', "duplicate_key"),
        (b'{"n":' + b"9" * 300 + b',"a":1,"a":2}', "duplicate_key"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(NotUsable) as caught:
        loads(data)
    assert caught.value.reason == reason
    assert str(caught.value) == reason, "nothing of the bytes is quoted"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        {},
        {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]},
        {"a": 'he said ":" and "b":2, then "\t:'},
        {'":': 1, '"': {'":': 2}},
        {"": 0, "é": "ü", "time": "12:30:00Z"},
    ],
)
@pytest.mark.parametrize("spaced", [False, True])
def test_what_is_taken(value: object, spaced: bool) -> None:
    text = json.dumps(value, indent=2 if spaced else None, ensure_ascii=spaced)
    assert loads(text.encode()) == value
    assert loads(text.replace('":', '" \n:').encode() if '":' not in str(value) else text.encode()) == value


def test_the_depth_that_is_taken() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert loads(deep) is not None
    with pytest.raises(NotUsable):
        loads(b"[" + deep + b"]")


def test_a_number_with_thousands_of_digits_is_no_crash() -> None:
    with pytest.raises(NotUsable):
        loads(b'{"a":":","n":-' + b"1" * 5000 + b"}")
