"""Nothing that is not on the list leaves a parser: every unlisted field of every sample is set to a marker of its own.

The lists are written by hand, as paths with `*` for an element of an array; a made-up field is put into every object.
"""

import re
from typing import Final

import msgspec
import pytest

from ingest.formats import table
from ingest.formats.recognise import recognise
from tests.support import samples
from tests.support.allow_list import LISTED, Marker, changed, dotted, places
from tests.unit.ingest.formats.expected import EXPECTED

PERSONS: Final = re.compile("rider|seat|belt|smok|phone|face|hair|age$|gender|driver|person|people|sub_label|signature")


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", samples.NAMES)
def test_unlisted_fields_change_nothing(name: str, whole: bool) -> None:
    format_ = name.partition("/")[0]
    payload = samples.payload(name)
    marker = Marker(LISTED[format_], whole=whole)
    marked = marker.mark(payload)
    assert b"MARKER3333" in msgspec.json.encode(marked)
    outcomes = table.PARSERS[format_](marked)
    assert b"MARKER" not in msgspec.json.encode(outcomes)
    assert outcomes == table.PARSERS[format_](payload)
    assert recognise(marked) == recognise(payload)


def test_the_samples_hold_what_is_about_persons_and_none_of_it_is_listed() -> None:
    seen = set()
    for name in samples.NAMES:
        marker = Marker(LISTED[name.partition("/")[0]], whole=False)
        marker.mark(samples.payload(name))
        seen |= {path for path in marker.set if PERSONS.search(path.lower())}
    assert len(seen) > 40
    assert not [path for listed in LISTED.values() for path in listed if PERSONS.search(path.lower())]


@pytest.mark.parametrize("name", samples.NAMES)
def test_a_field_of_the_wrong_shape_is_quoted_by_no_rejection(name: str) -> None:
    """Each field of a sample in turn becomes an object, and an array, of a marker."""
    payload = samples.payload(name)
    parse = table.PARSERS[name.partition("/")[0]]
    for path in places(payload):
        for other in ({"MARKER": "MARKER"}, ["MARKER"], [[{"MARKER": 1}]]):
            assert b"MARKER" not in msgspec.json.encode(parse(changed(payload, path, other)))


def _bare(path: str) -> str:
    """Return a path without the envelope that its message may be in or not."""
    for envelope in ("group.", "params.eventList.*.", "data.*.", "data."):
        path = path.removeprefix(envelope)
    return path


def test_every_listed_field_is_in_a_sample() -> None:
    """A list that named a field which no sample has would not be tested by the samples."""
    found: dict[str, set[str]] = {}
    for name in samples.NAMES:
        paths = [dotted(path) for path in places(samples.payload(name))]
        found.setdefault(name.partition("/")[0], set()).update(_bare(path) for path in paths)
    for format_, listed in LISTED.items():
        assert {_bare(path) for path in listed} - found[format_] == set(), format_


def test_the_table_of_expectations_has_reads_of_every_format() -> None:
    reads = {name.partition("/")[0] for name, outcomes in EXPECTED.items() if type(outcomes[-1]).__name__ == "Read"}
    assert reads | {"platerecognizer", "ngsi"} == LISTED.keys()
