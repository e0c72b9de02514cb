"""Nothing that is not on the list leaves a parser: every unlisted field of every sample is set to a marker of its own.

The lists are written by hand, as paths with `*` for an element of an array; a made-up field is put into every object.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from ingest.formats import table
from ingest.formats.recognise import recognise
from tests.support import samples
from tests.unit.ingest.formats.expected import EXPECTED


def _paths(text: str) -> list[str]:
    return text.split()


_GROUP: Final = _paths("""
 data_type best_uuid epoch_start company_id agent_uid camera_id is_preview best_plate_number best_confidence
 candidates.*.plate candidates.*.confidence best_region best_region_confidence gps_latitude gps_longitude
 vehicle.make.*.name vehicle.make.*.confidence vehicle.make_model.*.name vehicle.make_model.*.confidence
 vehicle.color.*.name vehicle.color.*.confidence vehicle.body_type.*.name vehicle.body_type.*.confidence
""")
_RESULT: Final = _paths("""
 plate score candidates.*.plate candidates.*.score region.code region.score
 model_make.*.make model_make.*.model model_make.*.score color.*.color color.*.score vehicle.type vehicle.score
 plate.props.plate.*.value plate.props.plate.*.score plate.props.region.*.value plate.props.region.*.score
 vehicle.props.make_model.*.make vehicle.props.make_model.*.model vehicle.props.make_model.*.score
 vehicle.props.color.*.value vehicle.props.color.*.score
""")
_EVENT: Final = _paths("""
 Code Index Data.UTC Data.UTCMS Data.GroupID Data.EventSeq Data.Lane Data.Object.Text Data.Object.Confidence
 Data.CommInfo.Country Data.CommInfo.SnapCategory Data.CommInfo.GPSInfo.Latitude Data.CommInfo.GPSInfo.Longitude
 Data.Vehicle.ObjectType Data.TrafficCar.MachineName Data.TrafficCar.VehicleSign Data.TrafficCar.VehicleColor
 Data.TrafficCar.VehicleSize
""")
_ENTITY: Final = _paths("""
 id type dateObserved laneId vehiclePlateNotRead location.coordinates.*
 observedVehicle.brand.name observedVehicle.brand.confidence observedVehicle.model.name
 observedVehicle.model.confidence observedVehicle.color.name observedVehicle.color.confidence
 observedVehicle.country.code observedVehicle.country.confidence observedVehicle.licensePlate.identifier
 observedVehicle.licensePlate.confidence
""")
_ALERT: Final = "EventNotificationAlert."
_VERKADA: Final = _paths("license_plate_number created camera_id confidence")

LISTED: Final[dict[str, set[str]]] = {
    "openalpr": {
        *_GROUP,
        *(f"group.{path}" for path in _GROUP),
        *_paths("uuid epoch_time results.*.plate results.*.confidence results.*.region results.*.region_confidence"),
        *_paths("results.*.candidates.*.plate results.*.candidates.*.confidence"),
    },
    "platerecognizer": {"data.camera_id", "data.timestamp", *(f"data.results.*.{path}" for path in _RESULT)},
    "hikvision": {
        *(f"{_ALERT}{name}" for name in _paths("eventType dateTime macAddress channelID UUID countryAbbreviation")),
        *(f"{_ALERT}ANPR.{name}" for name in _paths("licensePlate originalLicensePlate confidenceLevel line")),
        *(f"{_ALERT}ANPR.{name}" for name in _paths("vehicleType vehicleInfo.color vehicleInfo.vehicleLogoRecog")),
        *(f"{_ALERT}DeviceGPSInfo.{name}" for name in _paths("longitudeType latitudeType")),
        *(
            f"{_ALERT}DeviceGPSInfo.{axis}.{part}"
            for axis, part in itertools.product(("Longitude", "Latitude"), ("degree", "minute", "sec"))
        ),
    },
    "dahua": {*_EVENT, *(f"params.eventList.*.{path}" for path in _EVENT)},
    "dahua_itsapi": {
        "Active",
        *(f"Picture.Plate.{name}" for name in _paths("PlateNumber Confidence Region")),
        *(f"Picture.SnapInfo.{name}" for name in _paths("AccurateTime TimeZone")),
        *(f"Picture.Vehicle.{name}" for name in _paths("VehicleColor VehicleSign VehicleType")),
    },
    "axis": {
        *_paths("carState plateUTF8 plateConfidence plateCountry carID capture_ts geotag.lat geotag.lon"),
        "camera_info.SerialNumber",
    },
    "ngsi": {*_ENTITY, *(f"data.*.{path}" for path in _ENTITY)},
    "genetec": {
        *_paths("CameraName DateUtc TimeUtc Plate State ConfidenceScore"),
        *(f"Attributes.Vehicle {name}" for name in ("Make", "Model", "Color", "Type")),
    },
    "verkada": {"webhook_type", *_VERKADA, *(f"data.{path}" for path in _VERKADA)},
    "frigate": {"type", "timestamp", "id", "camera", "plate", "score"},
}

PERSONS: Final = re.compile("rider|seat|belt|smok|phone|face|hair|age$|gender|driver|person|people|sub_label|signature")


class Marker:
    """Sets what is not listed to markers, each another one."""

    def __init__(self, listed: set[str], *, whole: bool) -> None:
        self.listed = listed
        self.whole = whole  # an object or array in which nothing is listed becomes one marker as a whole
        self.made = itertools.count()
        self.set: list[str] = []

    def mark(self, value: Any, path: str = "") -> Any:
        leaf = not isinstance(value, dict | list) or not value
        above = f"{path}." if path else ""
        listed_below = any(one.startswith(above) for one in self.listed)
        if leaf and (path in self.listed or listed_below):
            return value
        if leaf or (self.whole and not listed_below):
            self.set.append(path)
            return self._marker()
        if isinstance(value, list):
            return [self.mark(item, f"{above}*") for item in value]
        marked = {name: self.mark(item, f"{above}{name}") for name, item in value.items()}
        return {**marked, self._marker(): self._marker()}

    def _marker(self) -> str:
        return f"MARKER{next(self.made):05}"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", samples.NAMES)
def test_unlisted_fields_change_nothing(name: str, whole: bool) -> None:
    format_ = name.partition("/")[0]
    payload = samples.payload(name)
    marker = Marker(LISTED[format_], whole=whole)
    marked = marker.mark(payload)
    assert b"MARKER00000" in msgspec.json.encode(marked)
    outcomes = table.PARSERS[format_](marked)
    assert b"MARKER" not in msgspec.json.encode(outcomes)
    assert outcomes == table.PARSERS[format_](payload)
    assert recognise(marked) == recognise(payload)


def test_the_samples_hold_what_is_about_persons_and_none_of_it_is_listed() -> None:
    seen = set()
    for name in samples.NAMES:
        marker = Marker(LISTED[name.partition("/")[0]], whole=False)
        marker.mark(samples.payload(name))
        seen |= {path for path in marker.set if PERSONS.search(path.lower())}
    assert len(seen) > 40
    assert not [path for listed in LISTED.values() for path in listed if PERSONS.search(path.lower())]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from _places(item, (*path, name))


def _with(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _with(value[path[0]], path[1:], other)
    return changed


@pytest.mark.parametrize("name", samples.NAMES)
def test_a_field_of_the_wrong_shape_is_quoted_by_no_rejection(name: str) -> None:
    """Each field of a sample in turn becomes an object, and an array, of a marker."""
    payload = samples.payload(name)
    parse = table.PARSERS[name.partition("/")[0]]
    for path in _places(payload):
        for other in ({"MARKER": "MARKER"}, ["MARKER"], [[{"MARKER": 1}]]):
            assert b"MARKER" not in msgspec.json.encode(parse(_with(payload, path, other)))


def _bare(path: str) -> str:
    """Return a path without the envelope that its message may be in or not."""
    for envelope in ("group.", "params.eventList.*.", "data.*.", "data."):
        path = path.removeprefix(envelope)
    return path


def test_every_listed_field_is_in_a_sample() -> None:
    """A list that named a field which no sample has would not be tested by the samples."""
    found: dict[str, set[str]] = {}
    for name in samples.NAMES:
        steps = [["*" if isinstance(step, int) else step for step in path] for path in _places(samples.payload(name))]
        found.setdefault(name.partition("/")[0], set()).update(_bare(".".join(path)) for path in steps)
    for format_, listed in LISTED.items():
        assert {_bare(path) for path in listed} - found[format_] == set(), format_


def test_the_table_of_expectations_has_reads_of_every_format() -> None:
    reads = {name.partition("/")[0] for name, outcomes in EXPECTED.items() if type(outcomes[-1]).__name__ == "Read"}
    assert reads | {"platerecognizer", "ngsi"} == LISTED.keys()
