"""A stage works a batch out slice by slice: nothing of a batch may depend on where the slices meet."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from ingest import stage
from ingest.stage import SLICE, Limits
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.detections import Detection, event_id
from tests.support.detections import detection
from tests.unit.ingest.test_stage import Function, Rig, narrowed, spin_until
from tests.unit.ingest.test_stage_atomic import Recording, Tracing

POISON, DROPPED, UNDECODABLE, LARGE = {3, SLICE}, {SLICE - 1, 2 * SLICE}, {SLICE + 1, 3 * SLICE - 1}, {5, 2 * SLICE + 7}
NUMBERS = range(3 * SLICE)
GOOD = [number for number in NUMBERS if number not in POISON | DROPPED | UNDECODABLE | LARGE]
PATIENT = Limits(outage_s=0.2, first_wait_s=0.001, longest_wait_s=0.01, failures=50)


@pytest.fixture(params=[SLICE, 1, 7, 10 * SLICE])
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SLICE", request.param)


def of(number: int) -> Detection:
    return detection(number, plate_raw="X" * 100 if number in LARGE else f"ABC{number}")


def message(number: int) -> Detection | bytes:
    return b"no message" if number in UNDECODABLE else of(number)


def function() -> Function:
    poison = {event_id("cam-1", f"key-{number}") for number in POISON}
    dropped = {event_id("cam-1", f"key-{number}") for number in DROPPED}

    def apply(batch: Sequence[Detection]) -> Sequence[Detection | DeadLetter | None]:
        if any(one.event_id in poison for one in batch):
            raise KeyError("planted")
        return [None if one.event_id in dropped else one for one in batch]

    return apply


def by_time(one: Detection) -> datetime:
    return one.captured_at


@pytest.mark.usefixtures("slices")
async def test_each_message_of_a_long_batch_becomes_what_it_becomes_alone() -> None:
    rig = narrowed(Rig(function(), limits=PATIENT, max_records=10_000), items=50, letters=1000)
    rig.put(*(message(number) for number in NUMBERS))
    await rig.drain()
    assert sorted(rig.sink.items, key=by_time) == [of(number) for number in GOOD]
    letters = [(letter.reason, letter.detection) for letter in rig.letters.items]
    assert sorted(letters, key=str) == sorted(
        [
            *(("poisoned", of(number)) for number in POISON),
            *(("too_large", of(number)) for number in LARGE),
            *(("undecodable", None) for _ in UNDECODABLE),
        ],
        key=str,
    )
    counts = rig.stage.counts
    assert (counts.fetched, counts.written, counts.dropped) == (len(NUMBERS), len(GOOD), len(DROPPED))
    assert counts.dead_letters == len(letters)


@pytest.mark.usefixtures("slices")
async def test_each_partition_of_a_long_batch_is_written_whole_with_its_own_traces() -> None:
    rig = Rig(function(), limits=PATIENT, max_records=10_000, observer=Tracing())
    rig.stage._atomic = recording = Recording()  # type: ignore[assignment]
    rig.put(*(message(number) for number in NUMBERS))
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.written > 0 or running.done())
    rig.stop.set()
    await running
    second_of_each_partition = {2, 5}  # which is what `Recording` refuses; 3 is poison
    wanted = {wire.encode(of(number)) for number in {*GOOD, *LARGE} - second_of_each_partition}
    assert {item for item, _ in recording.written} == wanted
    assert len(recording.written) == len(wanted) == rig.stage.counts.written
    assert all(header in (None, item) for item, header in recording.written)
    assert sum(header is not None for _, header in recording.written) > len(wanted) / 2
