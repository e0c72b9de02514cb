"""From the gate's rows to points: which match they are, what speaks against them, and one point for each pass.

A read that reached the index twice, such as one that an untrusted clock stamped on arrival and that was sent again,
is one point: reads of one plate at one camera within the pass window of the first of them.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import msgspec

from schemas import vocabulary
from schemas.detections import Candidate, Crop, Position
from schemas.queries import Doubt, Match, Point
from schemas.sightings import Said, Trait
from search.ports import Row

MAX_ANCHORS: Final = 64
"""Anchors that are carried to the next page. If more passes than that are open where a page ends, the oldest are left
out: a pass may then be shown twice, never lost."""

_CANDIDATES: Final = msgspec.json.Decoder(tuple[Candidate, ...])
_SAID: Final = msgspec.json.Decoder(Said)


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What a question asks of each row: the plate in normal form, and the region if one was named."""

    plate: str
    region: str | None = None


class Anchor(msgspec.Struct, frozen=True, array_like=True):
    """The first read of a pass that may still be open: a tag of its camera and plate, and its time."""

    tag: str
    at: datetime


def points(
    rows: Sequence[Row], sought: Sought, pass_window_s: float, anchors: Sequence[Anchor] = ()
) -> tuple[list[Point], tuple[Anchor, ...]]:
    """Return the points of rows in time order, and the anchors of passes that the next rows may continue.

    `anchors` are those of the page before: a read within `pass_window_s` seconds of one belongs to a point that was
    shown there, and gives none here. A point is its first read; `reads` counts what this page holds of the pass.
    """
    window = timedelta(seconds=pass_window_s)
    first = {anchor.tag: anchor.at for anchor in anchors}
    shown: dict[str, int] = {}
    found: list[tuple[Row, int]] = []
    for row in rows:
        tag = _tag(row)
        begun = first.get(tag)
        if begun is None or row.captured_at - begun > window:
            first[tag] = row.captured_at
            shown[tag] = len(found)
            found.append((row, 1))
        elif tag in shown:
            place = shown[tag]
            found[place] = (found[place][0], found[place][1] + 1)
    return [_point(row, sought, reads) for row, reads in found], _open(first, rows, window)


def _open(first: dict[str, datetime], rows: Sequence[Row], window: timedelta) -> tuple[Anchor, ...]:
    """Return the newest anchors that a read after the last row could still belong to."""
    if not rows:
        return ()
    live = [Anchor(tag, at) for tag, at in first.items() if rows[-1].captured_at - at <= window]
    return tuple(sorted(live, key=lambda anchor: (anchor.at, anchor.tag))[-MAX_ANCHORS:])


def _tag(row: Row) -> str:
    """Return a short name of camera and plate: it travels in a cursor, where no plate may be read."""
    name = hashlib.sha256(f"{row.camera_id}\x1f{row.plate}".encode()).digest()
    return base64.urlsafe_b64encode(name[:9]).decode()


def _point(row: Row, sought: Sought, reads: int) -> Point:
    match: Match = "exact" if row.plate == sought.plate else "lookalike"
    said = _SAID.decode(row.said) if row.said else Said()
    return Point(
        pass_id=row.pass_id,
        captured_at=row.captured_at,
        local_time=row.captured_at.astimezone(ZoneInfo(row.timezone)).isoformat(),
        camera_id=row.camera_id,
        owner=row.owner,
        position=Position(latitude=row.latitude, longitude=row.longitude),
        plate_raw=row.plate_raw,
        plate=row.plate,
        plate_confidence=_single(row.plate_confidence),
        candidates=_CANDIDATES.decode(row.candidates) if row.candidates else (),
        region=row.region,
        region_confidence=_single(row.region_confidence),
        make=_trait("make", row.make, row.make_confidence, said.make),
        model=_trait(None, row.model, row.model_confidence, said.model),
        colour=_trait("colour", row.colour, row.colour_confidence, said.colour),
        body=_trait("body", row.body, row.body_confidence, said.body),
        match=match,
        skew_s=row.skew_s,
        clock_uncertainty_s=_single(row.clock_uncertainty_s),
        doubts=_doubts(row, sought, match),
        reads=reads,
        crop=Crop(sha256=row.crop.hex()) if row.crop else None,
    )


def _doubts(row: Row, sought: Sought, match: Match) -> tuple[Doubt, ...]:
    doubts: list[Doubt] = cast("list[Doubt]", row.doubts.split(",")) if row.doubts else []
    if match == "lookalike":
        doubts.append("lookalike")
    if sought.region is not None and not _within(row.region, sought.region):
        doubts.append("region_conflict")
    return tuple(doubts)


def _within(region: str | None, sought: str) -> bool:
    """Tell whether a region is the sought one or a part of it. A wider one (US for US-MO) leaves the state open."""
    return region is not None and (region == sought or region.startswith(sought + "-"))


def _trait(kind: vocabulary.Kind | None, value: str | None, confidence: float | None, said: str | None) -> Trait | None:
    if value is None:
        return None
    code = None if kind is None else vocabulary.code(kind, value)
    return Trait(value=value, confidence=_single(confidence), code=code, said=said)


def _single(number: Any) -> Any:
    """Return a single-precision number as it was meant: 0.9, where the database's four bytes say 0.89999998."""
    return None if number is None else float(f"{number:.7g}")
