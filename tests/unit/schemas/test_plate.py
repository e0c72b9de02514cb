"""Plates: normal form and key."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import plate

PLATES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=plate.MAX_PLATE_LENGTH)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("xq-7o41", "XQ7O41"),
        (" XQ 7·041 ", "XQ7041"),
        ("\uff38\uff317O41", "XQ7O41"),  # full-width letters
        ("\u0410\u0412\u0421 123", "ABC123"),  # Cyrillic
        ("\u0391\u0392\u03a7 123", "ABX123"),  # Greek
        ("", None),
        (None, None),
        ("---", None),
        ("unknown", None),
        ("NO PLATE", None),
        ("N/A", None),
        ("\u0416\u0416123", None),  # a letter without a Latin twin is no plate that could be asked for
        ("A" * 17, None),
    ],
)
def test_normal_form(raw: str | None, normal: str | None) -> None:
    assert plate.normalise(raw) == normal


@pytest.mark.parametrize("group", plate.LOOK_ALIKES)
def test_every_pair_of_look_alikes_shares_a_key(group: str) -> None:
    assert {plate.plate_key(f"X{one}7") for one in group} == {f"X{group[0]}7"}


def test_characters_of_different_groups_never_share_a_key() -> None:
    for one, other in itertools.combinations(plate.LOOK_ALIKES, 2):
        assert plate.plate_key(one[-1]) != plate.plate_key(other[-1])


@given(PLATES)
def test_the_key_is_a_fixed_point_and_keeps_the_length(text: str) -> None:
    key = plate.plate_key(text)
    assert plate.plate_key(key) == key
    assert len(key) == len(text)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_and_no_text_yields_a_key_of_an_unread_plate(raw: str) -> None:
    normal = plate.normalise(raw)
    if normal is not None:
        assert plate.normalise(normal) == normal
        assert not plate.plate_key(normal).startswith(plate.NO_PLATE_PREFIX)


@given(st.from_regex(r"[A-Za-z0-9]{0,20}", fullmatch=True) | st.sampled_from(sorted(plate.SENTINELS)))
def test_what_need_not_be_folded_has_the_form_of_what_must_be(text: str) -> None:
    assert plate.normalise(text) == plate.normalise(f"-{text} ")


def test_a_read_without_a_plate_is_keyed_by_its_camera() -> None:
    assert plate.no_plate_key("cam-mesa-001") == "~cam-mesa-001"
