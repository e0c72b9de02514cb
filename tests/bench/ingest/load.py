"""The load: reads of vehicles that pass cameras, made from numbers, with the passes that must come of them known.

Almost every vehicle passes once; one in ten is read two or three times in its pass. No two plates share a key, and what
a camera thought possible besides is no other vehicle's plate: so the number of passes is the number of vehicles.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from ingest.adapters.kafka import KafkaPublisher
from ingest.enrich import enrich
from ingest.rows import Row, rows
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Attribute, Candidate, Detection, event_id
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from tests.bench.ingest.children import Failed
from tests.support.cameras import camera

CAMERAS: Final = 2000
OWNERS: Final = 20
STEP: Final = timedelta(microseconds=600)
"""Between two captures: a million reads in ten minutes."""

WAITING: Final = 10
"""Further reads that wait for their turn: some 75 reads of others lie between two of one pass."""

CHUNK: Final = 20_000

_LETTERS: Final = "ACEFHJKMNPRTUVWXY"  # no two of them, and no digits, are look-alikes
_PLATES: Final = len(_LETTERS) ** 3 * 10_000
_STRIDE: Final = 15_485_863  # a prime that does not divide it: every plate once
_MAKES: Final = ("chevrolet", "ford", "toyota", "honda", "nissan", "jeep", "hyundai", "kia", "subaru", "gmc")
_COLOURS: Final = ("silver", "white", "black", "grey", "blue", "red", "green")
_BODIES: Final = ("suv", "sedan", "pickup", "van", "hatchback")
_REGIONS: Final = ("us-co", "us-ut", "us-wy", "us-nm", "us-ks")


class Made(NamedTuple):
    """A load: reads, the last captured a moment before `ends`, of vehicles from `first` on; and their passes."""

    reads: int
    ends: datetime
    first: int
    passes: int


def cameras() -> list[Camera]:
    """Return the cameras of every load, spread over a few degrees and owners."""
    return [
        camera(
            f"bench-{number:04}",
            owner=f"owner-{number % OWNERS:02}",
            latitude=37.0 + number % 50 / 12,
            longitude=-109.0 + number // 50 / 6,
            timezone="America/Denver",
        )[0]
        for number in range(CAMERAS)
    ]


def plate(number: int) -> str:
    """Return the plate of a vehicle, one of 49 million."""
    rest, digits = divmod(number * _STRIDE % _PLATES, 10_000)
    rest, third = divmod(rest, len(_LETTERS))
    first, second = divmod(rest, len(_LETTERS))
    return f"{_LETTERS[first]}{_LETTERS[second]}{_LETTERS[third]}{digits:04}"


def detections(where: Sequence[Camera], reads: int, ends: datetime, first: int) -> Iterator[tuple[bool, Detection]]:
    """Yield so many reads in order of capture, the last a moment before `ends`, each with whether it begins a pass.

    Vehicles are numbered from `first`.
    """
    dice = random.Random(first)
    at = ends - reads * STEP
    waiting: list[Detection] = []
    vehicle = first
    for number in range(reads):
        if len(waiting) > WAITING or reads - number <= len(waiting):
            yield False, _again(waiting.pop(0), at, dice)
        else:
            read = one(where[dice.randrange(len(where))], vehicle, at, dice)
            yield True, read
            vehicle += 1
            if dice.random() < 0.1 and reads - number > len(waiting) + 2:
                waiting += [read] * (2 if dice.random() < 1 / 3 else 1)
        at += STEP


def one(where: Camera, vehicle: int, at: datetime, dice: random.Random) -> Detection:
    """Return the first read of a vehicle at a camera: with all that cameras usually send."""
    text = plate(vehicle)
    lane = dice.randrange(4)
    return Detection(
        event_id=event_id(where.camera_id, f"{at.isoformat()}\x1f{text}\x1f{lane}"),
        camera_id=where.camera_id,
        owner=where.owner,
        format="native",
        claimed_at=at,
        captured_at=at,
        received_at=at + timedelta(milliseconds=300),
        plate_raw=text,
        plate_confidence=round(dice.uniform(0.75, 0.99), 2),
        candidates=(Candidate(plate="5" + text[1:], confidence=0.31),),
        region=_REGIONS[vehicle % len(_REGIONS)],
        make=Attribute(value=_MAKES[vehicle % len(_MAKES)], confidence=0.97),
        colour=Attribute(value=_COLOURS[vehicle % len(_COLOURS)], confidence=0.88),
        body=Attribute(value=_BODIES[vehicle % len(_BODIES)]),
        lane=lane,
    )


def _again(read: Detection, at: datetime, dice: random.Random) -> Detection:
    """Return a further read of a pass; one in three takes a zero for an O."""
    text = read.plate_raw or ""
    return Detection(
        event_id=event_id(read.camera_id, f"{at.isoformat()}\x1f{text}\x1f{read.lane}"),
        camera_id=read.camera_id,
        owner=read.owner,
        format=read.format,
        claimed_at=at,
        captured_at=at,
        received_at=at + timedelta(milliseconds=300),
        plate_raw=text.replace("0", "O") if dice.random() < 1 / 3 else text,
        plate_confidence=round(dice.uniform(0.75, 0.99), 2),
        candidates=read.candidates,
        region=read.region,
        make=read.make,
        colour=read.colour,
        body=read.body,
        lane=read.lane,
    )


def row_batches(where: Sequence[Camera], made: Made, size: int) -> Iterator[list[Row]]:
    """Yield the rows of a load's reads, each read a row of its own, in batches."""
    known = {one.camera_id: one for one in where}
    reads = (read for _, read in detections(where, made.reads, made.ends, made.first))
    while batch := list(islice(reads, size)):
        sightings = [one for one in enrich(known, OwnerRules(), made.ends, batch) if isinstance(one, Sighting)]
        yield rows(sightings)


async def append_some(bootstrap: str, where: Sequence[Camera], made: Made, reads: int, topic: str) -> None:
    """Append the first reads of a load to a topic that is none of the product's."""
    some = islice(detections(where, made.reads, made.ends, made.first), reads)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        sent = [await producer.send(topic, wire.encode(read), key=read.camera_id.encode()) for _, read in some]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def append(bootstrap: str, where: Sequence[Camera], reads: int, ends: datetime, first: int) -> Made:
    """Append a load to the topic of detections."""
    passes = 0
    async with KafkaPublisher(bootstrap, timeout_s=60) as publisher:
        chunk: list[tuple[bytes, bytes]] = []
        for begins, read in detections(where, reads, ends, first):
            passes += begins
            chunk.append((read.camera_id.encode(), wire.encode(read)))
            if len(chunk) == CHUNK:
                await _publish(publisher, topics.DETECTIONS, chunk)
                chunk = []
        await _publish(publisher, topics.DETECTIONS, chunk)
    return Made(reads, ends, first, passes)


async def _publish(publisher: KafkaPublisher, topic: str, chunk: list[tuple[bytes, bytes]]) -> None:
    refused = [result for result in await publisher.publish(topic, chunk) if result is not None]
    if refused:
        raise Failed(f"the broker refuses {len(refused)} detections: {refused[0]}")
