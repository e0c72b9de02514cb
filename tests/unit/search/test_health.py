"""How a camera is said to be doing: by its own rhythm, with the numbers behind it."""

from datetime import timedelta
from typing import Any

import pytest

from ingest.health import Letter, fold_letter
from schemas.cameras import Camera
from schemas.health import CameraState
from search.health import CameraHealth, Flagged, rhythm_of, skew_of, span, view
from tests.support import cameras
from tests.support.health import NOW, every, folded, report
from tests.unit.ingest.test_health import letter

DAY = timedelta(days=1)


def camera(**changes: Any) -> Camera:
    return cameras.camera("cam-1", **changes)[0]


def seen(state: CameraState, after: timedelta = timedelta(), of: Camera | None = None) -> CameraHealth:
    """Return the view of a camera some time after `NOW`, while gateways report."""
    return view(of or camera(), state, NOW + after, NOW + after)


def flags(state: CameraState, **changes: Any) -> list[str]:
    return [flagged.flag for flagged in seen(state, of=camera(**changes)).flags]


MOTORWAY = folded(every(1, NOW - DAY, NOW))


@pytest.mark.parametrize(("minutes", "status"), [(0, "ok"), (14, "ok"), (16, "silent"), (600, "silent")])
def test_a_camera_whose_rhythm_is_minutes_falls_silent_within_minutes(minutes: int, status: str) -> None:
    found = seen(MOTORWAY, timedelta(minutes=minutes))
    assert found.status == status
    assert found.rhythm is not None
    assert (found.rhythm.quiet_s, found.rhythm.usual_quiet_s, found.rhythm.silent_after_s) == (minutes * 60, 300, 900)
    assert found.silent_since == (NOW if status == "silent" else None)


def country() -> CameraState:
    """Ten days of a road with a vehicle every 40 minutes from 6 to 20 h, and none at night; `NOW` is 12 h."""
    begin = NOW - timedelta(days=10, hours=6)
    times = [begin + day * DAY + n * timedelta(minutes=40) for day in range(11) for n in range(22)]
    return folded(report(number, at) for number, at in enumerate([at for at in times if at <= NOW], start=1))


def test_a_quiet_road_is_not_called_silent_for_its_quiet() -> None:
    state = country()
    assert seen(state, timedelta(minutes=60)).status == "ok"
    assert seen(state, timedelta(hours=3)).status == "silent"


def test_a_night_without_a_vehicle_is_usual_where_it_is() -> None:
    begin = NOW - timedelta(days=10, hours=6)
    last = NOW + timedelta(hours=8)
    times = [begin + day * DAY + n * timedelta(minutes=40) for day in range(11) for n in range(22)]
    state = folded(report(number, at) for number, at in enumerate([at for at in times if at <= last], start=1))
    at_five = seen(state, timedelta(hours=17))
    assert (at_five.status, at_five.rhythm and at_five.rhythm.quiet_s) == ("ok", 9 * 3600)
    assert at_five.rhythm is not None
    assert 8 * 3600 <= (at_five.rhythm.usual_quiet_s or 0) <= 10 * 3600
    at_noon = seen(state, timedelta(hours=24))
    assert (at_noon.status, at_noon.silent_since) == ("silent", last)


def test_two_days_out_of_order_do_not_become_usual() -> None:
    times = [at for at in every(5, NOW - 12 * DAY, NOW) if not NOW - 6 * DAY < at.until < NOW - 4 * DAY]
    rhythm = rhythm_of(folded(times), NOW + timedelta(hours=1))
    assert rhythm is not None
    assert rhythm.silent_after_s == 900


def test_however_rarely_it_reads_it_is_silent_after_a_week() -> None:
    state = folded(report(n, NOW - timedelta(hours=54) * (7 - n)) for n in range(1, 8))
    rhythm = rhythm_of(state, NOW)
    assert rhythm is not None
    assert rhythm.silent_after_s is not None
    assert rhythm.silent_after_s <= 7 * 86_400
    assert seen(state, timedelta(days=8)).status == "silent"


@pytest.mark.parametrize(
    ("state", "of", "status"),
    [
        (CameraState(), {}, "never_seen"),
        (CameraState(last_seen_at=NOW), {}, "never_seen"),
        (folded([report()]), {}, "learning"),
        (MOTORWAY, {"active": False}, "retired"),
        (MOTORWAY, {"active_until": NOW}, "not_active"),
        (MOTORWAY, {"active_from": NOW + DAY}, "not_active"),
        (MOTORWAY, {}, "silent"),
    ],
)
def test_statuses(state: CameraState, of: dict[str, Any], status: str) -> None:
    found = seen(state, timedelta(hours=5), camera(**of))
    assert found.status == status
    assert found.detail


def test_nobody_knows_of_silence_while_no_gateway_reports() -> None:
    later = NOW + timedelta(hours=5)
    assert view(camera(), MOTORWAY, later, later - timedelta(minutes=4)).status == "silent"
    assert view(camera(), MOTORWAY, later, later - timedelta(minutes=6)).status == "unknown"
    assert view(camera(), MOTORWAY, later, None).status == "unknown"


def test_a_silent_camera_that_still_sends_is_told_from_one_that_does_not() -> None:
    later = NOW + timedelta(hours=5)
    beat = report(10_000, later, accepted=0, first_read_at=None, last_read_at=None)
    assert "still sends" in view(camera(), folded([beat], MOTORWAY), later, later).detail
    assert "still sends" not in view(camera(), MOTORWAY, later, later).detail


def test_rates_and_confidence_of_the_last_day() -> None:
    reports = [
        report(n, NOW - timedelta(hours=30 - n), accepted=10, confidences=10, confidence_total=90_000, dropped=1)
        for n in range(1, 31)
    ]
    found = seen(folded(reports))
    assert (found.reads_last_day, found.dropped, found.mean_confidence, found.reject_rate) == (250, 25, 0.9, 0.0)
    assert found.reads_last_hour == 20
    assert seen(folded(reports), timedelta(days=3)).reads_last_day == 0


def test_thirty_percent_rejected() -> None:
    found = seen(folded([report(accepted=70, rejected={"shape": 28, "time": 2, "not_a_motor_vehicle": 500})]))
    assert (found.reject_rate, found.rejected) == (0.3, {"shape": 28, "time": 2})
    assert found.flags == (Flagged(flag="many_rejects", detail="30 of 100 items, most of them shape."),)


def test_few_rejects_are_no_flag() -> None:
    assert flags(folded([report(accepted=90, rejected={"shape": 10})])) == []
    assert flags(folded([report(accepted=1, rejected={"shape": 5})])) == []


def skewed(*lows: float) -> CameraState:
    return folded(
        report(n, NOW - timedelta(minutes=10 * n), skews=5, skew_low_s=low) for n, low in enumerate(lows, start=1)
    )


def test_a_clock_seven_hours_behind() -> None:
    found = seen(skewed(25_201.0, 25_202.5, 25_200.5, 25_201.5))
    assert found.skew is not None
    assert (found.skew.seconds, found.skew.residual_s, found.skew.used) == (25_201.2, 25_201.2, "trusted")
    (flagged,) = found.flags
    assert (flagged.flag, flagged.set) == ("clock_off", {"clock_use": "offset", "clock_offset_s": 25_201})
    assert "7 h 00 behind arrival" in flagged.detail


def test_a_clock_that_is_years_off_is_told_no_offset_that_the_registry_refuses() -> None:
    (flagged,) = seen(skewed(63_072_000.0, 63_072_001.0, 63_072_000.5)).flags
    assert (flagged.flag, flagged.set) == ("clock_off", {"clock_use": "arrival"})
    assert "vary" not in flagged.detail


def test_a_clock_that_is_ahead_or_set_right_or_not_used() -> None:
    ahead, behind = skewed(-90.0, -91.0, -90.5), skewed(25_201.0, 25_202.0, 25_200.0)
    assert flags(ahead) == ["clock_off"]
    assert flags(behind, clock_use="offset", clock_offset_s=25_200.0) == []
    assert flags(behind, clock_use="offset", clock_offset_s=-25_200.0) == ["clock_off"]
    assert flags(behind, clock_use="arrival") == []
    assert flags(ahead, clock_uncertainty_s=120.0) == []


def test_what_delivery_takes_is_no_wrong_clock() -> None:
    assert flags(skewed(20.0, 25.0, 15.0)) == []
    one_backlog = skewed(2.0, 2.0, 9_000.0, 2.0, 2.0)
    assert flags(one_backlog) == []
    found = skew_of(camera(), one_backlog)
    assert found is not None
    assert found.seconds == 2.0


def test_a_clock_that_wanders_has_no_offset_to_set() -> None:
    (flagged,) = seen(skewed(*(1000.0 + 40 * n for n in range(12)))).flags
    assert flagged.set == {"clock_use": "arrival"}


def test_the_other_flags() -> None:
    assert flags(CameraState(), proof="url") == ["token_in_url"]
    assert flags(folded([report(refused={"wrong_key": 20})])) == ["refused_requests"]
    assert flags(folded([report(positions=6, positions_off=3)])) == ["position_disagrees"]
    assert flags(folded([report(positions=7, positions_off=3)])) == []
    assert flags(fold_letter(CameraState(), letter(1))) == ["conflicting_resends"]
    assert flags(fold_letter(CameraState(), letter(1)), active=False) == []


def test_letters_are_of_the_day() -> None:
    found: Letter = letter(1)
    assert seen(fold_letter(CameraState(), found), timedelta(days=2)).flags == ()


@pytest.mark.parametrize(
    ("seconds", "text"), [(42, "42 s"), (900, "15 min"), (25_200, "7 h 00"), (11_100, "3 h 05"), (700_000, "8 days")]
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
