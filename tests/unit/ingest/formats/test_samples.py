"""Every sample becomes what the table says that was written by hand."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from ingest.formats import table
from ingest.formats.recognise import recognise
from schemas.plate import normalise
from tests.support import samples
from tests.unit.ingest.formats.expected import EXPECTED

REAL = {
    "openalpr/alpr_group.json",
    "openalpr/alpr_alert.json",
    "openalpr/vehicle.json",
    "platerecognizer/stream_webhook.json",
    "hikvision/anpr.xml",
    "dahua/TrafficJunction.json",
    "axis/event.json",
    "ngsi/AnprFlowObserved.json",
}
NOT_ALONE = {"axis/other_state.json", "frigate/face.json", "frigate/events.json", "verkada/notification.json"} | {
    "platerecognizer/camera_status.json"
}
"""Messages about something else, which only the path tells the sender of."""


def plain(value: Any) -> Any:
    """Return a value with its numbers rounded: a division by 100 is not what is tested."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def fields(outcome: Any) -> Any:
    return type(outcome).__name__, plain(msgspec.to_builtins(outcome))


def test_every_sample_is_in_the_table() -> None:
    assert sorted(EXPECTED) == samples.NAMES
    built = Counter(name.partition("/")[0] for name in set(samples.NAMES) - REAL)
    assert set(built) == set(table.PARSERS) - {table.NATIVE}
    assert min(built.values()) >= 3


@pytest.mark.parametrize("name", samples.NAMES)
def test_a_sample_becomes_what_was_written_down(name: str) -> None:
    outcomes = table.PARSERS[name.partition("/")[0]](samples.payload(name))
    assert [fields(outcome) for outcome in outcomes] == [fields(outcome) for outcome in EXPECTED[name]]


@pytest.mark.parametrize("name", samples.NAMES)
def test_a_sample_is_recognised_by_its_content(name: str) -> None:
    found = recognise(samples.payload(name))
    assert found == name.partition("/")[0] or (found is None and name in NOT_ALONE)


@pytest.mark.parametrize("payload", [None, 7, "x", [], {}, {"data": []}, {"data": None}, {"type": "lpr"}])
def test_what_looks_like_no_format_is_not_recognised(payload: Any) -> None:
    assert recognise(payload) is None


def test_what_looks_like_two_formats_is_not_recognised() -> None:
    assert recognise({**samples.payload("frigate/lpr.json"), **samples.payload("axis/new.json")}) is None


def test_look_alike_letters_of_another_alphabet_are_one_plate() -> None:
    [read] = EXPECTED["verkada/bare.json"]
    assert normalise(getattr(read, "plate_raw", None)) == "EXA0042"


def test_every_format_has_an_answer_of_the_2xx() -> None:
    assert table.ANSWERS.keys() == table.PARSERS.keys()
    assert all(200 <= answer.status < 300 for answer in table.ANSWERS.values())
    assert table.ANSWERS[table.DAHUA_ITSAPI].body == b'{"Result": true}'
