"""How a camera is doing, in words and numbers: judged when it is asked, by the camera's own past. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final, Literal

import msgspec

from schemas.cameras import Camera, ClockUse
from schemas.health import (
    CONFIDENCE_UNIT,
    HEARD_SLOT_S,
    HOUR_S,
    HOURS,
    RECENT_SLOT_S,
    CameraState,
    Counts,
    slot,
)
from search.cameras import MAX_OFFSET_S

USUAL: Final = 0.8
"""A silence is usual if the camera was no longer silent than that at four of five such moments of its past."""

PATIENCE: Final = 3
"""A camera is called silent when it has been for longer than three times what is usual."""

LONGEST_S: Final = 7 * 86_400.0
"""Nobody waits longer than this, however rarely a camera reads."""

MIN_HEARD: Final = 6
"""A camera that was heard in fewer slots has no rhythm yet."""

DAYS_FOR_HOURS: Final = 3
"""With so many days of past, the same hours of the days before count alone; with fewer, all of the past."""

AROUND: Final = range(-9, 10, 3)
"""Five-minute slots around the same time of another day that are looked at: 45 minutes either way."""

REPORTED_WITHIN: Final = timedelta(minutes=5)
"""If no process that cameras push to has reported for longer, nobody knows whether a camera is silent."""

MANY: Final = 20
REJECT_RATE: Final = 0.2
MIN_SKEWS: Final = 10
DELIVERY_S: Final = 30.0
"""What a read may take from the camera to here without anybody's clock being wrong."""

UNSTEADY_S: Final = 60.0
"""A skew that varies by more either way is no fixed offset."""

MIN_POSITIONS: Final = 3
OFF_RATE: Final = 0.5

NO_FAULT: Final = frozenset({"not_a_motor_vehicle"})
"""Rejections that are as they should be."""

Status = Literal["ok", "silent", "learning", "never_seen", "unknown", "not_active", "retired"]
Flag = Literal[
    "token_in_url", "clock_off", "many_rejects", "refused_requests", "conflicting_resends", "position_disagrees"
]


class Flagged(msgspec.Struct, frozen=True, kw_only=True):
    """Something its operator should look at. `set` has what to set in the registry, where that would mend it."""

    flag: Flag
    detail: str
    set: dict[str, str | float] | None = None


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: how long it has read nothing, how long is usual at this hour, and from when on it is called silent."""

    quiet_s: float
    usual_quiet_s: float | None
    silent_after_s: float | None


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """Arrival less the camera's own time, learnt: above 0 its clock is behind, or its reads come late.

    `spread_s` is by how much it varies either way; `used` is how the registry uses the camera's clock, and `residual_s`
    what is left of the skew with that.
    """

    seconds: float
    spread_s: float
    used: ClockUse
    residual_s: float


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One camera. Rates are of the last day unless their name says otherwise."""

    camera_id: str
    name: str
    status: Status
    detail: str
    last_seen_at: datetime | None
    last_read_at: datetime | None
    silent_since: datetime | None
    rhythm: Rhythm | None
    reads_last_hour: int
    reads_last_day: int
    dropped: int
    rejected: dict[str, int]
    reject_rate: float | None
    refused: dict[str, int]
    mean_confidence: float | None
    skew: Skew | None
    flags: tuple[Flagged, ...]


class HealthList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/cameras/health`. `reported_at` is when any process last reported on cameras."""

    at: datetime
    reported_at: datetime | None
    cameras: tuple[CameraHealth, ...]


def view(camera: Camera, state: CameraState, now: datetime, reported_at: datetime | None) -> CameraHealth:
    """Return how a camera is doing at a time."""
    day = total(state, now)
    rejected = {reason: number for reason, number in sorted(day.rejected.items()) if reason not in NO_FAULT}
    rhythm = rhythm_of(state, now)
    status, detail = _status(camera, state, now, rhythm, reported_at)
    return CameraHealth(
        camera_id=camera.camera_id,
        name=camera.name,
        status=status,
        detail=detail,
        last_seen_at=state.last_seen_at,
        last_read_at=state.last_read_at,
        silent_since=state.last_read_at if status == "silent" else None,
        rhythm=rhythm,
        reads_last_hour=_last_hour(state, now),
        reads_last_day=day.accepted,
        dropped=day.dropped,
        rejected=rejected,
        reject_rate=_ratio(sum(rejected.values()), day.accepted + sum(rejected.values())),
        refused=dict(sorted(day.refused.items())),
        mean_confidence=_ratio(day.confidence_total, day.confidences * CONFIDENCE_UNIT),
        skew=skew_of(camera, state),
        flags=tuple(_flags(camera, state, day, rejected)) if camera.active else (),
    )


def total(state: CameraState, now: datetime) -> Counts:
    """Return the sum of the hours of the last day: this one, and the 24 before it."""
    oldest = slot(now, HOUR_S) - HOURS
    hours = [counts for hour, counts in state.hours.items() if hour >= oldest]
    return Counts(**{name: _sum([getattr(one, name) for one in hours], name) for name in Counts.__struct_fields__})


def _sum(values: Sequence[Any], name: str) -> Any:
    if name not in ("rejected", "refused"):
        return sum(values)
    return {key: sum(one.get(key, 0) for one in values) for key in {key for one in values for key in one}}


def _last_hour(state: CameraState, now: datetime) -> int:
    oldest = slot(now - timedelta(hours=1), RECENT_SLOT_S)
    return sum(number for at, number in state.recent.items() if at >= oldest)


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def rhythm_of(state: CameraState, now: datetime) -> Rhythm | None:
    """Return how quiet a camera is against its own past; None if it never read anything."""
    if state.last_read_at is None:
        return None
    quiet_s = max(0.0, (now - state.last_read_at).total_seconds())
    usual_s = _usual_quiet_s(state, now)
    after_s = None if usual_s is None else min(PATIENCE * usual_s, LONGEST_S)
    return Rhythm(quiet_s=round(quiet_s), usual_quiet_s=usual_s, silent_after_s=after_s)


def _usual_quiet_s(state: CameraState, now: datetime) -> float | None:
    """Return the length of silence that this camera had not exceeded at four of five comparable moments of its past."""
    bits = int.from_bytes(state.heard, "little")
    if bits.bit_count() < MIN_HEARD:
        return None
    quiet = sorted(_quiet_at(bits, state.heard_slot - moment) for moment in _moments(state, bits, now))
    return float((quiet[int(USUAL * (len(quiet) - 1))] + 1) * HEARD_SLOT_S)


def _moments(state: CameraState, bits: int, now: datetime) -> list[int]:
    """Return the slots of its past, up to the last in which it was heard, that are like the present one."""
    present, first = slot(now, HEARD_SLOT_S), state.heard_slot - bits.bit_length() + 1
    a_day = 86_400 // HEARD_SLOT_S
    days = (state.heard_slot - first) // a_day
    if days >= DAYS_FOR_HOURS:
        moments = [present - day * a_day + shift for day in range(1, days + 2) for shift in AROUND]
        alike = [moment for moment in moments if first <= moment <= state.heard_slot]
        if alike:
            return alike
    return list(range(max(first, state.heard_slot - DAYS_FOR_HOURS * a_day), state.heard_slot + 1))


def _quiet_at(bits: int, back: int) -> int:
    """Return for how many slots nothing was heard, `back` slots before the newest."""
    before = bits >> back
    return (before & -before).bit_length() - 1


def _status(
    camera: Camera, state: CameraState, now: datetime, rhythm: Rhythm | None, reported_at: datetime | None
) -> tuple[Status, str]:
    if not camera.active:
        return "retired", "It is retired: nothing of it is taken."
    if not camera.active_at(now):
        return "not_active", "Its active period has not begun, or is over: nothing of it is taken."
    if rhythm is None:
        sent = "It has sent nothing" if state.last_seen_at is None else "It sends, but no read of it was accepted"
        return "never_seen", f"{sent} so far."
    if rhythm.usual_quiet_s is None or rhythm.silent_after_s is None:
        return "learning", "Too little is known of its rhythm yet to tell silence from a quiet road."
    usual = f"At this hour it is usually quiet for no longer than {span(rhythm.usual_quiet_s)}"
    if rhythm.quiet_s <= rhythm.silent_after_s:
        return "ok", f"{usual}; its last read is {span(rhythm.quiet_s)} old."
    if reported_at is None or now - reported_at > REPORTED_WITHIN:
        return "unknown", "No gateway has reported for a while: whether it is silent is not known."
    seen = state.last_seen_at
    alive = seen is not None and (now - seen).total_seconds() <= rhythm.silent_after_s
    still = " It still sends, but no reads that are accepted." if alive else ""
    return "silent", f"{usual}; now it has been for {span(rhythm.quiet_s)}.{still}"


def skew_of(camera: Camera, state: CameraState) -> Skew | None:
    """Return the skew of a camera's clock; None if it never said a time."""
    if not state.skews:
        return None
    lows = sorted(state.skews.values())
    middle = median(lows)
    last = len(lows) - 1
    spread = (lows[last - last // 10] - lows[last // 10]) / 2
    offset = camera.clock_offset_s if camera.clock_use == "offset" else 0.0
    return Skew(
        seconds=round(middle, 1),
        spread_s=round(spread, 1),
        used=camera.clock_use,
        residual_s=0.0 if camera.clock_use == "arrival" else round(middle - offset, 1),
    )


def _flags(camera: Camera, state: CameraState, day: Counts, rejected: dict[str, int]) -> Iterator[Flagged]:
    if camera.proof == "url":
        detail = "It proves itself by a token in the path, which proxies and logs on the way may keep. Rotate it often."
        yield Flagged(flag="token_in_url", detail=detail)
    skew = skew_of(camera, state)
    if skew is not None and day.skews >= MIN_SKEWS and _is_off(camera, skew):
        yield _clock(skew)
    number = sum(rejected.values())
    if number >= MANY and number >= REJECT_RATE * (number + day.accepted):
        most = max(rejected, key=lambda reason: (rejected[reason], reason))
        yield Flagged(flag="many_rejects", detail=f"{number} of {number + day.accepted} items, most of them {most}.")
    refused = sum(day.refused.values())
    if refused >= MANY:
        most = max(day.refused, key=lambda reason: (day.refused[reason], reason))
        yield Flagged(flag="refused_requests", detail=f"{refused} requests under its name, most of them {most}.")
    if day.conflicting:
        reads = "1 read was" if day.conflicting == 1 else f"{day.conflicting} reads were"
        detail = f"{reads} sent again under the same key, with other content."
        yield Flagged(flag="conflicting_resends", detail=detail)
    if day.positions_off >= MIN_POSITIONS and day.positions_off >= OFF_RATE * day.positions:
        detail = f"{day.positions_off} of {day.positions} reads say that it is elsewhere than where it is registered."
        yield Flagged(flag="position_disagrees", detail=detail)


def _is_off(camera: Camera, skew: Skew) -> bool:
    """Tell whether a clock that is used is wrong by more than its uncertainty, its spread, and the way to here."""
    doubt_s = camera.clock_uncertainty_s + skew.spread_s
    return skew.used != "arrival" and not -doubt_s <= skew.residual_s <= doubt_s + DELIVERY_S


def _clock(skew: Skew) -> Flagged:
    says = f"Its times are {span(abs(skew.residual_s))} {'behind' if skew.residual_s > 0 else 'ahead of'} arrival"
    far = abs(skew.seconds) > MAX_OFFSET_S
    if far or skew.spread_s > UNSTEADY_S:
        varies = "" if far else f", and vary by {span(skew.spread_s)}"
        detail = f"{says}{varies}: mend its clock, or use times of arrival."
        return Flagged(flag="clock_off", detail=detail, set={"clock_use": "arrival"})
    detail = f"{says}. Mend its clock; or, if it is to stay as it is, set an offset."
    return Flagged(flag="clock_off", detail=detail, set={"clock_use": "offset", "clock_offset_s": round(skew.seconds)})


def span(seconds: float) -> str:
    """Return a length of time in a few characters: `42 s`, `17 min`, `3 h 05`, `4 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes < 2880 else f"{minutes // 1440} days"
