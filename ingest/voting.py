"""What the enricher remembers: it turns sightings, as they come, into what is published of their passes. Pure."""

from collections.abc import Collection, Mapping, Sequence

from ingest import passes
from ingest.passes import State
from ingest.ports import Kept, Message
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from schemas.offsets import Written
from schemas.sightings import Sighting


class Voting:
    """`stage.Memory` of detections and their sightings: the passes that later reads may belong to."""

    def __init__(self, window_s: float) -> None:
        """Remember nothing; a pass takes at most `window_s` seconds."""
        self._state = State(window_s)

    def resume(self, written: Mapping[passes.Place, Written]) -> None:
        """See `stage.Memory.resume`."""
        passes.resume(self._state, written)

    def advance(
        self,
        messages: Sequence[Message],
        items: Sequence[Detection | DeadLetter],
        outcomes: Sequence[Sighting | DeadLetter | None],
    ) -> list[Sequence[Sighting | DeadLetter] | Exception | None]:
        """See `stage.Memory.advance`."""
        told: list[Sequence[Sighting | DeadLetter] | Exception | None] = []
        partition, place = None, ("", -1)
        stamp, at = -1, 0.0
        for message, item, outcome in zip(messages, items, outcomes, strict=True):
            if partition is None or message.partition != place[1] or message.topic != place[0]:
                place = (message.topic, message.partition)
                partition = passes.partition_of(self._state, place)
            if message.timestamp != stamp:  # one number for all reads of a moment
                stamp, at = message.timestamp, message.timestamp / 1000
            sighting = outcome if isinstance(outcome, Sighting) else None
            said = content(item) if isinstance(item, Detection) else 0
            made = partition.take(message.offset, at, sighting, said)
            if message.offset < partition.done:
                told.append(None)
            else:
                told.append((outcome,) if isinstance(outcome, DeadLetter) else made)
        return told

    def kept(self, places: Collection[passes.Place], idle_s: Mapping[passes.Place, float]) -> dict[passes.Place, Kept]:
        """See `stage.Memory.kept`."""
        found: dict[passes.Place, Kept] = {}
        for place in places:
            start = passes.safe_position(self._state, place, idle_s.get(place, 0.0))
            written = passes.written(self._state, place)
            if start is not None and written is not None:
                found[place] = (start, written)
        return found


def content(detection: Detection) -> int:
    """Return a number, the same within a process for two messages in which a camera says the same.

    Left out is what is not the camera's word: when a message arrived, and what the registry made of it.
    """
    d = detection
    return hash(
        (
            d.format, d.claimed_at, d.plate_raw, d.plate_confidence, d.candidates, d.region, d.region_confidence,
            d.make, d.model, d.colour, d.body, d.position, d.heading_deg, d.lane,
        )
    )  # fmt: skip
