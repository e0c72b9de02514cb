"""Vendors' words become one vocabulary, and the vendor's word stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import normalise
from ingest.vocabulary import spellings, squeeze
from schemas import vocabulary
from schemas.detections import MAX_WORD_LENGTH, Attribute
from schemas.sightings import MAX_SAID_BYTES, Trait
from schemas.vocabulary import Kind

KINDS: tuple[Kind, ...] = ("make", "colour", "body")
FUNCTIONS = {"make": normalise.make, "colour": normalise.colour, "body": normalise.body}


def attribute(value: str, confidence: float | None = 0.9) -> Attribute:
    return Attribute(value=value, confidence=confidence)


def trait(value: str, said: str | None, code: str | None = None, confidence: float | None = 0.9) -> Trait:
    return Trait(value=value, confidence=confidence, code=code, said=said)


@pytest.mark.parametrize(
    ("word", "ours", "code"),
    [
        # OpenALPR
        ("bmw", "bmw", "BMW"),
        ("mercedes-benz", "mercedes-benz", "MERZ"),
        ("land-rover", "land rover", "LNDR"),
        # Plate Recognizer
        ("BMW", "bmw", "BMW"),
        ("Land Rover", "land rover", "LNDR"),
        ("Mercedes-Benz", "mercedes-benz", "MERZ"),
        ("Volkswagen", "volkswagen", "VOLK"),
        # Hikvision's numbers; the first is of a camera's message
        ("hikvision:1036", "mercedes-benz", "MERZ"),
        ("hikvision:1053", "volkswagen", "VOLK"),
        ("hikvision:1060", "toyota", "TOYT"),
        ("hikvision:1101", "land rover", "LNDR"),
        # Dahua, Genetec, NGSI
        ("Benz", "mercedes-benz", "MERZ"),
        ("VW", "volkswagen", "VOLK"),
        ("Citroën", "citroen", "CITR"),
        ("ŠKODA", "skoda", "SKOD"),
        ("Chevy", "chevrolet", "CHEV"),
        ("MERCEDES_BENZ", "mercedes-benz", "MERZ"),
        ("Land  Rover", "land rover", "LNDR"),
        # NCIC codes as words
        ("TOYT", "toyota", "TOYT"),
        ("HD", "harley-davidson", "HD"),
        ("MERC", "mercury", "MERC"),
        # a word of ours without a code
        ("Scania", "scania", None),
    ],
)
def test_makes(word: str, ours: str, code: str | None) -> None:
    assert normalise.make(attribute(word)) == trait(ours, None if word == ours else word, code)


@pytest.mark.parametrize(
    ("word", "ours", "code"),
    [
        ("White", "white", "WHI"),
        ("WHI", "white", "WHI"),
        ("gray", "grey", "GRY"),
        ("silver-gray", "silver-grey", None),
        ("SilverGray", "silver-grey", None),
        ("gold-beige", "gold-beige", None),
        ("BLUE", "blue", "BLU"),
        ("deepBlue", "dark blue", "DBL"),
        ("LightSkyBlue", "light blue", "LBL"),
        ("burgundy", "maroon", "MAR"),
        ("Ivory", "cream", "CRM"),
        ("MUL/COL", "multicolour", "MUL/COL"),
        ("白色", "white", "WHI"),
        ("other", "other", None),
    ],
)
def test_colours(word: str, ours: str, code: str | None) -> None:
    assert normalise.colour(attribute(word)) == trait(ours, None if word == ours else word, code)


@pytest.mark.parametrize(
    ("word", "ours", "code"),
    [
        ("suv-standard", "suv", None),
        ("suv-crossover", "suv", None),
        ("SUVMPV", "suv-mpv", None),
        ("sedan-compact", "sedan", "SD"),
        ("Saloon", "sedan", "SD"),
        ("Big Truck", "truck", None),
        ("truck-standard", "pickup", "PK"),
        ("Pickup Truck", "pickup", "PK"),
        ("pickupTruck", "pickup", "PK"),
        ("van-mini", "minivan", None),
        ("van-full", "van", "VN"),
        ("SUV", "suv", None),
        ("largeBus", "bus", "BU"),
        ("twoWheelVehicle", "motorcycle", "MC"),
        ("Motorcycle", "motorcycle", "MC"),
        # a size is no body
        ("Light-duty", "other", None),
    ],
)
def test_bodies(word: str, ours: str, code: str | None) -> None:
    assert normalise.body(attribute(word)) == trait(ours, None if word == ours else word, code)


def test_a_word_that_the_list_does_not_have_is_other_and_stays_as_it_was_said() -> None:
    assert normalise.make(attribute("  Zündapp_Werke ")) == trait("other", "  Zündapp_Werke ")
    assert normalise.make(attribute("hikvision:1999999")) == trait("other", "hikvision:1999999")
    assert normalise.make(attribute("a\0b")) == trait("other", "a b")
    long = normalise.make(attribute("x" * 100))
    assert long is not None
    assert long.said == "x" * MAX_WORD_LENGTH
    assert normalise.make(attribute("𠮷" * 20)) == trait("other", "𠮷" * 16)


@pytest.mark.parametrize("word", ["", "  ", "unknown", "UNKNOWN", "N/A", "missing", "null", "-"])
def test_a_word_that_says_nothing_is_none(word: str) -> None:
    assert normalise.make(attribute(word)) is None
    assert normalise.colour(attribute(word)) is None
    assert normalise.body(attribute(word)) is None
    assert normalise.model(attribute(word)) == (None, False)


def test_a_word_may_say_nothing_where_it_stands() -> None:
    assert normalise.body(attribute("vehicle")) is None
    assert normalise.make(attribute("hikvision:1024")) is None
    assert normalise.make(attribute("vehicle")) == trait("other", "vehicle")


def test_what_was_not_said_stays_unsaid_and_an_unknown_confidence_unknown() -> None:
    assert normalise.make(None) is None
    assert normalise.model(None) == (None, False)
    assert normalise.make(attribute("honda", None)) == trait("honda", None, "HOND", None)


@pytest.mark.parametrize(
    ("word", "make", "model", "disagrees"),
    [
        ("bmw_x3", "bmw", "x3", False),
        ("Land Rover Discovery", "land rover", "discovery", False),
        ("land-rover discovery", "land rover", "discovery", False),
        ("X3", "bmw", "x3", False),
        ("bmw_x3", None, "x3", False),
        ("bmw_x3", "toyota", "x3", True),
        ("bmw_x3", "other", "x3", False),
        ("toyota", "bmw", "toyota", False),
        # Names that are a make of one and a model of another prove nothing.
        ("Ram 1500", "dodge", "ram 1500", False),
        ("Genesis Coupe", "hyundai", "genesis coupe", False),
        ("Genesis G70", "genesis", "g70", False),
        # Two letters that are a make's code are not its name.
        ("HD 3500", "chevrolet", "hd 3500", False),
    ],
)
def test_models_lose_their_make(word: str, make: str | None, model: str, disagrees: bool) -> None:
    of_make = None if make is None else Trait(value=make)
    expected = trait(model, None if model == word else word)
    assert normalise.model(attribute(word), of_make) == (expected, disagrees)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_is_one(kind: Kind) -> None:
    table = spellings(kind)
    assert set(table.values()) == set(vocabulary.words(kind)), "no spelling leads out of the list"
    for one in vocabulary.words(kind).values():
        assert one.word == one.word.lower()
        assert len(one.word) <= MAX_WORD_LENGTH
        for spelling in (one.word, *one.spellings, *([one.ncic] if one.ncic else [])):
            assert table[squeeze(spelling)] == one.word, f"{spelling} is of two words"


@pytest.mark.parametrize(("kind", "length"), [("make", 4), ("colour", 7), ("body", 2)])
def test_codes_have_the_form_of_the_standard_and_are_one_words_each(kind: Kind, length: int) -> None:
    codes = [one.ncic for one in vocabulary.words(kind).values() if one.ncic]
    assert len(codes) == len(set(codes))
    assert all(2 <= len(code) <= length and code == code.upper() for code in codes)
    assert vocabulary.code(kind, vocabulary.OTHER) is None
    assert vocabulary.code(kind, "no such word") is None


def test_all_colour_codes_of_the_standard_are_there() -> None:
    assert sum(one.ncic is not None for one in vocabulary.words("colour").values()) == 32


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_any_text_gives_a_word_of_the_list_that_stays_itself(kind: Kind, data: st.DataObject) -> None:
    known = st.sampled_from(sorted(spellings(kind)))
    value = data.draw(st.text(max_size=60) | known | known.map(str.upper))
    once = FUNCTIONS[kind](attribute(value))
    if once is None:
        return
    assert once.value in vocabulary.words(kind)
    assert once.code == vocabulary.code(kind, once.value)
    again = FUNCTIONS[kind](attribute(once.value))
    assert again == trait(once.value, None, once.code)
    assert len((once.said or "").encode()) <= MAX_SAID_BYTES


@given(st.text(max_size=60), st.none() | st.sampled_from(["bmw", "other"]))
def test_any_text_is_a_model_or_none(value: str, make: str | None) -> None:
    found, _ = normalise.model(attribute(value), None if make is None else Trait(value=make))
    assert found is None or len(found.value) <= MAX_WORD_LENGTH
