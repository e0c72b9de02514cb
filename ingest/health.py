"""Reports of cameras, folded into what is known of each. Pure.

A report changes a state once, however often it is folded; reports of different processes may come in any order. Both
hold because nothing but sums, minima, maxima and sets of numbered slots is kept, each bounded by its newest slots.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from ingest.rows import AHEAD, EARLIEST, LATEST
from schemas.deadletters import DeadLetter
from schemas.health import (
    HEARD_SLOT_S,
    HEARD_SLOTS,
    HOUR_S,
    HOURS,
    RECENT_SLOT_S,
    RECENT_SLOTS,
    SKEW_SLOT_S,
    SKEW_SLOTS,
    CameraReport,
    CameraState,
    Counts,
    slot,
)

V = TypeVar("V")

SOURCES_KEPT: Final = 64
"""Runs of processes that a camera's state remembers the last report of. A camera sends to a few."""

LETTERS_KEPT: Final = 32

MOST: Final = 2**40
"""What a report may count of anything: sums of many such are still numbers that the row takes."""

_MAX_SEQUENCE: Final = 2**63 - 1
_MAX_NAME: Final = 64
_MAX_NAMES: Final = 64
_NUMBERS: Final = (
    "accepted", "dropped", "confidence_total", "confidences", "positions", "positions_off", "skews",
)  # fmt: skip


class Unfit(ValueError):
    """A report, or a letter, whose camera's row could not be kept with it. Names the field, never its value."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter of a camera, and where it stands in its topic: that is how it is known again."""

    partition: int
    offset: int
    letter: DeadLetter


def check(change: CameraReport | Letter, now: datetime) -> None:
    """Raise Unfit for what no process of ours says, and what would spoil a camera's row for all that comes after.

    Such as a time to come: the newest slots are kept, and beside it nothing would be new any more.
    """
    if isinstance(change, Letter):
        _check_name("camera_id", change.letter.camera_id or "")
        _check_time("at", change.letter.at, now)
        return
    _check_name("camera_id", change.camera_id)
    if not 0 <= change.sequence <= _MAX_SEQUENCE:
        raise Unfit("sequence is out of range")
    if not all(0 <= getattr(change, name) <= MOST for name in _NUMBERS):
        raise Unfit("a number is out of range")
    if abs(change.skew_low_s or 0.0) > MOST:
        raise Unfit("skew_low_s is out of range")
    for at in (change.until, change.last_seen_at, change.first_read_at, change.last_read_at):
        if at is not None:
            _check_time("a time", at, now)
    for counted in (change.rejected, change.refused):
        if len(counted) > _MAX_NAMES or not all(0 <= number <= MOST for number in counted.values()):
            raise Unfit("reasons are too many, or out of range")
        for name in counted:
            _check_name("a reason", name)


def _check_name(name: str, said: str) -> None:
    if len(said) > _MAX_NAME:
        raise Unfit(f"{name} is too long")


def _check_time(name: str, at: datetime, now: datetime) -> None:
    if at.tzinfo is None or not EARLIEST <= at <= LATEST:
        raise Unfit(f"{name} is out of range")
    if at > now + AHEAD:
        raise Unfit(f"{name} is more than a day ahead")


def fold(state: CameraState, report: CameraReport) -> CameraState:
    """Return a camera's state with a report in it; the same state if it is in it already."""
    source = str(report.source)
    if report.sequence <= state.sources.get(source, 0):
        return state
    counts = Counts(
        accepted=report.accepted,
        dropped=report.dropped,
        rejected=report.rejected,
        refused=report.refused,
        confidence_total=report.confidence_total,
        confidences=report.confidences,
        positions=report.positions,
        positions_off=report.positions_off,
        skews=report.skews,
    )
    heard_slot, heard = _heard(state, report)
    return msgspec.structs.replace(
        state,
        last_seen_at=_latest(state.last_seen_at, report.last_seen_at),
        last_read_at=_latest(state.last_read_at, report.last_read_at),
        heard_slot=heard_slot,
        heard=heard,
        recent=_recent(state.recent, report),
        hours=_counted(state.hours, report.until, counts),
        skews=_skews(state.skews, report),
        sources=_sources(state.sources, source, report.sequence),
    )


def fold_letter(state: CameraState, found: Letter) -> CameraState:
    """Return a camera's state with a dead letter counted; the same state if it was, or is of a kind that is not."""
    place, known = str(found.partition), str(found.letter.letter_id)
    if found.letter.replayed_as is not None:  # written beside a letter that is put back: it is counted already
        return state
    if found.letter.reason != "conflicting_resend" or found.offset <= state.letters.get(place, -1):
        return state
    if known in state.letter_ids:
        return msgspec.structs.replace(state, letters={**state.letters, place: found.offset})
    return msgspec.structs.replace(
        state,
        hours=_counted(state.hours, found.letter.at, Counts(conflicting=1)),
        letters={**state.letters, place: found.offset},
        letter_ids=(*state.letter_ids, known)[-LETTERS_KEPT:],
    )


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _heard(state: CameraState, report: CameraReport) -> tuple[int, bytes]:
    """Return the newest slot with a read, and the bits of all from there back."""
    if report.first_read_at is None or report.last_read_at is None:
        return state.heard_slot, state.heard
    first, last = slot(report.first_read_at, HEARD_SLOT_S), slot(report.last_read_at, HEARD_SLOT_S)
    newest = max(state.heard_slot, last)
    bits = int.from_bytes(state.heard, "little") << min(newest - state.heard_slot, HEARD_SLOTS)
    for each in {first, last}:
        if newest - each < HEARD_SLOTS:
            bits |= 1 << (newest - each)
    bits &= (1 << HEARD_SLOTS) - 1
    return newest, bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _recent(recent: Mapping[int, int], report: CameraReport) -> dict[int, int]:
    if not report.accepted:
        return dict(recent)
    at = slot(report.until, RECENT_SLOT_S)
    return _window({**recent, at: recent.get(at, 0) + report.accepted}, RECENT_SLOTS)


def _counted(hours: Mapping[int, Counts], at: datetime, counts: Counts) -> dict[int, Counts]:
    hour = slot(at, HOUR_S)
    return _window({**hours, hour: added(hours[hour], counts) if hour in hours else counts}, HOURS)


def added(one: Counts, other: Counts) -> Counts:
    """Return the sum of what was counted."""
    return Counts(**{name: _sum(getattr(one, name), getattr(other, name)) for name in Counts.__struct_fields__})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
    return one + other


def _skews(skews: Mapping[int, float], report: CameraReport) -> dict[int, float]:
    if report.skew_low_s is None:
        return dict(skews)
    at = slot(report.until, SKEW_SLOT_S)
    lowest = {**skews, at: min(report.skew_low_s, skews.get(at, report.skew_low_s))}
    return {number: lowest[number] for number in sorted(lowest)[-SKEW_SLOTS:]}


def _sources(sources: Mapping[str, int], source: str, sequence: int) -> dict[str, int]:
    others = [(name, number) for name, number in sources.items() if name != source]
    return dict([*others, (source, sequence)][-SOURCES_KEPT:])


def _window(slots: Mapping[int, V], keep: int) -> dict[int, V]:
    """Return the slots that are among the newest `keep` in time, and the one that has just begun, in order."""
    oldest = max(slots) - keep
    return {number: slots[number] for number in sorted(slots) if number >= oldest}
