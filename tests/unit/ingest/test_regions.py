"""Regions in every form that vendors send become ISO 3166, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import regions


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        # OpenALPR, Plate Recognizer
        ("us-ma", "US-MA"),
        ("US_MO", "US-MO"),
        ("us", "US"),
        ("ca-on", "CA-ON"),
        ("mx-jal", "MX-JAL"),
        ("au-nsw", "AU-NSW"),
        ("gb", "GB"),
        ("eu-de", "DE"),
        # Axis, Hikvision, Dahua
        ("POL", "PL"),
        ("USA", "US"),
        ("uk", "GB"),
        # names
        ("Missouri", "US-MO"),
        ("us-missouri", "US-MO"),
        ("NEW SOUTH WALES", "AU-NSW"),
        ("Nuevo Leon", "MX-NLE"),
        ("Québec", "CA-QC"),
        ("Mexico", "MX"),
        ("Germany", "DE"),
        ("Puerto Rico", "US-PR"),
        # a country is worth something without its part
        ("us-zz", "US"),
        ("us-ontario", "US"),
        ("de-by", "DE"),
        # alone, two letters are a country's
        ("CA", "CA"),
        ("mo", "MO"),
        # two regions have this name
        ("Georgia", None),
        ("", None),
        (None, None),
        ("unknown", None),
        ("NON", None),
        ("XYZ", None),
        ("1", None),
        ("eu", None),
        ("us-ma; drop", "US"),
    ],
)
def test_regions(said: str | None, ours: str | None) -> None:
    assert regions.region(said) == ours


@pytest.mark.parametrize(
    ("said", "ours"),
    [("MO", "US-MO"), (" ca ", "US-CA"), ("ON", "CA-ON"), ("PR", "US-PR"), ("JAL", None), ("US", None), (None, None)],
)
def test_states_without_their_country(said: str | None, ours: str | None) -> None:
    assert regions.of_state(said) == ours


@given(st.none() | st.text(max_size=20) | st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,3})?", fullmatch=True))
def test_any_text_gives_a_region_of_the_list_that_stays_itself(said: str | None) -> None:
    found = regions.region(said)
    if found is not None:
        assert regions.is_known(found)
        assert regions.region(found) == found


def test_what_is_not_in_the_list_is_not_known() -> None:
    assert [code for code in ("UK", "XX", "US-ZZ", "DE-BY", "USA", "us", "") if regions.is_known(code)] == []
