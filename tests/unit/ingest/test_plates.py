"""Which plates a region can issue."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import plates, regions

DATA = Path(plates.__file__).parent / "vocabulary"
STATES = 50


@pytest.mark.parametrize(
    ("plate", "region", "form"),
    [
        ("7ABC123", "US-CA", "standard"),
        ("ABC1234", "US-NY", "standard"),
        ("ABC1234", "US-TX", "standard"),
        ("ABC123", "US-MN", "possible"),
        ("123ABC", "US-MN", "standard"),
        # personalised plates are common: only a length that nobody issues is impossible
        ("A", "US-MA", "possible"),
        ("HELLO", "US-CA", "possible"),
        ("7ABC123", "US", "possible"),
        ("ABCDEFGHI", "US-MA", "impossible"),
        ("ABCDEFGHI", None, "possible"),
        ("ABCDEFGHIJK", None, "impossible"),
        ("A", None, "impossible"),
        ("A", "DE", "impossible"),
        ("A", "CA-ON", "impossible"),
        ("ABCD", "MX-JAL", "impossible"),
        # personalised British plates have to be of a known series too
        ("AB12CDE", "GB", "standard"),
        ("A123BCD", "GB", "standard"),
        ("ABC123D", "GB", "standard"),
        ("1A", "GB", "standard"),
        ("AIZ1234", "GB", "standard"),
        ("123D456", "GB", "standard"),
        ("123E456", "GB", "impossible"),
        ("ABCDEFG", "GB", "impossible"),
        ("AB12CDEF", "GB", "impossible"),
    ],
)
def test_forms(plate: str, region: str | None, form: str) -> None:
    assert plates.form(plate, region) == form


@given(st.text(max_size=20), st.none() | st.sampled_from(["US", "US-MA", "GB", "DE", "nowhere", ""]))
def test_any_text_has_a_form(plate: str, region: str | None) -> None:
    assert plates.form(plate, region) in {"standard", "possible", "impossible"}
    assert plates.is_impossible(plate, region) == (plates.form(plate, region) == "impossible")


def test_every_state_has_a_series_and_every_series_can_be_one_of_its_region() -> None:
    assert len([region for region in plates.series() if region.startswith("US-")]) >= STATES
    for region, masks in plates.series().items():
        assert regions.is_known(region)
        for mask in masks:
            assert plates.form(mask.replace("9", "7"), region) == "standard"


@pytest.mark.parametrize("name", ["plates.csv", "plate_rules.csv"])
def test_every_row_says_where_it_is_from_and_when_that_was_checked(name: str) -> None:
    lines = [line for line in (DATA / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        assert row["source"]
        assert row["source"].startswith("not verified") != (row["verified_on"] == "2026-11-24")
