"""What every sample becomes, written by hand from the vendors' field lists, field by field; no parser made it.

A field that is not stated is None, or has no candidates. Keys are stated by their parts.
"""

from datetime import UTC, datetime
from typing import Final

from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import Attribute, Candidate, Position


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def key(*parts: str) -> str:
    return "\x1f".join(parts)


def word(value: str, confidence: float | None = None) -> Attribute:
    return Attribute(value=value, confidence=confidence)


AGENT_1: Final = ("00000000-0000-4000-8000-000000000001", "TESTTESTTESTTESTTESTTESTTESTTESTTESTTEST", "1000")
AGENT_2: Final = ("00000000-0000-4000-8000-000000000002", "TESTTESTTESTTESTTESTTESTTESTTESTTESTTEST", "1000")
AGENT_3: Final = ("00000000-0000-4000-8000-000000000003", "EXAMPLEAGENT00000000000000000000000000B2", "77")
BEST_UUID: Final = "EXAMPLEAGENT00000000000000000000000000A1-177622-1627675927855"
BMW: Final = Read(
    key="",
    claimed_at=at("1970-01-01T00:00:00Z"),
    make=word("bmw", 0.9999908447),
    model=word("bmw_x3", 0.9960665131),
    colour=word("white", 0.9914266968),
    body=word("suv-crossover", 0.9989404297),
)
"""The vehicle of the real samples: the first guess of each list, in hundredths."""

HIKVISION_ANPR: Final = Read(
    key=key(
        "00:00:5e:00:53:01",
        "1",
        "2024011911172144900FlERIduqg06eKsYuvLX072NugIxaHw22mHG5D5KBmWqX",
        "2024-01-19T03:17:19+00:00",
        "PXXX042",
    ),
    claimed_at=at("2024-01-19T11:17:19+08:00"),
    plate_raw="PXXX042",
    plate_confidence=0.97,
    region=None,  # NON: none
    make=word("hikvision:1036"),
    colour=word("white"),
    body=word("vehicle"),
    position=Position(latitude=22 / 60, longitude=111),
    lane=2,
)
STREAM: Final = Read(
    key=key("camera-1", "2026-10-01T12:34:56.789000+00:00", "0"),
    claimed_at=at("2026-10-01T12:34:56.789Z"),
    plate_raw="pl8rec",
    plate_confidence=0.902,
    candidates=(Candidate(plate="pl8rec", confidence=0.902), Candidate(plate="plbrec", confidence=0.758)),
    region="us-ca",
    region_confidence=0.179,
    make=word("Porsche", 0.43),
    model=word("911", 0.43),
    colour=word("red", 0.699),
    body=word("Sedan", 0.709),
)

EXPECTED: Final[dict[str, tuple[Outcome, ...]]] = {
    "openalpr/alpr_group.json": (
        Read(
            key=key(*AGENT_1, "alpr_group", BEST_UUID, "1634475947845"),
            claimed_at=at("2021-10-17T13:05:47.845Z"),
            plate_raw="10042XX",
            plate_confidence=0.9325465393,
            candidates=(Candidate(plate="10042XX", confidence=0.9325465393),),
            region="us-ma",
            region_confidence=0.8406666565,
            position=Position(latitude=39.5, longitude=-78.5),
            make=BMW.make,
            model=BMW.model,
            colour=BMW.colour,
            body=BMW.body,
            picture=b"",
        ),
    ),
    "openalpr/alpr_alert.json": (
        Read(
            key=key(*AGENT_2, "alpr_group", BEST_UUID, "1630695989342"),
            claimed_at=at("2021-09-03T19:06:29.342Z"),
            plate_raw="2XX042",
            plate_confidence=0.9325465393,
            candidates=(Candidate(plate="2XX042", confidence=0.9325465393),),
            region="us-ma",
            region_confidence=0.8406666565,
            position=Position(latitude=39.0, longitude=-77.0),
            make=BMW.make,
            model=BMW.model,
            colour=BMW.colour,
            body=BMW.body,
            picture=b"",
        ),
    ),
    "openalpr/vehicle.json": (
        Read(
            key=key(*AGENT_1, "vehicle", BEST_UUID, "1634763993249"),
            claimed_at=at("2021-10-20T21:06:33.249Z"),
            position=Position(latitude=39.5, longitude=-78.5),
            make=BMW.make,
            model=BMW.model,
            colour=BMW.colour,
            body=BMW.body,
        ),
    ),
    "openalpr/alpr_group_v2.json": (
        Read(
            key=key(*AGENT_3, "alpr_group", f"{AGENT_3[1]}-77-1580000000200", "1580000000123"),
            claimed_at=at("2020-01-26T00:53:20.123Z"),
            plate_raw="АВ1042",  # noqa: RUF001 - as the camera wrote it, in Cyrillic letters
            plate_confidence=0.915,
            candidates=(
                Candidate(plate="АВ1042", confidence=0.915),  # noqa: RUF001
                Candidate(plate="AB1D42", confidence=0.8025),
            ),
            region="us-mo",
            make=word("ford", 0.88),
            colour=word("silver-gray", 0.555),
            picture=b"",
        ),
    ),
    "openalpr/alpr_results.json": (
        Read(
            key=key(*AGENT_3, "alpr_results", f"{AGENT_3[1]}-77-1580000100500", "1580000100500", "0"),
            claimed_at=at("2020-01-26T00:55:00.5Z"),
            plate_raw="EXA042",
            plate_confidence=0.9,
            candidates=(Candidate(plate="EXA042", confidence=0.9), Candidate(plate="EXAO42", confidence=0.75)),
            region="us-mo",
            region_confidence=0.5,
        ),
        Read(
            key=key(*AGENT_3, "alpr_results", f"{AGENT_3[1]}-77-1580000100500", "1580000100500", "1"),
            claimed_at=at("2020-01-26T00:55:00.5Z"),
        ),
    ),
    "openalpr/alpr_group_preview.json": (Dropped(reason="preview"),),
    "openalpr/heartbeat.json": (Dropped(reason="heartbeat"),),
    "platerecognizer/stream_webhook.json": (STREAM,),
    "platerecognizer/stream_webhook.multipart": (STREAM,),
    "platerecognizer/vehicle_mode.json": (
        Read(
            key=key("camera-2", "2026-10-01T13:00:00.250000+00:00", "0"),
            claimed_at=at("2026-10-01T08:00:00.25-05:00"),
            plate_raw="exa0042",
            plate_confidence=0.91,
            candidates=(Candidate(plate="exa0042", confidence=0.91), Candidate(plate="exao042", confidence=0.62)),
            region="us-tx",
            region_confidence=0.75,
            make=word("Ford", 0.66),
            model=word("F-150", 0.66),
            colour=word("blue", 0.5),
            body=word("Pickup Truck", 0.8),
        ),
        Read(
            key=key("camera-2", "2026-10-01T13:00:00.250000+00:00", "1"),
            claimed_at=at("2026-10-01T08:00:00.25-05:00"),
            body=word("Motorcycle", 0.71),
        ),
    ),
    "platerecognizer/null_plate.json": (
        Dropped(reason="no_vehicle"),
        Read(
            key=key("camera-1", "2026-10-01T12:35:00+00:00", "1"),
            claimed_at=at("2026-10-01T12:35:00Z"),
            body=word("Van", 0.6),
        ),
        Rejected(reason="not_a_motor_vehicle"),
    ),
    "platerecognizer/camera_status.json": (Dropped(reason="other_event"),),
    "hikvision/anpr.xml": (HIKVISION_ANPR,),
    "hikvision/anpr.multipart": (HIKVISION_ANPR,),
    "hikvision/anpr_west.xml": (
        Read(
            key=key("00:00:5e:00:53:02", "2", "EXAMPLE-0000-0002", "2024-06-01T11:00:00+00:00", "EXA0A42"),
            claimed_at=at("2024-06-01T08:00:00-03:00"),
            plate_raw="EXA0A42",
            plate_confidence=0.88,
            region="BRA",
            colour=word("black"),
            body=word("SUVMPV"),
            position=Position(latitude=-23.5, longitude=-46.51),
            lane=1,
        ),
    ),
    "hikvision/anpr_unread.xml": (
        Read(
            key=key("00:00:5e:00:53:02", "2", "EXAMPLE-0000-0003", "2024-06-01T11:00:05+00:00", ""),
            claimed_at=at("2024-06-01T11:00:05Z"),
            colour=word("unknown"),
            body=word("truck"),
        ),
    ),
    "hikvision/videoloss.xml": (Dropped(reason="other_event"),),
    "hikvision/nonmotor.xml": (Rejected(reason="not_a_motor_vehicle"),),
    "dahua/TrafficJunction.json": (Rejected(reason="not_a_motor_vehicle"),),
    "dahua/TrafficJunction_car.json": (
        Read(
            key=key("EXAMPLE00000001", "0", "175706654", "517", "1706625310", "40"),
            claimed_at=at("2024-01-30T14:35:10.040Z"),  # UTC as claimed; RealUTC is seven hours earlier
            plate_raw="29A-042.42",
            plate_confidence=0.93,
            region="VNM",
            make=word("Toyota"),
            colour=word("White"),
            body=word("Light-duty"),
            position=Position(latitude=21.0278, longitude=105.8342),
            lane=1,
        ),
    ),
    "dahua/mixed.json": (
        Dropped(reason="other_event"),
        Read(
            key=key("EXAMPLE00000001", "0", "175706655", "518", "1706625320", "0"),
            claimed_at=at("2024-01-30T14:35:20Z"),
            colour=word("Red"),
            body=word("Medium"),
            lane=3,
        ),
    ),
    "dahua/single_event.json": (
        Read(
            key=key("EXAMPLE00000002", "1", "1", "1", "1706625330", ""),
            claimed_at=at("2024-01-30T14:35:30Z"),
            plate_raw="EXA 042",
            plate_confidence=0.87,
        ),
    ),
    "dahua_itsapi/TollgateInfo.json": (
        Read(
            key=key("2024-01-30T13:35:10.250000+00:00", "EXA042", ""),
            claimed_at=at("2024-01-30T14:35:10.250+01:00"),
            plate_raw="EXA042",
            plate_confidence=0.88,
            region="NL",
            make=word("BMW"),
            colour=word("Black"),
            body=word("SaloonCar"),
        ),
    ),
    "dahua_itsapi/TollgateInfo_unread.json": (
        Read(
            key=key("2024-01-30T19:35:20+00:00", "", ""),
            claimed_at=at("2024-01-30T14:35:20-05:00"),
            colour=word("Unknown"),
            body=word("Bus"),
        ),
    ),
    "dahua_itsapi/TollgateInfo_no_zone.json": (
        Read(
            key=key("2024-01-30T14:35:30+00:00", "EXA 043", ""),
            claimed_at=at("2024-01-30T14:35:30Z"),
            plate_raw="EXA 043",
            plate_confidence=None,  # 255 is on no scale that is known
        ),
    ),
    "dahua_itsapi/TollgateInfo_bicycle.json": (Rejected(reason="not_a_motor_vehicle"),),
    "dahua_itsapi/KeepAlive.json": (Dropped(reason="heartbeat"),),
    "axis/event.json": (
        Read(
            key=key("ACCC8E000001", "1144696", "lost", "1623405938252000000"),
            claimed_at=at("2021-06-11T10:05:38.252Z"),
            plate_raw="WXX00042",
            plate_confidence=0.719034,
            region="POL",
            position=Position(latitude=50.418114, longitude=30.476213),
        ),
    ),
    "axis/new.json": (
        Read(
            key=key("ACCC8E000001", "1144696", "new", "1623405937252000001"),
            claimed_at=at("2021-06-11T10:05:37.252Z"),
            plate_raw="WXX0004Z",
            plate_confidence=0.5,
            region="POL",
        ),
    ),
    "axis/unread.json": (
        Read(
            key=key("ACCC8E000001", "1144697", "update", "1623405999000000000"),
            claimed_at=at("2021-06-11T10:06:39Z"),
            position=Position(latitude=50.418114, longitude=30.476213),
        ),
    ),
    "axis/other_state.json": (Dropped(reason="other_event"),),
    "axis/no_time.json": (Rejected(reason="time", pointer="/capture_ts"),),
    "ngsi/AnprFlowObserved.json": (
        Read(
            key=key("anprFlowObserved:LEZ-Noorderlaan", "2022-09-01T16:30:00+00:00", "ABC123", "1-ABC-123"),
            claimed_at=at("2022-09-01T16:30:00Z"),
            plate_raw="1-ABC-123",
            plate_confidence=0.96,
            region="BE",
            region_confidence=0.95,
            make=word("Audi", 0.97),
            model=word("A3", 0.98),
            colour=word("black", 0.95),
            position=None,  # a latitude of 168 is none
        ),
    ),
    "ngsi/notification.json": (
        Read(
            key=key("anprFlowObserved:LEZ-Noorderlaan", "2022-09-01T16:30:00.500000+00:00", "2", "XX-042-X"),
            claimed_at=at("2022-09-01T18:30:00.5+02:00"),
            plate_raw="XX-042-X",
            plate_confidence=0.9,
            region="NL",
            region_confidence=0.8,
            make=word("Seat", 0.7),
            position=Position(latitude=51.2602, longitude=4.4003),
            lane=2,
        ),
        Read(
            key=key("anprFlowObserved:LEZ-Noorderlaan", "2022-09-01T16:30:00.500000+00:00", "2", "XX-043-X"),
            claimed_at=at("2022-09-01T18:30:00.5+02:00"),
            plate_raw="XX-043-X",
            lane=2,
        ),
        Dropped(reason="other_event"),
    ),
    "ngsi/not_read.json": (
        Read(
            key=key("anprFlowObserved:LEZ-Noorderlaan", "2022-09-01T16:31:00+00:00", "ABC123", "0"),
            claimed_at=at("2022-09-01T16:31:00Z"),
            colour=word("red", 0.6),
        ),
    ),
    "ngsi/no_offset.json": (Rejected(reason="time", pointer="/dateObserved"),),
    "genetec/read.json": (
        Read(
            key=key("Bridge north - lane 1", "2025-11-03T18:04:05+00:00", "EXA 0042", ""),
            claimed_at=at("2025-11-03T18:04:05Z"),
            plate_raw="EXA 0042",
            plate_confidence=0.87,
            region="US-MA",
            make=word("Subaru"),
            model=word("Outback"),
            colour=word("Green"),
            body=word("Wagon"),
        ),
    ),
    "genetec/province.json": (
        Read(
            key=key("Quai 4", "2025-12-31T23:59:59.125000+00:00", "E42 XAM", ""),
            claimed_at=at("2025-12-31T23:59:59.125Z"),
            plate_raw="E42 XAM",
            plate_confidence=0.555,
            region="CA-QC",
        ),
    ),
    "genetec/unread.json": (
        Read(key=key("Quai 4", "2026-01-01T00:00:00+00:00", "", ""), claimed_at=at("2026-01-01T00:00:00Z")),
    ),
    "genetec/american_date.json": (Rejected(reason="time", pointer="/DateUtc"),),
    "verkada/webhook.json": (
        Read(
            key=key("00000000-0000-4000-8000-00000000000b", "2025-11-23T12:13:20+00:00", "EXA0042", ""),
            claimed_at=at("2025-11-23T12:13:20Z"),
            plate_raw="EXA0042",
            plate_confidence=0.9375,
        ),
    ),
    "verkada/bare.json": (
        Read(
            key=key(
                "00000000-0000-4000-8000-00000000000b",
                "2025-11-23T12:13:30.500000+00:00",
                "ЕХА 0042",  # noqa: RUF001
                "",
            ),
            claimed_at=at("2025-11-23T12:13:30.5Z"),
            plate_raw="ЕХА 0042",  # noqa: RUF001 - Cyrillic, as the camera wrote it
            plate_confidence=0.5,
        ),
    ),
    "verkada/unread.json": (
        Read(
            key=key("00000000-0000-4000-8000-00000000000b", "2025-11-23T12:13:40+00:00", "", ""),
            claimed_at=at("2025-11-23T12:13:40Z"),
        ),
    ),
    "verkada/notification.json": (Dropped(reason="other_event"),),
    "frigate/lpr.json": (
        Read(
            key=key("driveway", "1763900000.475377-mxklsc", "2025-11-23T12:13:21.500000+00:00"),
            claimed_at=at("2025-11-23T12:13:21.5Z"),
            plate_raw="EXA0042",
            plate_confidence=0.95,
        ),
    ),
    "frigate/lpr_again.json": (
        Read(
            key=key("driveway", "1763900000.475377-mxklsc", "2025-11-23T12:13:22+00:00"),
            claimed_at=at("2025-11-23T12:13:22Z"),
            plate_raw="EXA0O42",
            plate_confidence=0.97,
        ),
    ),
    "frigate/no_plate.json": (
        Read(
            key=key("driveway", "1763900000.475377-mxklsc", "2025-11-23T12:13:24+00:00"),
            claimed_at=at("2025-11-23T12:13:24Z"),
        ),
    ),
    "frigate/face.json": (Dropped(reason="other_event"),),
    "frigate/events.json": (Dropped(reason="other_event"),),
}
