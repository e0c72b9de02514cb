"""Vendors' words and codes become one vocabulary."""

import pytest

from ingest import normalise, vocabulary
from schemas.detections import MAX_WORD_LENGTH, Attribute


def attribute(value: str, confidence: float | None = 0.9) -> Attribute:
    return Attribute(value=value, confidence=confidence)


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("bmw", "bmw"),
        ("BMW", "bmw"),
        ("VW", "volkswagen"),
        ("Mercedes-Benz", "mercedes-benz"),
        ("MERCEDES_BENZ", "mercedes-benz"),
        ("Mercedes", "mercedes-benz"),
        ("Land  Rover", "land rover"),
        ("Citroën", "citroen"),
        ("Chevy", "chevrolet"),
    ],
)
def test_makes(word: str, ours: str) -> None:
    assert normalise.make(attribute(word)) == attribute(ours)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("White", "white"), ("gray", "grey"), ("silver-gray", "silver-grey"), ("gold-beige", "gold"), ("BLUE", "blue")],
)
def test_colours(word: str, ours: str) -> None:
    assert normalise.colour(attribute(word)) == attribute(ours)


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("suv-standard", "suv"),
        ("suv-crossover", "suv"),
        ("sedan-compact", "sedan"),
        ("Big Truck", "truck"),
        ("Pickup Truck", "pickup"),
        ("van-mini", "minivan"),
        ("SUV", "suv"),
    ],
)
def test_bodies(word: str, ours: str) -> None:
    assert normalise.body(attribute(word)) == attribute(ours)


def test_a_word_that_nobody_knows_is_kept_in_plain_form() -> None:
    assert normalise.make(attribute("  Zündapp_Werke ")) == attribute("zündapp werke")
    long = normalise.make(attribute("x" * 100))
    assert long is not None
    assert len(long.value) == MAX_WORD_LENGTH


@pytest.mark.parametrize("word", ["", "  ", "unknown", "UNKNOWN", "N/A", "missing", "null", "-"])
def test_a_word_that_says_nothing_is_none(word: str) -> None:
    assert normalise.make(attribute(word)) is None
    assert normalise.colour(attribute(word)) is None
    assert normalise.body(attribute(word)) is None
    assert normalise.model(attribute(word)) == (None, False)


def test_what_was_not_said_stays_unsaid_and_an_unknown_confidence_unknown() -> None:
    assert normalise.make(None) is None
    assert normalise.model(None) == (None, False)
    assert normalise.make(attribute("Honda", None)) == attribute("honda", None)


@pytest.mark.parametrize(
    ("word", "make", "model", "disagrees"),
    [
        ("bmw_x3", "bmw", "x3", False),
        ("Land Rover Discovery", "land rover", "discovery", False),
        ("land-rover discovery", "land rover", "discovery", False),
        ("X3", "bmw", "x3", False),
        ("bmw_x3", None, "x3", False),
        ("bmw_x3", "toyota", "x3", True),
        ("toyota", "bmw", "toyota", False),
        # Names that are a make of one and a model of another prove nothing.
        ("Ram 1500", "dodge", "ram 1500", False),
        ("Genesis Coupe", "hyundai", "genesis coupe", False),
        ("Genesis G70", "genesis", "g70", False),
    ],
)
def test_models_lose_their_make(word: str, make: str | None, model: str, disagrees: bool) -> None:
    of_make = None if make is None else attribute(make)
    assert normalise.model(attribute(word), of_make) == (attribute(model), disagrees)


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("us-ma", "US-MA"),
        ("US_MO", "US-MO"),
        ("us", "US"),
        ("USA", "US"),
        ("ca-on", "CA-ON"),
        ("gb", "GB"),
        ("uk", "GB"),
        ("us-zz", "US"),
        ("de-by", "DE"),
        ("", None),
        (None, None),
        ("unknown", None),
        ("XYZ", None),
        ("1", None),
        ("us-ma; drop", None),
    ],
)
def test_regions(code: str | None, ours: str | None) -> None:
    assert normalise.region(code) == ours


@pytest.mark.parametrize(
    ("plate", "region", "plausible"),
    [
        ("2XX042", "US-MA", True),
        ("A", "US-MA", True),
        ("ABCDEFGHI", "US-MA", False),
        ("ABCDEFGHI", None, True),
        ("ABCDEFGHIJK", None, False),
        ("A", None, False),
        ("AB12CDE", "GB", True),
        ("AB12CDEF", "GB", False),
    ],
)
def test_plates_of_a_length_that_a_region_does_not_issue_are_implausible(
    plate: str, region: str | None, plausible: bool
) -> None:
    assert normalise.is_plausible(plate, region) is plausible


@pytest.mark.parametrize("table", [vocabulary.MAKES, vocabulary.COLOURS, vocabulary.BODIES])
def test_the_vocabulary_is_one(table: dict[str, str]) -> None:
    for squeezed, ours in table.items():
        assert squeezed == vocabulary.squeeze(squeezed)
        assert ours == ours.lower()
        assert table[vocabulary.squeeze(ours)] == ours, "a word of ours leads to itself"
        assert squeezed not in vocabulary.NOT_A_WORD
