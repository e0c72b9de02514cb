"""A camera's payloads into topics: parse, decide, encode; then publish, and say what became of each item."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from ingest import deadletter, pictures
from ingest.envelopes import Messages
from ingest.errors import PublishError, Unavailable
from ingest.formats.payload import NotUsable
from ingest.formats.read import Dropped, Outcome, Parser, Read, Reason, Rejected
from ingest.formats.recognise import recognise
from ingest.formats.table import HIKVISION, NATIVE, PARSERS
from ingest.intake import Verdict, decide
from ingest.ports import Crops, NewCrop, Publisher, TracedRecord
from ingest.tally import Seen, Tallies
from schemas import topics, wire
from schemas.cameras import Camera, Handling
from schemas.deadletters import DeadLetter
from schemas.detections import Crop, Detection
from schemas.owners import OwnerRules

Status = Literal["accepted", "dropped", "rejected"]

PictureFate = Literal["kept", "no_read", "no_folder", "unavailable"] | pictures.Fault
"""What became of a picture of a plate. `no_read`: its read is not kept, or has no plate."""

CLEANING: Final = 2
"""How many requests' pictures are looked at, off the event loop, at one time."""

TOPICS: Final[dict[Handling, str]] = {"standard": topics.DETECTIONS, "ephemeral": topics.EPHEMERAL}
"""Where a camera's detections go, by its handling."""


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one item of a request.

    `accepted`: the broker has it, durably. `dropped`: in order, and left alone on purpose. `rejected`: at fault;
    `reason` says why, `pointer` (RFC 6901, from the item on) where. `event_id` is the id of the read's pass as long
    as no later message revises it.
    """

    index: int
    status: Status
    event_id: str | None = None
    reason: Reason | None = None
    pointer: str = ""


class Prepared:
    """A request's items, judged and encoded, before anything is written.

    `format_` is what the request turned out to be in: its camera expects that format's answer. `topic` is where its
    detections go, `seen` what the reads say of their camera.
    """

    def __init__(self, format_: str, topic: str, camera_id: str, received_at: datetime) -> None:
        """Begin with nothing."""
        self.format_ = format_
        self.topic = topic
        self.camera_id = camera_id
        self.received_at = received_at
        self.seen = Seen()
        self.items: list[Item] = []
        self.detections: list[tuple[bytes, bytes]] = []
        self.letters: list[tuple[bytes, bytes]] = []
        self.given: list[tuple[int, Detection, bytes]] = []
        self._published: list[Item] = []
        self._named: list[tuple[int, NewCrop]] = []

    def size_bytes(self) -> int:
        """Return the bytes that wait to be published."""
        values = [value for _, value in (*self.detections, *self.letters)]
        return sum(map(len, values)) + sum(len(picture) for _, _, picture in self.given)

    def add(
        self, index: int, verdict: Detection | DeadLetter | Dropped | Rejected, picture: bytes | None = None
    ) -> None:
        """Take what was decided on an item, and the picture of a detection's plate as it was sent."""
        if isinstance(verdict, Detection):
            item = Item(index=index, status="accepted", event_id=str(verdict.event_id))
            if picture is not None:
                self.given.append((len(self.detections), verdict, picture))
            self.detections.append((verdict.camera_id.encode(), wire.encode(verdict)))
            self._published.append(item)
        elif isinstance(verdict, DeadLetter):
            item = Item(index=index, status="rejected", reason="clock_future")
            self.letters.append((deadletter.key(verdict), wire.encode(verdict)))
        elif isinstance(verdict, Dropped):
            item = Item(index=index, status="dropped", reason=verdict.reason)
        else:
            item = Item(index=index, status="rejected", reason=verdict.reason, pointer=verdict.pointer)
        self.items.append(item)

    def name_crops(self, crops: Sequence[NewCrop | None]) -> None:
        """Put the names of pictures into the detections that they came with; None for one that is not kept."""
        for (at, detection, _), crop in zip(self.given, crops, strict=True):
            if crop is not None:
                named = msgspec.structs.replace(detection, crop=Crop(sha256=crop.sha256))
                self.detections[at] = (detection.camera_id.encode(), wire.encode(named))
                self._named.append((at, crop))

    def taken_crops(self) -> list[NewCrop]:
        """Return the pictures of the detections that the broker has taken."""
        return [crop for at, crop in self._named if self._published[at].status == "accepted"]

    def settle(self, results: Sequence[PublishError | None]) -> None:
        """Take the broker's word on the detections, in their order."""
        for item, error in zip(self._published, results, strict=True):
            if error is not None:
                item.status, item.reason, item.event_id = "rejected", "refused_by_broker", None


class Receiver:
    """The gateway's work on one request, without HTTP: other ways in (a camera network's own topic) use it too."""

    def __init__(
        self,
        publisher: Publisher,
        rules: OwnerRules,
        *,
        future_limit_s: float,
        tallies: Tallies | None = None,
        crops: Crops | None = None,
        count_picture: Callable[[PictureFate], None] = lambda _: None,
        trace: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        """Know where to publish, the owners' rules, how far ahead a clock may be, and where cameras are counted.

        Pictures of plates go to `crops`, or nowhere; `count_picture` is told what became of each.
        `trace` is asked for the `traceparent` of the request at hand, if that is sampled.
        """
        self._trace = trace
        self._publisher = publisher
        self._rules = rules
        self._future_limit_s = future_limit_s
        self._tallies = tallies
        self._crops = crops
        self._count_picture = count_picture
        self._cleaning = asyncio.Semaphore(CLEANING)

    def prepare(
        self, format_: str, camera: Camera, payloads: Sequence[Any | NotUsable], received_at: datetime
    ) -> Prepared:
        """Return what is to be written and answered for these payloads; a NotUsable among them is an item at fault.

        A vendor's message under another vendor's name is read as what it is.
        """
        formats = [_format(payload, format_) for payload in payloads]
        beside = payloads.picture if isinstance(payloads, Messages) else None
        prepared = Prepared(formats[0] if formats else format_, TOPICS[camera.handling], camera.camera_id, received_at)
        for index, (payload, name) in enumerate(zip(payloads, formats, strict=True)):
            for outcome in _outcomes(PARSERS[name], payload):
                if isinstance(outcome, Read):
                    prepared.seen.read(outcome, camera, received_at)
                    verdict = decide(
                        outcome,
                        format_=name,
                        camera=camera,
                        received_at=received_at,
                        rules=self._rules,
                        future_limit_s=self._future_limit_s,
                    )
                    given = outcome.picture if outcome.picture is not None else beside if name == HIKVISION else None
                    prepared.add(index, verdict, self._picture(given, verdict, camera))
                else:
                    prepared.add(index, outcome)
        return prepared

    def _picture(self, given: bytes | None, verdict: Verdict, camera: Camera) -> bytes | None:
        """Return a picture of a plate if it may be kept, as far as its read tells; count one that may not."""
        if given is None:
            return None
        if not isinstance(verdict, Detection) or verdict.plate_raw is None or camera.handling != "standard":
            self._count_picture("no_read")
        elif self._crops is None:
            self._count_picture("no_folder")
        else:
            return given
        return None

    async def publish(self, prepared: Prepared) -> list[Item]:
        """Write what was prepared; return the items once the broker has acknowledged all of it.

        Raises Unavailable if it does not: any part may have been written, and sending all of it again is harmless.
        """
        trace = self._trace()
        await self.publish_all([prepared], {} if trace is None else {0: trace})
        return prepared.items

    async def publish_all(self, several: Sequence[Prepared], traces: Mapping[int, bytes]) -> None:
        """Write what was prepared of several requests, in order, each with its trace if it has one: as `publish` does.

        The broker's word on each is in its items then.
        """
        letters = [letter for one in several for letter in one.letters]
        if letters and any(await self._publisher.publish(topics.DEAD_LETTERS, letters)):
            raise Unavailable("the dead letters were refused")
        for one in several:
            await self._keep(one)
        for topic in dict.fromkeys(one.topic for one in several if one.detections):
            those = [(at, one) for at, one in enumerate(several) if one.topic == topic]
            records = [record for at, one in those for record in _traced(one, traces.get(at))]
            results = iter(await self._publisher.publish(topic, records))
            for _, one in those:
                one.settle(list(islice(results, len(one.detections))))
        for one in several:
            await self._confirm(one)
            if self._tallies is not None:
                self._tallies.took(one.camera_id, one.received_at, one.items, one.seen)

    async def _keep(self, prepared: Prepared) -> None:
        """Store the pictures before their reads are published: a read that names one must not come first."""
        if self._crops is None or not prepared.given:
            return
        async with self._cleaning:
            crops = await asyncio.to_thread(lambda: [_crop(one, picture) for _, one, picture in prepared.given])
        kept = [crop for crop in crops if isinstance(crop, NewCrop)]
        for crop in crops:
            if not isinstance(crop, NewCrop):
                self._count_picture(crop)
        if not kept:
            return
        try:
            await self._crops.keep(kept)
        except Unavailable:
            for _ in kept:
                self._count_picture("unavailable")
        else:
            prepared.name_crops([crop if isinstance(crop, NewCrop) else None for crop in crops])

    async def _confirm(self, prepared: Prepared) -> None:
        crops = prepared.taken_crops()
        if self._crops is None or not crops:
            return
        try:
            await self._crops.confirm(crops)
            fate: PictureFate = "kept"
        except Unavailable:
            fate = "unavailable"
        for _ in crops:
            self._count_picture(fate)


def _traced(prepared: Prepared, trace: bytes | None) -> Sequence[tuple[bytes, bytes]]:
    """Return the records of detections, with the trace if there is one; reads that may not be kept have none."""
    if trace is None or prepared.topic != topics.DETECTIONS:
        return prepared.detections
    return [TracedRecord(key, value, trace) for key, value in prepared.detections]


def _crop(detection: Detection, picture: bytes) -> NewCrop | pictures.Fault:
    """Return the picture of a detection's plate as it is kept, or why it is not."""
    try:
        clean = pictures.cleaned(picture)
    except pictures.NotACrop as refused:
        return refused.reason
    sha256 = pictures.crop_of(clean).sha256
    return NewCrop(owner=detection.owner, captured_at=detection.captured_at, sha256=sha256, picture=clean)


def _format(payload: Any | NotUsable, declared: str) -> str:
    return declared if declared == NATIVE else recognise(payload) or declared


def _outcomes(parse: Parser, payload: Any | NotUsable) -> tuple[Outcome, ...]:
    return (Rejected(reason=payload.reason),) if isinstance(payload, NotUsable) else parse(payload)
