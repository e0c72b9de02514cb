"""The truth: kept in a file, a vehicle worth asking for, and an answer that differs is found out."""

import stat
import uuid
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path

import msgspec
import pytest

from services.simulate import count
from services.simulate.misreads import Read
from services.simulate.truth import (
    Asked,
    Truth,
    agrees,
    choose_vehicle,
    expected,
    read_truth,
    withheld,
    write_truth,
)
from services.simulate.world import ASKING, SILENT, World
from tests.unit.simulate.conftest import NOW


@pytest.fixture(scope="module")
def asked(a_world: World, pushed: Truth) -> Asked:
    owners = a_world.owners_open_to(ASKING.agency_id)
    vehicle = choose_vehicle(pushed, pushed.start, NOW, owners, SILENT.agency_id)
    assert vehicle is not None
    return Asked(vehicle=vehicle.number, start=pushed.start, end=NOW, owners=owners)


@pytest.fixture
def answer(pushed: Truth, asked: Asked) -> list[uuid.UUID]:
    """What an exact search answers: reads of the plate's text, one a pass, the first of each."""
    return _search(pushed, asked)


def test_the_chosen_vehicle_is_worth_asking_for(a_world: World, pushed: Truth, asked: Asked) -> None:
    zones = {camera.camera_id: camera.timezone for camera in a_world.cameras}
    passes = expected(pushed, asked)
    assert len(passes) >= 8
    assert len({zones[one.camera_id] for one in passes}) >= 2
    owner = {camera.camera_id: camera.owner for camera in a_world.cameras}
    assert SILENT.agency_id in {owner[one.camera_id] for one in withheld(pushed, asked)}
    assert SILENT.agency_id not in {owner[one.camera_id] for one in passes}


def test_before_the_push_there_is_nobody_to_ask_for(a_truth: Truth, asked: Asked) -> None:
    assert choose_vehicle(a_truth, a_truth.start, NOW, asked.owners, SILENT.agency_id) is None


def test_an_honest_answer_agrees(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    result = agrees(answer, pushed, asked)
    assert result.agrees
    more = len(result.mistaken) + len(result.undecided)
    assert result.expected == len(expected(pushed, asked)) == result.answered - more
    assert result.withheld >= 1


def test_a_missing_point_is_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    own = next(pass_id for pass_id in answer if _read(pushed, pass_id).vehicle == asked.vehicle)
    result = agrees([pass_id for pass_id in answer if pass_id != own], pushed, asked)
    assert result.missing == (_read(pushed, own).of_pass,)
    assert not result.agrees


def test_an_empty_answer_does_not_agree(pushed: Truth, asked: Asked) -> None:
    assert not agrees([], pushed, asked).agrees


def test_a_foreign_point_is_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    plate = pushed.vehicles[asked.vehicle].plate
    foreign = _first(pushed, asked, lambda read: read.vehicle != asked.vehicle and read.text not in (None, plate))
    result = agrees([*answer, foreign], pushed, asked)
    assert result.foreign == (foreign,)
    assert not result.agrees


def test_a_vehicle_misread_into_this_plate_is_allowed(pushed: Truth, asked: Asked) -> None:
    plate = pushed.vehicles[asked.vehicle].plate
    misread = _read(pushed, _first(pushed, asked, lambda read: read.vehicle != asked.vehicle))
    reads = list(pushed.reads)
    reads[misread.number] = msgspec.structs.replace(misread, text=plate, right=False)
    changed = msgspec.structs.replace(pushed, reads=tuple(reads))
    result = agrees(_search(changed, asked), changed, asked)
    assert misread.event_id in result.mistaken
    assert result.agrees


def test_a_point_of_the_silent_agency_is_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    everything = msgspec.structs.replace(asked, owners=asked.owners | {SILENT.agency_id})
    result = agrees(_search(pushed, everything), pushed, asked)
    assert result.forbidden
    assert len(result.forbidden) >= result.withheld
    assert not result.agrees


def test_a_point_outside_the_window_is_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    first = _read(pushed, answer[0]).detection.captured_at
    later = msgspec.structs.replace(asked, start=first + timedelta(microseconds=1))
    assert agrees(answer, pushed, later).outside == (answer[0],)
    # The window is half-open: its start is inside, its end is not.
    assert agrees(answer, pushed, msgspec.structs.replace(asked, start=first)).agrees
    last = _read(pushed, answer[-1]).detection.captured_at
    assert agrees(answer, pushed, msgspec.structs.replace(asked, end=last)).outside == (answer[-1],)


def test_two_points_of_one_pass_are_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    twice = answer[:1] + answer
    result = agrees(twice, pushed, asked)
    assert result.repeated == (_read(pushed, answer[0]).of_pass,)
    assert not result.agrees


def test_either_read_of_a_pass_stands_for_it(pushed: Truth, asked: Asked) -> None:
    first, second = next(
        (first, second)
        for first in pushed.reads
        for second in pushed.reads[first.number + 1 : first.number + 20]
        if first.of_pass == second.of_pass and first.right and second.right and first.owner in asked.owners
    )
    about = msgspec.structs.replace(asked, vehicle=first.vehicle)
    other_way = [
        second.event_id if pass_id == first.event_id and second.event_id else pass_id
        for pass_id in _search(pushed, about)
    ]
    assert second.event_id in other_way
    assert agrees(other_way, pushed, about).agrees


def test_a_pass_whose_reads_disagree_may_be_answered_and_need_not(
    pushed: Truth, asked: Asked, answer: list[uuid.UUID]
) -> None:
    """Their vote may have gone to the other plate: the surest of two reads can be wrong."""
    must = expected(pushed, asked)[0]
    first = next(read for read in pushed.reads if read.of_pass == must.number)
    other = msgspec.structs.replace(first, number=len(pushed.reads), text="Q0Q0Q0", right=False, event_id=uuid.uuid4())
    disagreed = msgspec.structs.replace(pushed, reads=(*pushed.reads, other))
    without = [pass_id for pass_id in answer if _read(pushed, pass_id).of_pass != must.number]
    assert expected(disagreed, asked) == expected(pushed, asked)[1:]
    held = agrees(answer, disagreed, asked)
    assert (held.agrees, len(held.undecided)) == (True, 1 + len(agrees(answer, pushed, asked).undecided))
    assert agrees(without, disagreed, asked).agrees
    assert not agrees(without, pushed, asked).agrees


def test_an_unknown_point_is_found(pushed: Truth, asked: Asked, answer: list[uuid.UUID]) -> None:
    stranger = uuid.uuid4()
    assert agrees([*answer, stranger], pushed, asked).unknown == (stranger,)


def test_the_own_misread_is_not_an_exact_match(pushed: Truth, asked: Asked) -> None:
    vehicle, misread = next(
        (read.vehicle, read)
        for read in pushed.reads
        if read.text is not None
        and not read.right
        and read.owner in asked.owners
        and not any(other.right for other in pushed.reads if other.of_pass == read.of_pass)
    )
    about = msgspec.structs.replace(asked, vehicle=vehicle)
    assert misread.event_id is not None
    assert agrees([*_search(pushed, about), misread.event_id], pushed, about).other_text == (misread.event_id,)


def test_reads_that_were_not_accepted_are_not_expected(pushed: Truth, asked: Asked) -> None:
    passes = expected(pushed, asked)
    dropped = {read.number: ("dropped", None) for read in pushed.reads if read.of_pass == passes[0].number}
    assert expected(pushed.with_answers(dropped), asked) == passes[1:]


def test_with_a_region_only_reads_of_it_or_of_none_are_expected(pushed: Truth, asked: Asked) -> None:
    elsewhere = msgspec.structs.replace(asked, region="US-HI")
    reads = {read.of_pass: read for read in pushed.reads if read.detection.region is None}
    numbers = {one.number for one in expected(pushed, elsewhere)}
    assert numbers <= set(reads)
    assert len(numbers) < len(expected(pushed, asked))


def test_the_truth_survives_its_file(pushed: Truth, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    write_truth(pushed, path)
    assert read_truth(path) == pushed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["truth.jsonl"]
    assert pushed.passes[0].at.tzinfo is UTC


def test_a_file_without_header_is_refused(pushed: Truth, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_bytes(msgspec.json.encode(pushed.vehicles[0]) + b"\n")
    with pytest.raises(ValueError, match="header"):
        read_truth(path)


def test_the_counts_add_up(pushed: Truth) -> None:
    counts = count(pushed)
    assert counts.right + counts.misread + counts.without_plate == counts.reads
    assert counts.reads == counts.passes - counts.passes_unseen + counts.second_reads
    assert counts.statuses == {"accepted": counts.reads}
    assert counts.into_other_plates >= 1


def _search(truth: Truth, asked: Asked) -> list[uuid.UUID]:
    """A search that is right by construction: equal text, permitted, in the window, the first read of each pass."""
    plate = truth.vehicles[asked.vehicle].plate
    seen: dict[int, uuid.UUID] = {}
    for read in truth.reads:
        if read.text == plate and read.owner in asked.owners and asked.in_window(read) and read.event_id:
            seen.setdefault(read.of_pass, read.event_id)
    return list(seen.values())


def _read(truth: Truth, event_id: uuid.UUID) -> Read:
    return next(read for read in truth.reads if read.event_id == event_id)


def _first(truth: Truth, asked: Asked, wanted: Callable[[Read], bool]) -> uuid.UUID:
    return next(
        read.event_id
        for read in truth.reads
        if wanted(read) and read.owner in asked.owners and asked.in_window(read) and read.event_id
    )
