"""What cameras do that one would not expect: each is a test, for every format that it can happen in."""

from typing import Any, Final

import pytest

from ingest.formats import clean, table
from ingest.formats.read import Dropped, Read, Rejected
from tests.support import samples

Path = tuple[Any, ...]

PLATES: Final[dict[str, Path]] = {
    "openalpr/alpr_group.json": ("best_plate_number",),
    "openalpr/alpr_alert.json": ("group", "best_plate_number"),
    "openalpr/alpr_results.json": ("results", 0, "plate"),
    "platerecognizer/stream_webhook.json": ("data", "results", 0, "plate"),
    "platerecognizer/vehicle_mode.json": ("data", "results", 0, "plate", "props", "plate", 0, "value"),
    "hikvision/anpr.xml": ("EventNotificationAlert", "ANPR", "licensePlate"),
    "dahua/TrafficJunction_car.json": ("params", "eventList", 0, "Data", "Object", "Text"),
    "dahua_itsapi/TollgateInfo.json": ("Picture", "Plate", "PlateNumber"),
    "axis/event.json": ("plateUTF8",),
    "ngsi/AnprFlowObserved.json": ("observedVehicle", "licensePlate", "identifier"),
    "genetec/read.json": ("Plate",),
    "verkada/webhook.json": ("data", "license_plate_number"),
    "frigate/lpr.json": ("plate",),
}
TIMES: Final[dict[str, tuple[Path, Any]]] = {
    "openalpr/alpr_group.json": (("epoch_start",), 1634475947846),
    "openalpr/alpr_alert.json": (("group", "epoch_start"), 1634475947846),
    "openalpr/vehicle.json": (("epoch_start",), 1634475947846),
    "openalpr/alpr_results.json": (("epoch_time",), 1580000100501),
    "platerecognizer/stream_webhook.json": (("data", "timestamp"), "2026-10-01T12:34:57Z"),
    "hikvision/anpr.xml": (("EventNotificationAlert", "dateTime"), "2024-01-19T11:17:20+08:00"),
    "dahua/TrafficJunction_car.json": (("params", "eventList", 0, "Data", "UTCMS"), 41),
    "dahua_itsapi/TollgateInfo.json": (("Picture", "SnapInfo", "AccurateTime"), "2024-01-30 14:35:10.251"),
    "axis/event.json": (("capture_ts",), "1623405938252000001"),
    "ngsi/AnprFlowObserved.json": (("dateObserved",), "2022-09-01T16:30:01Z"),
    "genetec/read.json": (("TimeUtc",), "18:04:06"),
    "verkada/webhook.json": (("data", "created"), 1763900001),
    "frigate/lpr.json": (("timestamp",), 1763900001.75),
}
NO_TIME: Final = ["yesterday", "", None, -1, "1e999", "9" * 400, 10**40, "2024-01-19", "2024-01-19T11:17:19"]


def changed(value: Any, path: Path, other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], other)
    return copy


def first(name: str, path: Path = (), other: Any = None) -> Any:
    """Return the first outcome of a sample, with another value at one place."""
    payload = samples.payload(name)
    return table.PARSERS[name.partition("/")[0]](changed(payload, path, other) if path else payload)[0]


def test_every_format_is_here() -> None:
    formats = set(table.PARSERS) - {table.NATIVE}
    assert {name.partition("/")[0] for name in PLATES} == {name.partition("/")[0] for name in TIMES} == formats


@pytest.mark.parametrize("word", ["unknown", "UNKNOWN", "No Plate", "NOPLATE", "unlicensed", "unknow", "Unrecognise"])
@pytest.mark.parametrize("name", PLATES)
def test_a_word_for_no_plate_is_no_plate(name: str, word: str) -> None:
    payload = changed(samples.payload(name), PLATES[name], word)
    if name == "hikvision/anpr.xml":
        payload = changed(payload, ("EventNotificationAlert", "ANPR", "originalLicensePlate"), word)
    read = table.PARSERS[name.partition("/")[0]](payload)[0]
    assert isinstance(read, Read)
    assert (read.plate_raw, read.plate_confidence) == (None, None)
    assert not any(one.plate == word for one in read.candidates)


@pytest.mark.parametrize("nothing", ["", " ", "---", "***", "????", "\x00\n", "无车牌"])
@pytest.mark.parametrize("name", PLATES)
def test_a_text_without_a_letter_or_digit_is_no_plate(name: str, nothing: str) -> None:
    payload = changed(samples.payload(name), PLATES[name], nothing)
    if name == "hikvision/anpr.xml":
        payload = changed(payload, ("EventNotificationAlert", "ANPR", "originalLicensePlate"), None)
    read = table.PARSERS[name.partition("/")[0]](payload)[0]
    assert isinstance(read, Read)
    assert read.plate_raw is None


@pytest.mark.parametrize("name", PLATES)
def test_no_plate_is_ten_megabytes_long(name: str) -> None:
    outcome = first(name, PLATES[name], "A" * 10_000_000)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "shape"
    assert len(outcome.pointer) < 80


@pytest.mark.parametrize("name", TIMES)
def test_every_key_includes_the_claimed_time(name: str) -> None:
    """Counters restart when a camera does."""
    path, other = TIMES[name]
    read, later = first(name), first(name, path, other)
    assert isinstance(read, Read)
    assert isinstance(later, Read)
    assert read.key != later.key
    assert read == first(name)


@pytest.mark.parametrize("time", NO_TIME)
@pytest.mark.parametrize("name", TIMES)
def test_what_is_no_time_is_refused(name: str, time: Any) -> None:
    path, _ = TIMES[name]
    outcome = first(name, path, time)
    if path[-1] == "UTCMS":
        outcome = first(name, (*path[:-1], "UTC"), time)
    if name == "dahua_itsapi/TollgateInfo.json" and isinstance(time, str) and time.startswith("2024"):
        assert isinstance(outcome, Read)  # a day, or a time without offset: local, by TimeZone
    else:
        assert isinstance(outcome, Rejected)
        assert outcome.reason in ("time", "shape")


def test_a_clock_that_sends_local_time_as_utc_is_believed_here_and_judged_by_the_registry() -> None:
    payload = samples.payload("dahua/TrafficJunction_car.json")
    data = payload["params"]["eventList"][0]["Data"]
    assert data["UTC"] - data["RealUTC"] == 7 * 3600
    assert first("dahua/TrafficJunction_car.json").claimed_at.timestamp() == data["UTC"] + data["UTCMS"] / 1000


def test_a_rider_is_not_read_at_all() -> None:
    assert first("dahua/TrafficJunction.json") == Rejected(reason="not_a_motor_vehicle")
    where = ("params", "eventList", 0, "Data", "CommInfo", "SnapCategory")
    assert first("dahua/TrafficJunction.json", where, "Unknown") == Rejected(reason="not_a_motor_vehicle")


@pytest.mark.parametrize("kind", ["Test", "heartBeat", "VMD", "TFS", "linedetection"])
def test_another_event_of_a_camera_is_dropped(kind: str) -> None:
    assert first("hikvision/anpr.xml", ("EventNotificationAlert", "eventType"), kind) == Dropped(reason="other_event")


@pytest.mark.parametrize("coordinates", [[0, 0], [-56.64, 168.37], [181, 1], ["x", "y"], [1], [], None])
def test_a_position_that_is_none_is_unset(coordinates: Any) -> None:
    assert first("ngsi/AnprFlowObserved.json", ("location", "coordinates"), coordinates).position is None


def test_the_same_element_twice_is_not_guessed_at() -> None:
    where = ("EventNotificationAlert", "ANPR", "licensePlate")
    assert first("hikvision/anpr.xml", where, ["PXXX042", "PXXX043"]) == Rejected(
        reason="shape", pointer="/EventNotificationAlert/ANPR/licensePlate"
    )


@pytest.mark.parametrize(
    ("state", "region"),
    [("MA", "US-MA"), ("ca", "US-CA"), ("QC", "CA-QC"), ("GB", "GB"), ("", None), (None, None), ("x" * 17, None)],
)
def test_a_state_is_not_taken_for_a_country(state: Any, region: str | None) -> None:
    assert first("genetec/read.json", ("State",), state).region == region


@pytest.mark.parametrize(
    ("value", "fraction", "of_hundred", "scaled"),
    [
        (0.5, 0.5, 0.005, 0.5),
        ("0.5", 0.5, 0.005, 0.5),
        (1, 1.0, 0.01, None),
        (97, None, 0.97, 0.97),
        ("97", None, 0.97, 0.97),
        (160, None, None, None),
        (-1, None, None, None),
        ("", None, None, None),
        ("nan", None, None, None),
        (float("nan"), None, None, None),
        ("1_0", None, None, None),
        ("٩", None, None, None),
        (None, None, None, None),
    ],
)
def test_confidences_on_every_scale(
    value: Any, fraction: float | None, of_hundred: float | None, scaled: float | None
) -> None:
    assert (clean.fraction(value), clean.of_hundred(value), clean.scaled(value)) == (fraction, of_hundred, scaled)


@pytest.mark.parametrize(
    ("value", "lane"),
    [(2, 2), ("2", 2), (" 2 ", 2), ("ABC123", None), (100, None), (-1, None), (2.5, None), (None, None)],
)
def test_a_lane_is_a_small_number(value: Any, lane: int | None) -> None:
    assert clean.lane(value) == lane
