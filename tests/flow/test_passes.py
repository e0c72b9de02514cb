"""Several reads of one vehicle at one camera, on Apache Kafka and PostgreSQL: one pass, whatever comes between."""

from datetime import timedelta
from typing import Any

from ingest.adapters.coordinators import offsets_of
from schemas.detections import Attribute, Candidate, Detection
from tests.support import stages
from tests.support.flow import ENRICHER, Flow
from tests.support.topics import admin
from tests.support.wait import until_async

RED = Attribute(value="red", confidence=0.9)
DOUBTFUL: dict[str, Any] = {
    "plate_raw": "XYC 3471",
    "plate_confidence": 0.6,
    "candidates": (Candidate(plate="XYC3477", confidence=0.55),),
    "colour": RED,
}
SURE: dict[str, Any] = {"plate_raw": "XYC3477", "plate_confidence": 0.97, "colour": RED}


async def push(flow: Flow, *items: Detection) -> None:
    """Publish, enrich and index; a worker is started for it and stopped again, so that the next one takes over."""
    await stages.put_detections(flow.publisher, items)
    await flow.enriched()
    await flow.indexed()


async def offsets(flow: Flow) -> int:
    """Return the sum of the offsets from which a restarted enricher would read."""
    async with admin(flow.kafka.bootstrap) as client:
        found = await offsets_of(client, ENRICHER)
    return sum(one.offset for one in found.values())


async def test_five_frames_are_one_pass_though_each_meets_another_worker(flow: Flow) -> None:
    frames = [
        flow.detection(
            number,
            plate_raw="XQ7 O41",
            plate_confidence=0.5 + number / 10,
            candidates=(Candidate(plate=f"XQ7041{number}", confidence=0.1),),
            make=Attribute(value="BMW", confidence=0.5) if number == 3 else None,
        )
        for number in range(5)
    ]
    for frame in frames:
        await push(flow, frame)
    [row] = await flow.rows()
    assert (row["pass_id"], row["captured_at"], row["revision"]) == (frames[0].event_id, frames[0].captured_at, 4)
    assert (row["plate"], round(row["plate_confidence"], 3), row["make"]) == ("XQ7O41", 0.9, "bmw")
    for number in range(5):
        assert f"XQ7041{number}".encode() in row["candidates"]
    assert await flow.dead_letters.records() == []

    later = flow.detection(100, plate_raw="XQ7 O41")  # the same vehicle, once more, long after the window
    await push(flow, later)
    assert [one["pass_id"] for one in await flow.rows()] == [frames[0].event_id, later.event_id]


async def test_a_vote_that_changes_the_key_leaves_a_grave_under_the_old_one(flow: Flow) -> None:
    first = flow.detection(0, **DOUBTFUL)
    await push(flow, first)
    await push(flow, flow.detection(1, **SURE))
    old, new = sorted(await flow.rows(), key=lambda row: str(row["plate_key"]))
    assert old["pass_id"] == new["pass_id"] == first.event_id
    assert old["captured_at"] == new["captured_at"] == first.captured_at
    assert (old["plate_key"], old["superseded_by"], old["plate"], old["candidates"]) == (
        "XYC3471", "XYC3477", None, None,
    )  # fmt: skip
    assert (new["plate_key"], new["superseded_by"], new["plate"], new["revision"]) == ("XYC3477", None, "XYC3477", 1)


async def test_the_same_event_with_other_content_is_set_aside_and_changes_nothing(flow: Flow) -> None:
    first = flow.detection(0, plate_raw="XQ7 O41")
    await push(flow, first)
    again = flow.detection(0, plate_raw="XQ7 O41", received_at=first.received_at + timedelta(seconds=3))
    other = flow.detection(0, plate_raw="XQ7 O42")
    await push(flow, again, other)
    [letter] = await stages.letters(flow.dead_letters, "enricher")
    assert (letter.reason, letter.camera_id, letter.detection) == (
        "conflicting_resend", flow.camera.camera_id, other,
    )  # fmt: skip
    [row] = await flow.rows()
    assert (row["plate"], row["revision"], row["received_at"]) == ("XQ7O41", 0, first.received_at)


async def test_a_restart_reads_an_open_pass_again_and_a_partition_that_is_idle_has_none(flow: Flow) -> None:
    before = await offsets(flow)
    items = [flow.detection(number, plate_raw=f"QRS {8210 + number}") for number in range(3)]
    await stages.put_detections(flow.publisher, items)
    await flow.enriched()
    assert await offsets(flow) == before, "the passes are open: a restart needs their reads"
    written = len(await flow.sightings.records())
    async with flow.enriching(pass_window_s=0.5):

        async def moved() -> bool:
            return await offsets(flow) == before + 3

        await until_async(moved, "the passes have ended, by the broker's time")
    assert len(await flow.sightings.records()) == written == 3, "what is read again is not written again"
