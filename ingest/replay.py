"""Whether a dead letter may be put back on the stream, as what, and what the audit log keeps of it. Pure.

A replayed detection is the one of the letter: the same event id and times, so that the index has one row of it however
often it comes. What a clock's rule decides is decided by the registry's rule of today, as the gateway would.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from ingest.enrich import Cameras
from ingest.intake import captured_at, is_ahead
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from schemas.entries import Entry, Lookup, LookupClass, disclose
from schemas.owners import OwnerRules
from schemas.plate import normalise, plate_key
from schemas.queries import Asker

Result = Literal[
    "replayed",
    "nothing_kept",
    "past_retention",
    "needs_force",
    "unknown_camera",
    "wrong_owner",
    "retired_camera",
    "ephemeral",
    "clock_future",
    "refused_by_broker",
]
"""What became of a letter. `needs_force`: its reason says that it should stay where it is."""

FORCED_ONLY: Final = frozenset({"conflicting_resend"})
"""Reasons for which the stream has another message of the same id already."""

Action = Literal["reveal", "replay"]
MakeLookup = Callable[[LookupClass, str], Lookup]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it lies in the topic, with the capture time that an earlier replay gave it."""

    place: tuple[int, int, int]
    letter: DeadLetter
    replayed_as: datetime | None = None


def owner_of(letter: DeadLetter, cameras: Cameras) -> str | None:
    """Return whose a letter is; None if that can't be known: nothing in it is anybody's then."""
    if letter.detection is not None:
        return letter.detection.owner
    camera = cameras.get(letter.camera_id) if letter.camera_id is not None else None
    return camera.owner if camera is not None else None


def is_seen_by(letter: DeadLetter, agency: str, cameras: Cameras) -> bool:
    """Tell whether an agency may see that there is this letter: its own, and what was no message of anybody's."""
    return owner_of(letter, cameras) == agency or (letter.camera_id is None and letter.detection is None)


def is_expired(detection: Detection, cameras: Cameras, rules: OwnerRules, now: datetime) -> bool:
    """Tell whether a read is older than its owner may keep it; where registry and message differ, the stricter one.

    A clock that runs ahead gives nobody more time: the arrival counts then. Of a time without its offset from UTC,
    which only a faulty writer makes, nobody can say that it is recent enough.
    """
    if detection.captured_at.tzinfo is None or detection.received_at.tzinfo is None:
        return True
    camera = cameras.get(detection.camera_id)
    owners = {detection.owner} | ({camera.owner} if camera is not None else set())
    days = min(rules.days(owner) for owner in owners)
    return min(detection.captured_at, detection.received_at) <= now - timedelta(days=days)


def judge(
    kept: Kept, cameras: Cameras, rules: OwnerRules, now: datetime, *, future_limit_s: float, force: bool = False
) -> Detection | Result:
    """Return the detection to put back on the stream, or why there is none."""
    detection = kept.letter.detection
    if detection is None:
        return "nothing_kept"
    if is_expired(detection, cameras, rules, now):
        return "past_retention"
    if kept.letter.reason in FORCED_ONLY and not force:
        return "needs_force"
    camera = cameras.get(detection.camera_id)
    if camera is None:
        return "unknown_camera"
    if camera.owner != detection.owner:
        return "wrong_owner"
    if not camera.active:
        return "retired_camera"
    if camera.handling != "standard":
        return "ephemeral"
    if kept.letter.reason != "clock_future":
        return detection
    captured = kept.replayed_as or captured_at(camera, detection.claimed_at, detection.received_at)
    after = msgspec.structs.replace(detection, captured_at=captured)
    if is_ahead(captured, detection.received_at, future_limit_s):
        return "clock_future"
    return "past_retention" if is_expired(after, cameras, rules, now) else after


def marker(letter: DeadLetter, detection: Detection) -> DeadLetter:
    """Return what is written of a letter before its detection is: no plate, and the capture time for good."""
    return msgspec.structs.replace(letter, detection=None, replayed_as=detection.captured_at)


def entry(
    action: Action, asker: Asker, letters: Sequence[DeadLetter], note: str | None, at: datetime, lookup: MakeLookup
) -> Entry:
    """Return the audit entry of letters that are revealed or put back. Who, which and why are committed to."""
    lookups = [lookup("person", asker.person)]
    if action == "reveal":
        lookups.extend(lookup("delivered_key", key) for key in sorted(_keys(letters)))
    return Entry(
        kind="dead_letter",
        public={
            "type": "dead_letter",
            "action": action,
            "at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "agency": asker.agency,
            "trigger": asker.trigger,
            "letters": len(letters),
        },
        disclosures=(
            disclose("person", asker.person),
            disclose("letters", [str(letter.letter_id) for letter in letters]),
            disclose("note", note),
        ),
        lookups=tuple(lookups),
    )


def _keys(letters: Sequence[DeadLetter]) -> set[str]:
    raw = [letter.detection.plate_raw for letter in letters if letter.detection is not None]
    plates = [plate for text in raw if (plate := normalise(text)) is not None]
    return {plate_key(plate) for plate in plates}
