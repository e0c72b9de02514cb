"""True passes: vehicles that drive past cameras, as the load knows them, and what a camera says of each. Pure."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from schemas.detections import event_id

ALPHABET: Final = "ACEFHJKMNPRTUVWXY34"
"""A prime number of characters of which no two are look-alikes, so that a plate is its own key."""

COLOURS: Final = ("red", "blue", "white", "black", "silver")

SURE: Final = 0.97
DOUBTFUL: Final = 0.6

READS: Final = (
    ((True,), 55),
    ((True, True), 15),
    ((False, True), 12),
    ((True, False), 8),
    ((False, True, True), 5),
    ((True, True, False, True), 5),
)
"""What passes look like, and how many of a hundred do: a read each, True if its plate is read rightly.

A pass that begins with a misread changes its key with the second read, which leaves a grave.
"""


@dataclass
class Pass:
    """One vehicle before one camera. `events` are the ids of its reads, `sent_s` when the first was first sent.

    `late` is set where a read may have come after the time that a pass may take: it rightly opens another one.
    """

    camera_id: str
    plate: str
    captured_at: datetime
    colour: str
    rightly: tuple[bool, ...]
    misread: str
    events: list[uuid.UUID] = field(default_factory=list)
    acknowledged: int = 0
    sent_s: float | None = None
    late: bool = False

    def read(self, number: int) -> dict[str, Any]:
        """Return one of its reads in Platetrail's own format."""
        captured_at = self.captured_at + timedelta(milliseconds=300 * number)
        right = self.rightly[number]
        return {
            "key": f"{self.plate}-{number}",
            "captured_at": captured_at.isoformat(),
            "plate": self.plate if right else self.misread,
            "plate_confidence": SURE if right else DOUBTFUL,
            "candidates": [] if right else [{"plate": self.plate, "confidence": 0.55}],
            "colour": {"value": self.colour, "confidence": 0.9},
        }


def plate(number: int) -> str:
    """Return the plate of a vehicle: any two differ in three characters, so that no misread is another's plate."""
    base = len(ALPHABET)
    digits = [number // base**place % base for place in range(5)]
    checks = (sum(digits), sum((place + 1) * digit for place, digit in enumerate(digits)))
    return "".join(ALPHABET[digit % base] for digit in (*digits, *checks))


def vehicles(rng: Random, begin: int) -> Iterator[tuple[str, str, str, tuple[bool, ...]]]:
    """Yield vehicle after vehicle, from a number on: plate, a misreading of it, colour, and how it is read."""
    shapes, weights = zip(*READS, strict=True)
    for number in range(begin, len(ALPHABET) ** 5):
        text = plate(number)
        place = rng.randrange(len(text))
        wrong = rng.choice([other for other in ALPHABET if other != text[place]])
        [rightly] = rng.choices(shapes, weights)
        yield text, text[:place] + wrong + text[place + 1 :], rng.choice(COLOURS), rightly


def event_of(camera_id: str, read: dict[str, Any]) -> uuid.UUID:
    """Return the event id that a camera's read is given: of its own key and the time it claims."""
    claimed_at = datetime.fromisoformat(read["captured_at"]).astimezone(UTC)
    return event_id(camera_id, f"{read['key']}\x1f{claimed_at.isoformat()}")


def by_event(passes: Sequence[Pass]) -> dict[uuid.UUID, Pass]:
    """Return each pass under the ids of all its reads: whichever came first, or doubled, is the pass's own."""
    return {event: one for one in passes for event in one.events}
