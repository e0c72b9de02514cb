"""Which reads are one pass, and what they say together."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from ingest import passes
from ingest.errors import SetAside
from ingest.passes import MAX_READS, Made, Read, State, advance, partition_of, resume, safe_position, written
from ingest.votes import named, vote
from schemas.detections import Candidate, Crop
from schemas.offsets import Written
from schemas.plate import plate_key
from schemas.sightings import Sighting, Trait
from tests.support.detections import NOW, sighting

WINDOW_S = 30.0
PLACE = ("detections", 0)
START = NOW - timedelta(hours=1)


def read(number: int, plate: str | None = "XYC3471", at_s: float = 0.0, **changes: Any) -> Sighting:
    """Return a read captured so many seconds after the first."""
    captured_at = START + timedelta(seconds=at_s)
    key = plate_key(plate) if plate else "~cam-1"
    values = {
        "plate": plate,
        "plate_key": key,
        "plate_raw": plate,
        "plate_confidence": 0.95,
        "captured_at": captured_at,
    }
    return sighting(number, **{**values, **changes})


def thought(**confidences: float) -> tuple[Candidate, ...]:
    return tuple(Candidate(plate=plate, confidence=confidence) for plate, confidence in confidences.items())


def published(*reads: Sighting, appended_s: list[float] | None = None) -> list[list[Sighting]]:
    """Return what each read makes; appended when they were captured unless said otherwise."""
    times = appended_s or [one.captured_at.timestamp() - START.timestamp() for one in reads]
    batch = [Read(PLACE, number, at_s, one) for number, (one, at_s) in enumerate(zip(reads, times, strict=True))]
    return lists(advance(State(WINDOW_S), batch)[1])


def lists(made: Sequence[Made]) -> list[list[Sighting]]:
    """Return what reads make, of which none is set aside."""
    assert all(isinstance(one, list) for one in made), made
    return [one for one in made if isinstance(one, list)]


def number_of_passes(*reads: Sighting) -> int:
    return len({one.pass_id for made in published(*reads) for one in made})


def test_the_first_read_is_published_at_once_as_it_is() -> None:
    first = read(0)
    assert published(first) == [[first]]


def test_a_later_read_is_the_next_revision_of_the_first_ones_pass() -> None:
    first, second = read(0, plate_confidence=0.9), read(1, at_s=2)
    [_, [now]] = published(first, second)
    assert (now.pass_id, now.captured_at, now.received_at) == (first.pass_id, first.captured_at, first.received_at)
    assert (now.revision, now.plate, now.plate_confidence) == (1, "XYC3471", 0.95)


def test_the_same_event_again_changes_nothing() -> None:
    first, second = read(0), read(1, at_s=2)
    assert [len(made) for made in published(first, second, first, second)] == [1, 1, 0, 0]


def test_the_same_event_with_other_content_is_set_aside_and_changes_nothing() -> None:
    first, second, other = read(0), read(1, at_s=2), read(0, plate="AAA111")
    said = [(first, 1), (other, 2), (first, 1), (second, 1)]
    state, made = advance(State(WINDOW_S), [Read(PLACE, n, n, one, content) for n, (one, content) in enumerate(said)])
    conflict = made[1]
    assert isinstance(conflict, SetAside)
    assert conflict.reason == "conflicting_resend"
    assert (made[0], made[2]) == ([first], [])
    assert made[3] == [vote([first, second])]
    _, made = advance(state, [Read(PLACE, 4, 4 + 2 * WINDOW_S, other, 2)])
    assert made == [[other]], "after the window nobody remembers the first"


def test_a_read_whose_vote_raises_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [read(number, at_s=number) for number in range(4)]

    def weak(several: Sequence[Sighting]) -> Sighting:
        if reads[2] in several:
            raise ZeroDivisionError
        return vote(several)

    monkeypatch.setattr(passes, "vote", weak)
    _, made = advance(State(WINDOW_S), [Read(PLACE, number, number, one) for number, one in enumerate(reads)])
    assert isinstance(made[2], ZeroDivisionError)
    assert lists([made[0], made[1], made[3]]) == [[reads[0]], [vote(reads[:2])], [vote([*reads[:2], reads[3]])]]


def test_reads_of_passes_whose_beginnings_may_be_gone_are_set_aside() -> None:
    """The partition begins at offset 5; the first plate's reads follow one another without a gap, until 95 s."""
    times = [(0, "AAA111"), (20, "AAA111"), (25, "BBB222"), (31, "CCC333"), (45, "AAA111"), (95, "AAA111")]
    reads = [Read(PLACE, 5 + n, at_s, read(n, plate, at_s)) for n, (at_s, plate) in enumerate(times)]
    held, whole = [0, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1]
    for before, expected in (
        (Written(done=None), held),
        (Written(done=0), whole),
        (Written(done=5), whole),
        (Written(done=5, beginning_gone=True), held),
        (Written(done=5, whole_after_s=-40.0, beginning_gone=True), held),
    ):
        state = State(WINDOW_S)
        resume(state, {PLACE: before})
        _, made = advance(state, reads)
        assert [0 if isinstance(one, Exception) else len(one) for one in made] == expected
        assert {one.reason for one in made if isinstance(one, SetAside)} <= {"beginning_gone"}
        assert state.held == expected.count(0)


def test_of_reads_that_were_written_none_is_set_aside_once_more_and_one_that_joins_them_is() -> None:
    """The log begins at offset 5 by now, between the reads of a pass; everything before offset 6 was written."""
    state = State(WINDOW_S)
    resume(state, {PLACE: Written(done=6, beginning_gone=True)})
    reads = [Read(PLACE, 5 + n, at_s, read(n, at_s=at_s)) for n, at_s in enumerate((0, 20, 60))]
    _, made = advance(state, reads)
    assert made[0] == []
    assert isinstance(made[1], SetAside)
    assert made[2] == [read(2, at_s=60)]
    assert written(state, PLACE) == Written(done=8, whole_after_s=WINDOW_S)


def test_a_partition_that_begins_at_its_beginning_is_whole() -> None:
    state = State(WINDOW_S)
    resume(state, {PLACE: Written(done=None)})
    _, made = advance(state, [Read(PLACE, 0, 0, read(0))])
    assert made == [[read(0)]]


def test_a_window_begins_with_the_first_read() -> None:
    assert number_of_passes(read(0), read(1, at_s=20), read(2, at_s=30)) == 1
    assert number_of_passes(read(0), read(1, at_s=20), read(2, at_s=31)) == 2


def test_a_read_that_was_captured_long_before_it_came_is_no_part_of_the_pass() -> None:
    late = read(1, at_s=-40)
    assert {one.pass_id for made in published(read(0), late, appended_s=[0, 1]) for one in made} == {
        read(0).pass_id,
        late.pass_id,
    }


def test_a_part_that_comes_late_belongs_to_the_pass_even_before_its_first_read() -> None:
    [[first], [now]] = published(read(0, at_s=5), read(1, at_s=1), appended_s=[6, 9])
    assert (now.pass_id, now.captured_at, now.revision) == (first.pass_id, first.captured_at, 1)


def test_another_camera_or_another_lane_is_another_pass() -> None:
    assert number_of_passes(read(0), read(1, camera_id="cam-2")) == 2
    assert number_of_passes(read(0, lane=1), read(1, lane=2)) == 2
    assert number_of_passes(read(0, lane=1), read(1), read(2, lane=1)) == 1
    assert number_of_passes(read(0), read(1, lane=1), read(2, lane=2)) == 2


def test_reads_without_a_plate_belong_to_nothing() -> None:
    assert number_of_passes(read(0, plate=None), read(1), read(2, plate=None)) == 3


def test_look_alikes_are_one_pass_and_the_surer_text_is_kept() -> None:
    [_, [now]] = published(read(0, "XYC347I", plate_confidence=0.7), read(1, "XYC3471", plate_confidence=0.9))
    assert (now.plate, now.plate_raw, now.plate_key) == ("XYC3471", "XYC3471", "XYC3471")


WEAK: dict[str, Any] = {"plate_confidence": 0.6, "candidates": thought(XYC3477=0.55), "colour": Trait(value="red")}
SURE: dict[str, Any] = {"plate_confidence": 0.95, "colour": Trait(value="red")}


def test_a_vote_that_changes_the_key_leaves_a_grave_under_the_old_one() -> None:
    first = read(0, "XYC3471", **WEAK)
    [_, [now, grave]] = published(first, read(1, "XYC3477", at_s=1, **SURE))
    assert (now.plate, now.plate_key, now.revision, now.superseded_by) == ("XYC3477", "XYC3477", 1, None)
    assert (grave.pass_id, grave.captured_at, grave.plate_key) == (first.pass_id, first.captured_at, "XYC3471")
    assert (grave.revision, grave.superseded_by) == (1, "XYC3477")
    assert (grave.plate, grave.plate_raw, grave.candidates, grave.colour, grave.doubts) == (None, None, (), None, ())


def test_a_pass_shows_the_picture_of_the_read_that_is_believed_and_a_grave_shows_none() -> None:
    wrong, right = Crop(sha256="1" * 64), Crop(sha256="2" * 64)
    first, second = read(0, "XYC3471", **WEAK, crop=wrong), read(1, "XYC3477", at_s=1, **SURE, crop=right)
    [[alone], [now, grave]] = published(first, second)
    assert (alone.crop, now.crop, grave.crop) == (wrong, right, None)
    assert vote([first, read(1, "XYC3477", **SURE)]).crop == wrong, "of the same plate, misread, rather than none"


def test_a_doubtful_read_after_a_sure_one_is_outvoted() -> None:
    [_, [now]] = published(read(0, "XYC3477", **SURE), read(1, "XYC3471", at_s=1, **WEAK))
    assert (now.plate, now.plate_confidence, now.revision) == ("XYC3477", 0.95, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {}, id="the next of a series, both sure"),
        pytest.param({**WEAK, "candidates": ()}, SURE, id="doubtful, but nothing else was thought possible"),
        pytest.param({**WEAK, "candidates": thought(XYC3479=0.5)}, SURE, id="another plate was thought possible"),
        pytest.param(
            {**WEAK, "plate_confidence": 0.95, "candidates": thought(XYC3477=0.1)}, SURE, id="hardly doubtful"
        ),
        pytest.param(WEAK, {**SURE, "colour": Trait(value="blue")}, id="another colour"),
        pytest.param({**WEAK, "colour": None}, SURE, id="nothing is known of its looks"),
        pytest.param({**WEAK, "region": "US-MA"}, {**SURE, "region": "US-NH"}, id="another region"),
    ],
)
def test_what_may_be_another_car_is_another_pass(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert number_of_passes(read(0, "XYC3471", **first), read(1, "XYC3477", at_s=1, **second)) == 2


def test_a_pass_that_was_settled_does_not_take_the_plate_that_it_gave_up() -> None:
    """The sure car behind has the plate that the first read had wrongly."""
    reads = [read(0, "XYC3471", **WEAK), read(1, "XYC3477", at_s=1, **SURE), read(2, "XYC3471", at_s=2, **SURE)]
    assert number_of_passes(*reads) == 2


def test_two_characters_are_too_many() -> None:
    weak = {**WEAK, "candidates": thought(XYC3499=0.55)}
    assert named(read(0, "XYC3471", **weak)) == ()
    assert number_of_passes(read(0, "XYC3471", **weak), read(1, "XYC3499", **SURE)) == 2


def test_a_vote_keeps_the_candidates_of_all_and_the_best_of_each_attribute() -> None:
    first = read(
        0, candidates=thought(XYC3471=0.8, XYC3474=0.3), make=Trait(value="bmw", confidence=0.4), region="US",
        region_confidence=0.5, doubts=("low_confidence", "clock_skew"), plate_confidence=0.7,
    )  # fmt: skip
    second = read(1, candidates=thought(XYC3471=0.9), make=Trait(value="audi", confidence=0.9), heading_deg=90.0)
    now = vote([first, second])
    assert now.candidates == thought(XYC3471=0.9, XYC3474=0.3)
    assert (now.make, now.heading_deg) == (Trait(value="audi", confidence=0.9), 90.0)
    assert (now.region, now.region_confidence) == ("US", 0.5)
    assert now.doubts == ("clock_skew",)


def test_each_character_is_voted_for_itself() -> None:
    first = read(0, "XYC347I", plate_confidence=0.5)
    second = read(1, "XYC3471", plate_confidence=0.4)
    third = read(2, "XYC3471", plate_confidence=0.4)
    assert vote([first, second]).plate == "XYC347I"
    assert vote([first, second, third]).plate == "XYC3471"


def test_a_pass_of_very_many_reads_stops_at_a_bound() -> None:
    made = published(*(read(number, at_s=number / 10) for number in range(2 * MAX_READS)))
    assert [len(one) for one in made] == [1] * MAX_READS + [0] * MAX_READS


def test_a_camera_that_floods_makes_no_read_dearer_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: Counter[int] = Counter()
    takes = passes._Pass.takes

    def counting(one: passes._Pass, again: Sighting, *rest: Any) -> bool:
        looked_at[again.pass_id.int] += 1
        return takes(one, again, *rest)

    monkeypatch.setattr(passes._Pass, "takes", counting)
    reads = [read(number, at_s=-100.0 * number) for number in range(4 * passes.MAX_PASSES)]
    made = published(*reads, appended_s=[number / 100 for number in range(len(reads))])
    assert [[one] for one in reads] == made
    assert max(looked_at.values()) == passes.MAX_PASSES


def test_passes_that_turn_out_to_be_of_one_cluster_are_no_more_than_one_clusters() -> None:
    half = passes.MAX_PASSES - 10
    plates = [*["XYC3471"] * half, *["XYC3473"] * half]
    reads = [read(number, plate, at_s=-100.0 * number) for number, plate in enumerate(plates)]
    bridge = read(len(reads), "XYC3472", plate_confidence=0.5, candidates=thought(XYC3471=0.4, XYC3473=0.4))
    state = State(WINDOW_S)
    batch = [Read(PLACE, number, number / 100, one) for number, one in enumerate([*reads, bridge])]
    advance(state, batch)
    clusters = state.partitions[PLACE]._clusters
    assert [len(one.passes) for one in clusters if one.into is None] == [passes.MAX_PASSES]


def test_a_restart_reads_from_the_oldest_pass_that_is_open() -> None:
    state = State(WINDOW_S)
    assert safe_position(state, PLACE) is None
    advance(state, [Read(PLACE, 7, 0, read(0)), Read(PLACE, 8, 20, read(1, "AAA111")), Read(PLACE, 9, 25, None)])
    assert (safe_position(state, PLACE), written(state, PLACE)) == (7, Written(done=10))
    advance(state, [Read(PLACE, 10, 31, None)])
    assert safe_position(state, PLACE) == 8
    assert safe_position(state, PLACE, idle_s=61) == 11


def test_what_was_done_before_is_read_again_and_not_written_again() -> None:
    state = State(WINDOW_S)
    resume(state, {PLACE: Written(done=2)})
    reads = [read(number, at_s=number) for number in range(3)]
    _, made = advance(state, [Read(PLACE, number, number, one) for number, one in enumerate(reads)])
    assert [len(one) for one in lists(made)] == [0, 0, 1]
    [now] = lists(made)[2]
    assert (now.pass_id, now.revision) == (reads[0].pass_id, 2)
    assert partition_of(state, PLACE).done == 2
