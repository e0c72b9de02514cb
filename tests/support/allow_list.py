"""What each format's allow-list names, written by hand, and markers in the place of everything else.

A path is a field's names with dots between; `*` stands for an element of an array.
"""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from typing import Any, Final

import msgspec

_DIGITS: Final = "3479"
"""With the letters of the prefixes these are the same in a plate, in its key, and among letters and digits alone."""


def markers(prefix: str = "XKWTVN") -> Callable[[], str]:
    """Return what makes one marker after another, each another one."""
    return ("".join([prefix, *made]) for made in itertools.product(_DIGITS, repeat=8)).__next__


def _paths(text: str) -> list[str]:
    return text.split()


_GROUP: Final = _paths("""
 data_type best_uuid epoch_start company_id agent_uid camera_id is_preview best_plate_number best_confidence
 candidates.*.plate candidates.*.confidence best_region best_region_confidence gps_latitude gps_longitude
 vehicle.make.*.name vehicle.make.*.confidence vehicle.make_model.*.name vehicle.make_model.*.confidence
 vehicle.color.*.name vehicle.color.*.confidence vehicle.body_type.*.name vehicle.body_type.*.confidence
 best_plate.plate_crop_jpeg
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


class Marker:
    """Sets what is not listed to markers, each another one, and puts a made-up field into every object."""

    def __init__(self, listed: set[str], *, whole: bool, make: Callable[[], str] | None = None) -> None:
        """Know what is listed. If `whole`, an object or array in which nothing is listed becomes one marker."""
        self.listed = listed
        self.whole = whole
        self.marker = make or markers("MARKER")
        self.set: list[str] = []

    def mark(self, value: Any, path: str = "") -> Any:
        """Return a payload with markers, as a copy."""
        leaf = not isinstance(value, dict | list) or not value
        above = f"{path}." if path else ""
        listed_below = self._listed_below(above)
        if leaf and (path in self.listed or listed_below):
            return value
        if leaf or (self.whole and not listed_below):
            self.set.append(path)
            return self.marker()
        if isinstance(value, list):
            return [self.mark(item, f"{above}*") for item in value]
        marked = {name: self.mark(item, f"{above}{name}") for name, item in value.items()}
        return {**marked, self.marker(): self.marker()}

    def mark_xml(self, data: bytes) -> bytes:
        """Return an XML document with markers, in attributes, comments, instructions and namespaces too."""
        root = ET.fromstring(data)
        self._mark_element(root, _local(root))
        root.append(ET.Comment(self.marker()))
        root.append(ET.ProcessingInstruction(self.marker(), self.marker()))
        root.set(f"xmlns:{self.marker()}", f"urn:{self.marker()}")
        whole: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return whole

    def mark_form(self, body: bytes, content_type: str) -> tuple[bytes, str]:
        """Return a multipart body with markers, and its Content-Type: the boundary is a marker too."""
        form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        parts = form.get_payload()
        assert isinstance(parts, list)
        mark = self.marker()
        pieces = [b"--%s\r\n%s\r\n" % (mark.encode(), self._part(part)) for part in parts if isinstance(part, Message)]
        picture = f'Content-Disposition: form-data; name="{self.marker()}"; filename="{self.marker()}"'
        made_up = f"--{mark}\r\n{picture}\r\n\r\n{self.marker()}\r\n--{mark}--\r\n{self.marker()}\r\n"
        return b"".join([*pieces, made_up.encode()]), f"multipart/form-data; boundary={mark}"

    def _listed_below(self, above: str) -> bool:
        return any(one.startswith(above) for one in self.listed)

    def _mark_element(self, element: ET.Element, path: str) -> None:
        inner, listed_below = list(element), self._listed_below(f"{path}.")
        if not inner:
            if path not in self.listed and not listed_below:
                element.text = self.marker()
        elif self.whole and not listed_below:
            for child in inner:
                element.remove(child)
            element.text = self.marker()
        else:
            for child in inner:
                self._mark_element(child, f"{path}.{_local(child)}")
            ET.SubElement(element, self.marker()).text = self.marker()
        element.set(self.marker(), self.marker())

    def _part(self, part: Message) -> bytes:
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        kind = part.get_content_type() if "content-type" in part else ""
        name = part.get_param("name", header="content-disposition")
        if name == "json":
            content = msgspec.json.encode(self.mark(msgspec.json.decode(content)))
        elif kind.endswith("/xml"):
            content, name = self.mark_xml(content), self.marker()
        else:
            content, name = self.marker().encode() + content, self.marker()
        file_name = f'filename="{self.marker()}"; {self.marker()}={self.marker()}'
        headers = [
            f'Content-Disposition: form-data; name="{name}"; {file_name}',
            f"X-{self.marker()}: {self.marker()}",
            f"Content-ID: <{self.marker()}>",
            *([f"Content-Type: {kind}; {self.marker()}={self.marker()}"] if kind else []),
        ]
        return "\r\n".join(headers).encode() + b"\r\n\r\n" + content


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of a value and of everything in it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """Return a copy of a value in which another stands at one place."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], other)
    return copy


def dotted(path: tuple[Any, ...]) -> str:
    """Return a place as allow-lists write it."""
    return ".".join("*" if isinstance(step, int) else step for step in path)
