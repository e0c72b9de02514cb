"""What a camera makes of a pass: the message it sends, and, kept apart, whether it read the plate right."""

import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from schemas.detections import Position
from services.simulate.cameras import Dialect, PlacedCamera
from services.simulate.errors import AttributeErrors, ErrorModel, Spread
from services.simulate.geography import Point, towards
from services.simulate.trips import Pass
from services.simulate.vehicles import MASKS, MODELS, TRUCKS, Vehicle
from services.simulate.world import World

ANY_CHARACTER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MAKES: Final = (*MODELS, *TRUCKS)
BODIES: Final = ("Sedan", "SUV", "Pickup", "Van", "Hatchback", "Truck")
NAMES_OF_MODELS: Final = sorted(
    {model for by_body in MODELS.values() for models in by_body.values() for model in models}
)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A word for an attribute in the camera's own language, with its confidence."""

    value: str
    confidence: float


class SaidPlate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the readings that a camera thought possible."""

    plate: str
    confidence: float


class NativeDetection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of `POST /v1/detections` in the native form. What a camera does not know is left out."""

    captured_at: datetime
    plate: str | None
    plate_confidence: float | None = None
    candidates: tuple[SaidPlate, ...] = ()
    region: str | None = None
    region_confidence: float | None = None
    make: Said | None = None
    model: Said | None = None
    colour: Said | None = None
    body: Said | None = None
    lane: int | None = None
    heading_deg: float | None = None
    position: Position | None = None
    key: str | None = None


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """A message about a pass, with the truth about it.

    `timezone` is the camera's (IANA). `text` is the plate as read, in normal form, None if none was read; `right`
    says that it is the vehicle's plate. `event_id` and `status` are what the gateway answered; both None until the
    read has been pushed.
    """

    number: int
    of_pass: int
    vehicle: int
    camera_id: str
    owner: str
    timezone: str
    text: str | None
    right: bool
    detection: NativeDetection
    status: str | None = None
    event_id: uuid.UUID | None = None


def make_reads(
    world: World, vehicles: tuple[Vehicle, ...], passes: tuple[Pass, ...], errors: ErrorModel
) -> tuple[Read, ...]:
    """Return the reads of all passes in order of the time that the cameras claim. The same for the same arguments."""
    reader = Reader(world, errors)
    reads: list[Read] = []
    for one in passes:
        dice = random.Random(f"{world.seed}/reads/{one.number}")
        reads += reader.reads(one, vehicles[one.vehicle], dice)
    reads.sort(key=lambda read: (read.detection.captured_at, read.camera_id))
    return tuple(msgspec.structs.replace(read, number=number) for number, read in enumerate(reads))


class Reader:
    """The cameras' eyes: turns a pass into the messages about it."""

    def __init__(self, world: World, errors: ErrorModel) -> None:
        self._errors = errors
        self._cameras: Mapping[str, PlacedCamera] = {camera.camera_id: camera for camera in world.cameras}
        self._zones = {camera.camera_id: ZoneInfo(camera.timezone) for camera in world.cameras}

    def reads(self, one: Pass, vehicle: Vehicle, dice: random.Random) -> Iterator[Read]:
        """Yield no read, one, or two of a pass; their numbers are given later."""
        if dice.random() < self._errors.missed_pass:
            return
        yield self._read(one, vehicle, 0, 0.0, dice)
        again = self._errors.duplicates
        if dice.random() < again.share:
            yield self._read(one, vehicle, 1, dice.uniform(again.least_s, again.most_s), dice)

    def _read(self, one: Pass, vehicle: Vehicle, turn: int, after_s: float, dice: random.Random) -> Read:
        camera = self._cameras[one.camera_id]
        unread = dice.random() < self._errors.unread_plate
        text = None if unread else self.misread(vehicle.plate, dice)
        at = one.at + timedelta(seconds=camera.clock_error_s + after_s)
        return Read(
            number=-1,
            of_pass=one.number,
            vehicle=vehicle.number,
            camera_id=camera.camera_id,
            owner=camera.owner,
            timezone=camera.timezone,
            text=text,
            right=text == vehicle.plate,
            detection=self._detection(one, vehicle, camera, text, at, turn, dice),
        )

    def _detection(
        self,
        one: Pass,
        vehicle: Vehicle,
        camera: PlacedCamera,
        text: str | None,
        at: datetime,
        turn: int,
        dice: random.Random,
    ) -> NativeDetection:
        errors, say = self._errors, WORDS[camera.dialect]
        confidence = self._confidence(text == vehicle.plate, dice)
        region, region_confidence = self._region(vehicle, text, dice)
        near = errors.colours_near[vehicle.colour]
        return NativeDetection(
            captured_at=_with_offset(at, self._zones[camera.camera_id]),
            plate=None if text is None else write_plate(text, camera.dialect),
            plate_confidence=None if text is None else confidence,
            candidates=self._candidates(text, confidence, vehicle.plate, camera.dialect, dice),
            region=region,
            region_confidence=region_confidence,
            make=self._said(say(vehicle.make), [say(make) for make in MAKES], errors.make, dice),
            model=self._said(say(vehicle.model), [say(model) for model in NAMES_OF_MODELS], errors.model, dice),
            colour=self._said(say(vehicle.colour), [say(colour) for colour in near], errors.colour, dice),
            body=self._said(say(vehicle.body), [say(body) for body in BODIES], errors.body, dice),
            lane=dice.randint(1, errors.lanes),
            heading_deg=None if dice.random() < errors.heading_unknown else one.heading_deg,
            position=self._position(camera, dice) if camera.tells_position else None,
            key=_vendor_key(one, turn, at) if camera.dialect == "keyed" else None,
        )

    def misread(self, plate: str, dice: random.Random) -> str:
        """Return the plate as it is read: mostly as it is, sometimes with substitutions or a character fewer."""
        errors = self._errors.plate
        chars = list(plate)
        for place, char in enumerate(chars):
            if dice.random() < errors.character_error:
                alike = dice.random() < errors.look_alike_share and errors.look_alikes.get(char)
                chars[place] = dice.choice(alike or ANY_CHARACTER.replace(char, ""))
        if dice.random() < errors.dropped_character:
            del chars[dice.randrange(len(chars))]
        return "".join(chars)

    def _candidates(
        self, text: str | None, confidence: float, plate: str, dialect: Dialect, dice: random.Random
    ) -> tuple[SaidPlate, ...]:
        """Return the camera's readings, its own first, the others with falling confidence."""
        rules = self._errors.candidates
        if text is None or dice.random() >= rules.share:
            return ()
        texts = [text]
        if text != plate and dice.random() < rules.truth_when_wrong:
            texts.append(plate)
        for _ in range(dice.randint(0, max(0, rules.most - len(texts)))):
            place = dice.randrange(len(plate))
            alike = self._errors.plate.look_alikes.get(plate[place], ANY_CHARACTER)
            texts.append(plate[:place] + dice.choice(alike) + plate[place + 1 :])
        said, left = [], confidence
        for each in dict.fromkeys(texts[: rules.most]):
            said.append(SaidPlate(plate=write_plate(each, dialect), confidence=round(left, 4)))
            left *= dice.uniform(0.55, 0.97)
        return tuple(said)

    def _region(self, vehicle: Vehicle, text: str | None, dice: random.Random) -> tuple[str | None, float | None]:
        rules, roll = self._errors.region, dice.random()
        if text is None or roll < rules.unknown:
            return None, None
        if roll < rules.unknown + rules.wrong:
            others = [f"US-{state}" for state in MASKS if f"US-{state}" != vehicle.region]
            return dice.choice(others), self._confidence(False, dice)
        return vehicle.region, self._confidence(True, dice)

    def _said(self, word: str, others: list[str], rules: AttributeErrors, dice: random.Random) -> Said | None:
        roll = dice.random()
        if roll < rules.unknown:
            return None
        if roll < rules.unknown + rules.wrong:
            wrong = dice.choice([other for other in others if other != word])
            return Said(value=wrong, confidence=self._confidence(False, dice))
        return Said(value=word, confidence=self._confidence(True, dice))

    def _confidence(self, right: bool, dice: random.Random) -> float:
        spread: Spread = self._errors.confidence.right if right else self._errors.confidence.wrong
        return round(dice.betavariate(spread.mean * spread.weight, (1 - spread.mean) * spread.weight), 4)

    def _position(self, camera: PlacedCamera, dice: random.Random) -> Position:
        true = Point(latitude=camera.latitude, longitude=camera.longitude)
        said = towards(true, dice.uniform(0, 360), dice.uniform(0, self._errors.position_error_m))
        return Position(latitude=said.latitude, longitude=said.longitude)


def write_plate(text: str, dialect: Dialect) -> str:
    """Return a plate as a camera of this dialect writes it: `ABC-1234`, `ABC1234` or `abc 1234`."""
    cut = next((place for place in range(1, len(text)) if text[place].isdigit() != text[place - 1].isdigit()), 0)
    if dialect == "keyed" or cut == 0:
        return text if dialect != "lower" else text.lower()
    return f"{text[:cut]}-{text[cut:]}" if dialect == "hyphens" else f"{text[:cut]} {text[cut:]}".lower()


def _with_offset(at: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment as a camera in that zone writes it.

    The offset is fixed: two times of one ZoneInfo are compared by their wall clocks, which is wrong in the hour that
    comes twice.
    """
    offset = at.astimezone(zone).utcoffset()
    return at.astimezone(timezone(offset if offset is not None else timedelta()))


def _vendor_key(one: Pass, turn: int, at: datetime) -> str:
    """Return the vendor's own key of a message: like all real ones, it includes the claimed time."""
    return f"{one.number:07d}.{turn}.{at.isoformat()}"


WORDS: Final[Mapping[Dialect, Callable[[str], str]]] = {
    "hyphens": str.upper,
    "keyed": str,
    "lower": str.lower,
}
"""How each kind of camera spells what it says of a vehicle."""
