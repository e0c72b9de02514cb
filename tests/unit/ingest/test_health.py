"""Reports add up to what is known of a camera: once each, in any order, within bounds."""

import uuid
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import deadletter
from ingest.health import Letter, fold, fold_letter
from schemas import health
from schemas.deadletters import Reason
from schemas.health import CameraReport, CameraState, Counts
from tests.support.detections import detection
from tests.support.health import NOW, folded, report

SOURCES = [uuid.UUID(int=number) for number in (1, 2, 3)]
HOUR = int(NOW.timestamp() // 3600)


def test_a_report_in_numbers() -> None:
    state = folded(
        [
            report(
                accepted=7,
                dropped=1,
                rejected={"shape": 3},
                refused={"wrong_key": 2},
                confidence_total=63_000,
                confidences=7,
                positions=4,
                positions_off=1,
                skews=7,
                skew_low_s=1.5,
            )
        ]
    )
    assert state == CameraState(
        last_seen_at=NOW,
        last_read_at=NOW,
        heard_slot=int(NOW.timestamp() // 300),
        heard=b"\x01",
        recent={int(NOW.timestamp() // 600): 7},
        hours={
            HOUR: Counts(
                accepted=7,
                dropped=1,
                rejected={"shape": 3},
                refused={"wrong_key": 2},
                confidence_total=63_000,
                confidences=7,
                positions=4,
                positions_off=1,
                skews=7,
            )
        },
        skews={int(NOW.timestamp() // 600): 1.5},
        sources={str(SOURCES[0]): 1},
    )


def test_a_report_without_a_read_is_no_sign_of_one() -> None:
    state = folded([report(first_read_at=None, last_read_at=None, accepted=0, rejected={"shape": 1})])
    assert (state.last_seen_at, state.last_read_at, state.heard, state.recent) == (NOW, None, b"", {})


def test_heard_slots_count_backwards_from_the_newest() -> None:
    at = [NOW, NOW + timedelta(minutes=5), NOW + timedelta(minutes=15)]
    state = folded(report(number, when) for number, when in enumerate(at, start=1))
    assert (state.heard_slot, state.heard) == (int(at[-1].timestamp() // 300), bytes([0b1101]))


def test_a_span_is_heard_at_both_ends() -> None:
    state = folded([report(first_read_at=NOW - timedelta(minutes=5))])
    assert state.heard == bytes([0b11])


def test_what_is_old_is_let_go() -> None:
    reports = [report(number, NOW + timedelta(hours=number), skew_low_s=1.0, skews=1) for number in range(1, 1000)]
    state = folded(reports)
    assert (len(state.hours), len(state.recent), len(state.skews)) == (25, 2, 48)
    assert len(state.heard) <= health.HEARD_SLOTS / 8
    many = folded([msgspec.structs.replace(report(), source=uuid.UUID(int=number)) for number in range(1, 500)])
    assert len(many.sources) == 64
    assert len(health.encode(state)) < 16_384


def test_the_state_comes_back_from_its_bytes() -> None:
    state = folded([report(1, rejected={"shape": 1}), report(2, NOW + timedelta(hours=2), skew_low_s=-3.25)])
    assert health.decode(health.encode(state)) == state
    assert health.decode(b"") == CameraState()


def letter(number: int, reason: Reason = "conflicting_resend") -> Letter:
    found = deadletter.of_detection("enricher", reason, detection(number), NOW)
    return Letter(partition=1, offset=number, letter=found)


def test_conflicting_resends_are_counted_once_each() -> None:
    state = CameraState()
    for number in (1, 2, 1, 2, 3, 3):
        state = fold_letter(state, letter(number))
    assert state.hours[HOUR].conflicting == 3
    written_twice = msgspec.structs.replace(letter(3), offset=4)
    assert fold_letter(state, written_twice).hours[HOUR].conflicting == 3


def test_a_letter_that_is_put_back_is_not_counted_again() -> None:
    found = letter(1)
    marked = msgspec.structs.replace(found.letter, detection=None, replayed_as=NOW)
    assert fold_letter(CameraState(), msgspec.structs.replace(found, letter=marked)) == CameraState()


@pytest.mark.parametrize("reason", ["poisoned", "clock_future", "unknown_camera"])
def test_other_letters_are_not_counted(reason: Reason) -> None:
    assert fold_letter(CameraState(), letter(1, reason)) == CameraState()


MOMENTS = st.integers(-20 * 86_400, 20 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))


@st.composite
def streams(draw: st.DrawFn) -> list[list[CameraReport]]:
    """Return what several processes report of one camera, each in its order."""
    streams = []
    for source in SOURCES[: draw(st.integers(1, 3))]:
        one = []
        for sequence in range(1, draw(st.integers(1, 6)) + 1):
            until = draw(MOMENTS)
            read = draw(st.booleans())
            one.append(
                report(
                    sequence,
                    until,
                    source=source,
                    first_read_at=until - timedelta(seconds=draw(st.integers(0, 200))) if read else None,
                    last_read_at=until if read else None,
                    accepted=draw(st.integers(1, 9)) if read else 0,
                    rejected=draw(st.dictionaries(st.sampled_from(["shape", "time"]), st.integers(1, 5))),
                    refused=draw(st.dictionaries(st.sampled_from(["wrong_key", "too_fast"]), st.integers(1, 5))),
                    confidences=2,
                    confidence_total=draw(st.integers(0, 20_000)),
                    skew_low_s=draw(st.none() | st.floats(-1e5, 1e5)),
                )
            )
        streams.append(one)
    return streams


def interleaved(data: st.DataObject, streams: list[list[CameraReport]]) -> list[CameraReport]:
    waiting = [list(stream) for stream in streams]
    found = []
    while any(waiting):
        chosen = data.draw(st.sampled_from([stream for stream in waiting if stream]))
        found.append(chosen.pop(0))
    return found


def comparable(state: CameraState) -> CameraState:
    return msgspec.structs.replace(state, sources=dict(sorted(state.sources.items())))


@given(st.data(), streams())
def test_any_order_of_processes_any_restart_and_any_repetition_give_the_same(
    data: st.DataObject, reports: list[list[CameraReport]]
) -> None:
    plain = folded(interleaved(data, reports))
    order = interleaved(data, reports)
    state = CameraState()
    at = 0
    for _ in range(data.draw(st.integers(0, 3))):  # it dies before its offsets are committed: a part is read again
        done = data.draw(st.integers(at, len(order)))
        state = health.decode(health.encode(folded(order[at:done], state)))
        at = data.draw(st.integers(at, done))
    state = folded(order[at:], state)
    assert comparable(folded(order[at:], state)) == comparable(state) == comparable(plain)


def test_a_report_that_is_in_changes_nothing() -> None:
    state = folded([report(1), report(2)])
    assert fold(state, report(1)) is state
    assert fold(state, report(2)) is state
