"""What the reads of every sample become as sightings, written by hand from the closed vocabularies; no code made it.

Beside what `expected.py` states: plate and key, region (ISO 3166), words of the vocabulary with their NCIC codes and
what the camera said, and the doubts of a read that arrives five minutes later, from a camera in Boston.
"""

from typing import Final, NamedTuple

from ingest.formats.read import Read
from schemas.cameras import Camera
from schemas.detections import Attribute, Position
from schemas.sightings import Sighting, StoredDoubt, Trait
from tests.unit.ingest.formats.expected import EXPECTED

Word = tuple[str, str | None, str | None]
"""A word of the vocabulary (a model's: as it is compared), its NCIC code, and what was said if that is not the word."""

LOW: Final = "low_confidence"
ELSEWHERE: Final = "position_disagrees"


class Seen(NamedTuple):
    """What is stated of one sighting."""

    plate: str | None = None
    key: str | None = None
    region: str | None = None
    make: Word | None = None
    model: Word | None = None
    colour: Word | None = None
    body: Word | None = None
    doubts: tuple[StoredDoubt, ...] = ()


X3: Final = Seen(
    make=("bmw", "BMW", None),
    model=("x3", None, "bmw_x3"),
    colour=("white", "WHI", None),
    body=("suv", None, "suv-crossover"),
    doubts=(ELSEWHERE,),
)
PORSCHE: Final = Seen(
    *("PL8REC", "P18REC", "US-CA"),
    make=("porsche", "PORS", "Porsche"),
    model=("911", None, None),
    colour=("red", "RED", None),
    body=("sedan", "SD", "Sedan"),
)
HIKVISION: Final = Seen(
    *("PXXX042", "PXXX042"),
    make=("mercedes-benz", "MERZ", "hikvision:1036"),
    colour=("white", "WHI", None),
    doubts=(ELSEWHERE,),
)

SEEN: Final[dict[str, tuple[Seen, ...]]] = {
    "openalpr/alpr_group.json": (X3._replace(plate="10042XX", key="10042XX", region="US-MA"),),
    "openalpr/alpr_alert.json": (X3._replace(plate="2XX042", key="2XX042", region="US-MA"),),
    "openalpr/vehicle.json": (X3,),
    "openalpr/alpr_group_v2.json": (
        Seen(
            *("AB1042", "A81042", "US-MO"),
            make=("ford", "FORD", None),
            colour=("silver-grey", None, "silver-gray"),
        ),
    ),
    "openalpr/alpr_results.json": (Seen("EXA042", "EXA042", "US-MO"), Seen()),
    "platerecognizer/stream_webhook.json": (PORSCHE,),
    "platerecognizer/stream_webhook.multipart": (PORSCHE,),
    "platerecognizer/vehicle_mode.json": (
        Seen(
            *("EXA0042", "EXA0042", "US-TX"),
            make=("ford", "FORD", "Ford"),
            model=("f-150", None, "F-150"),
            colour=("blue", "BLU", None),
            body=("pickup", "PK", "Pickup Truck"),
        ),
        Seen(body=("motorcycle", "MC", "Motorcycle")),
    ),
    "platerecognizer/null_plate.json": (Seen(body=("van", "VN", "Van")),),
    "hikvision/anpr.xml": (HIKVISION,),
    "hikvision/anpr.multipart": (HIKVISION,),
    "hikvision/anpr_west.xml": (
        Seen(
            *("EXA0A42", "EXA0A42", "BR"),
            colour=("black", "BLK", None),
            body=("suv-mpv", None, "SUVMPV"),
            doubts=(ELSEWHERE,),
        ),
    ),
    "hikvision/anpr_unread.xml": (Seen(body=("truck", None, None)),),
    "dahua/TrafficJunction_car.json": (
        Seen(
            *("29A04242", "29A04242", "VN"),
            make=("toyota", "TOYT", "Toyota"),
            colour=("white", "WHI", "White"),
            body=("other", None, "Light-duty"),
            doubts=(ELSEWHERE,),
        ),
    ),
    "dahua/mixed.json": (Seen(colour=("red", "RED", "Red"), body=("other", None, "Medium")),),
    "dahua/single_event.json": (Seen("EXA042", "EXA042"),),
    "dahua_itsapi/TollgateInfo.json": (
        Seen(
            *("EXA042", "EXA042", "NL"),
            make=("bmw", "BMW", "BMW"),
            colour=("black", "BLK", "Black"),
            body=("sedan", "SD", "SaloonCar"),
        ),
    ),
    "dahua_itsapi/TollgateInfo_unread.json": (Seen(body=("bus", "BU", "Bus")),),
    "dahua_itsapi/TollgateInfo_no_zone.json": (Seen("EXA043", "EXA043"),),
    "axis/event.json": (Seen("WXX00042", "WXX00042", "PL", doubts=(LOW, ELSEWHERE)),),
    "axis/new.json": (Seen("WXX0004Z", "WXX00042", "PL", doubts=(LOW,)),),
    "axis/unread.json": (Seen(doubts=(ELSEWHERE,)),),
    "ngsi/AnprFlowObserved.json": (
        Seen(
            *("1ABC123", "1A8C123", "BE"),
            make=("audi", "AUDI", "Audi"),
            model=("a3", None, "A3"),
            colour=("black", "BLK", None),
        ),
    ),
    "ngsi/notification.json": (
        Seen("XX042X", "XX042X", "NL", make=("seat", "SEAT", "Seat"), doubts=(ELSEWHERE,)),
        Seen("XX043X", "XX043X"),
    ),
    "ngsi/not_read.json": (Seen(colour=("red", "RED", None)),),
    "genetec/read.json": (
        Seen(
            *("EXA0042", "EXA0042", "US-MA"),
            make=("subaru", "SUBA", "Subaru"),
            model=("outback", None, "Outback"),
            colour=("green", "GRN", "Green"),
            body=("wagon", "SW", "Wagon"),
        ),
    ),
    "genetec/province.json": (Seen("E42XAM", "E42XAM", "CA-QC", doubts=(LOW,)),),
    "genetec/unread.json": (Seen(),),
    "verkada/webhook.json": (Seen("EXA0042", "EXA0042"),),
    "verkada/bare.json": (Seen("EXA0042", "EXA0042", doubts=(LOW,)),),
    "verkada/unread.json": (Seen(),),
    "frigate/lpr.json": (Seen("EXA0042", "EXA0042"),),
    "frigate/lpr_again.json": (Seen("EXA0O42", "EXA0042"),),
    "frigate/no_plate.json": (Seen(),),
}
"""Samples that have no read are not named; `expected.py` states why they have none."""


def reads(name: str) -> list[Read]:
    """Return what is stated of a sample's reads."""
    return [outcome for outcome in EXPECTED[name] if isinstance(outcome, Read)]


def stated(seen: Seen, read: Read, made: Sighting, camera: Camera) -> Sighting:
    """Return the sighting that is stated, with the id and times of the one that was made."""
    return Sighting(
        pass_id=made.pass_id,
        captured_at=made.captured_at,
        received_at=made.received_at,
        skew_s=made.skew_s,
        plate=seen.plate,
        plate_key=seen.key or f"~{camera.camera_id}",
        plate_raw=read.plate_raw,
        plate_confidence=read.plate_confidence,
        candidates=read.candidates,
        region=seen.region,
        region_confidence=read.region_confidence if seen.region else None,
        camera_id=camera.camera_id,
        owner="north",
        position=Position(latitude=42.3601, longitude=-71.0589),
        timezone="America/New_York",
        clock_uncertainty_s=2.0,
        make=_trait(seen.make, read.make),
        model=_trait(seen.model, read.model),
        colour=_trait(seen.colour, read.colour),
        body=_trait(seen.body, read.body),
        heading_deg=None,
        lane=read.lane,
        doubts=seen.doubts,
    )


def _trait(word: Word | None, read: Attribute | None) -> Trait | None:
    if word is None:
        return None
    return Trait(value=word[0], code=word[1], said=word[2], confidence=read.confidence if read else None)
