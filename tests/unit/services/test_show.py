"""What a terminal shows of an answer: every point, what is withheld, and no line where no vehicle drove."""

import io
import uuid

import msgspec
import pytest
from rich.console import Console

from schemas.queries import Answer
from schemas.sightings import Trait
from services.cli import show
from services.cli.audit import entries_table
from services.cli.braille import BLANK, draw
from services.cli.camera_tables import cameras_table
from services.cli.deadletters import letters_table
from tests.unit.services.answers import STOPS, answer, leg


def printed(shown: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def dots(text: str) -> int:
    return sum((ord(mark) - BLANK).bit_count() for mark in text if BLANK < ord(mark) < BLANK + 256)


@pytest.mark.parametrize("width", [80, 120])
def test_every_point_is_shown_with_its_zone_and_what_led_to_it(width: int) -> None:
    text = printed(show.trajectory(answer()), width)
    for camera, owner, *_ in STOPS:
        assert camera.removeprefix("cam-") in text
        assert owner in text
    for word in ("08:05:09-06", "14:17:09-05", "124 km, 1 h 18", "XQ7-O41 93%", "2 reads", "unsure", "chevrolet suv"):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100])
def test_many_points_with_long_names_and_ways_lose_nothing(width: int) -> None:
    few, names = answer(), ("cam-north-platte-ne-inbound-2", "cam-scottsbluff-ne-westbound-12")
    points = [
        msgspec.structs.replace(few.points[number % 5], pass_id=uuid.UUID(int=number + 1), camera_id=names[number % 2])
        for number in range(14)
    ]
    legs = [leg(number, 1_234_000.0, 13.2 * 3600) for number in range(1, 14)]
    text = printed(show.points_table(msgspec.structs.replace(few, points=tuple(points), legs=tuple(legs))), width)
    assert max(map(len, text.splitlines())) <= width
    assert "way here" in text
    assert text.count("1,234 km, 13 h 12") == text.count("93 km/h") == 13
    words = set(text.split())
    whole = {name.removeprefix("cam-") for name in names}
    assert words >= (
        whole if width == 100 else {"north-platte-", "ne-inbound-2", "scottsbluff-", "ne-westbound-", "12"}
    )
    assert {"14", "chevrolet", "XQ7-O41"} <= words


def test_what_the_vocabulary_has_no_word_for_is_quoted() -> None:
    few = answer()
    unlisted = msgspec.structs.replace(
        few.points[0], make=Trait(value="other", said="Zündapp"), body=Trait(value="other")
    )
    text = printed(show.points_table(msgspec.structs.replace(few, points=(unlisted,), legs=())), 100)
    assert '"Zündapp" other' in text


def test_names_break_after_dashes() -> None:
    assert show.broken("north-platte-ne-inbound-2", 14) == ["north-platte-", "ne-inbound-2"]
    assert show.broken("unbreakable", 5) == ["unbreakable"]
    assert show.broken("a--b", 80) == ["a--b"]


def test_an_answer_says_what_it_is_worth_and_what_is_missing() -> None:
    text = printed(show.trajectory(answer()))
    assert "UNVERIFIED LEAD" in text
    assert "not complete; withheld: 1 owner (no grant: 1)" in text
    assert "entry 48" in text
    assert "split between 5 and 6: no vehicle drives 1,620 km/h" in text
    whole = printed(show.trajectory(answer(points=2, complete=True)))
    assert "2 points, complete" in whole
    assert "withheld" not in whole
    assert "split" not in whole


def test_more_pages_are_mentioned() -> None:
    more = msgspec.structs.replace(answer(), next="x")
    assert "more pages" in printed(show.lead(more))


def test_a_further_page_alone_has_a_leg_from_before_it() -> None:
    whole = answer()
    further = msgspec.structs.replace(whole, points=whole.points[3:], legs=whole.legs[2:])
    text = printed(show.trajectory(further))
    assert "211 km" in text
    assert "goodland" not in text


def test_pages_are_joined_into_one_trajectory() -> None:
    whole = answer()
    pages = [
        msgspec.structs.replace(whole, points=whole.points[:3], legs=whole.legs[:2], splits=(), next="x"),
        msgspec.structs.replace(whole, points=whole.points[3:], legs=whole.legs[2:], intent=50, outcome=51),
    ]
    assert show.joined(pages) == msgspec.structs.replace(whole, outcome=51)


def test_an_answer_without_points_has_no_map() -> None:
    empty = answer(points=0)
    text = printed(show.trajectory(empty))
    assert "0 points" in text
    assert "map" not in text


def test_points_at_one_place_have_a_timeline_and_no_map() -> None:
    text = printed(show.trajectory(answer(points=1)))
    assert "●" in text
    assert "map" not in text


def test_no_line_is_drawn_along_an_impossible_leg() -> None:
    split = answer()
    possible = msgspec.structs.replace(
        split, legs=tuple(msgspec.structs.replace(leg, impossible=False) for leg in split.legs)
    )
    assert dots(printed(show.map_panel(split))) < dots(printed(show.map_panel(possible)))


def test_the_timeline_has_a_line_a_day_and_a_mark_a_half_hour() -> None:
    late = answer(points=2)
    next_day = late.points[1].captured_at.replace(day=3, hour=23, minute=59)
    moved = Answer(
        **{
            **msgspec.structs.asdict(late),
            "points": (late.points[0], msgspec.structs.replace(late.points[1], captured_at=next_day)),
        }
    )
    lines = [line for line in printed(show.timeline(moved.points)).splitlines() if "Jul" in line]
    assert [line.split()[1] for line in lines] == ["01", "02", "03"]
    assert [line.count("●") for line in lines] == [1, 0, 1]
    assert lines[2].endswith("●")


def test_points_within_half_an_hour_are_counted() -> None:
    one = answer(points=1).points[0]
    assert "3" in printed(show.timeline([one, one, one])).splitlines()[-1].split()[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (59.6, "60 s"), (61, "1 min"), (3599, "1 h 00"), (11_100, "3 h 05")]
)
def test_spans_are_short(seconds: float, text: str) -> None:
    assert show.span(seconds) == text


def test_the_map_has_north_up_and_keeps_its_shape() -> None:
    # A square of 2 by 2 degrees at the equator: as many dots high as wide, a character being 2 by 4 of them.
    places = [(1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)]
    drawn, scale = draw(places, [(0, 1), (1, 2), (2, 3), (3, 0)])
    lines = drawn.plain.split("\n")
    assert lines[0].index("1") < lines[0].index("2")
    assert lines[-1].index("4") < lines[-1].index("3")
    width, height = (lines[0].index("2") - lines[0].index("1")) * 2, (len(lines) - 1) * 4
    assert abs(width - height) <= 8
    assert "km" in scale


def test_one_place_alone_can_be_drawn() -> None:
    drawn, scale = draw([(40.0, -105.0)], [])
    assert "1" in drawn.plain
    assert scale.endswith(" m")


def test_a_number_never_covers_half_of_another() -> None:
    places = [(40.0, -105.0 + 0.0001 * number) for number in range(30)] + [(41.0, -100.0)]
    words = draw(places, [])[0].plain.split()
    assert {int(word) for word in words} <= set(range(1, 32))
    assert "1" in words
    assert "31" in words


def test_a_doubt_of_every_point_is_said_once() -> None:
    doubted = answer(points=3)
    points = [msgspec.structs.replace(point, doubts=("clock_skew", *point.doubts)) for point in doubted.points]
    text = printed(show.trajectory(msgspec.structs.replace(doubted, points=tuple(points))))
    assert "every point: clock skew" in text
    assert text.count("clock skew") == 1
    assert text.count("unsure") == 1
    alone = msgspec.structs.replace(doubted, points=tuple(points[:1]), legs=())
    assert "every point" not in printed(show.trajectory(alone))


def test_ids_of_cameras_can_be_copied_from_a_narrow_terminal() -> None:
    camera = {
        "camera_id": "cam-north-platte-ne-westbound-lane-12",
        "name": "North Platte, westbound, lane 12",
        "latitude": 41.1238,
        "longitude": -100.7654,
        "timezone": "America/Indiana/Indianapolis",
        "clock_use": "trusted",
        "clock_uncertainty_s": 2.0,
        "active": True,
    }
    text = printed(cameras_table([camera]))
    assert "cam-north-platte-ne-westbound-lane-12" in text.split()
    assert "North Platte, westbound, lane 12" in text
    assert "41.1238, -100.7654" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_letter_shows_its_camera_and_that_it_was_put_back_in_eighty_columns() -> None:
    letter = {
        "letter_id": "3ec02d10-6edf-540f-95c3-5649768eb924",
        "at": "2026-11-25T17:05:27.406770Z",
        "reason": "conflicting_resend",
        "stage": "gateway",
        "camera_id": "cam-north-platte-ne-westbound-lane-12",
        "replayed_as": "2026-11-25T17:05:27Z",
    }
    text = printed(letters_table([letter]))
    for whole in (letter["letter_id"], letter["camera_id"], "17:05:27", "conflicting_resend", "gateway, put back"):
        assert whole in text
    assert max(map(len, text.splitlines())) <= 80
    assert "put back" not in printed(letters_table([letter | {"replayed_as": None}]))


def test_an_entry_lists_a_few_values_and_leaves_out_what_was_not_said() -> None:
    entry = {
        "index": 60,
        "kind": "dead_letter",
        "at": "2026-11-25T17:06:10.118000Z",
        "public": {"letters": 2},
        "secrets": "opened",
        "disclosures": {"letters": ["ab12", "cd34"], "note": None},
    }
    text = printed(entries_table([entry]))
    assert "letters ab12, cd34" in text
    assert "note" not in text
