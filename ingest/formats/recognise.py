"""Which vendor's message a payload is, by what is in it: cameras are set up with another vendor's path.

Each rule names members that the format always has and no other format has together. Pure.
"""

from collections.abc import Callable
from typing import Any, Final

from ingest.formats import table

_Object = dict[str, Any]

_OPENALPR: Final = frozenset({"alpr_group", "alpr_results", "alpr_alert", "vehicle", "heartbeat"})


def recognise(payload: Any) -> str | None:
    """Return the name of the format that a payload is in, or None if it looks like none, or like more than one."""
    if not isinstance(payload, dict):
        return None
    found = [name for name, is_it in _RULES.items() if is_it(payload)]
    return found[0] if len(found) == 1 else None


def _openalpr(payload: _Object) -> bool:
    kind = payload.get("data_type")
    return isinstance(kind, str) and kind in _OPENALPR


def _platerecognizer(payload: _Object) -> bool:
    data = payload.get("data")
    return isinstance(data, dict) and "results" in data and "timestamp" in data


def _hikvision(payload: _Object) -> bool:
    return "EventNotificationAlert" in payload


def _dahua(payload: _Object) -> bool:
    params = payload.get("params")
    return (isinstance(params, dict) and "eventList" in params) or ("Code" in payload and "Data" in payload)


def _dahua_itsapi(payload: _Object) -> bool:
    picture = payload.get("Picture")
    return (isinstance(picture, dict) and "SnapInfo" in picture) or payload.get("Active") == "keepAlive"


def _axis(payload: _Object) -> bool:
    return "plateUTF8" in payload and "carState" in payload


def _ngsi(payload: _Object) -> bool:
    data = payload.get("data")
    entity = data[0] if isinstance(data, list) and data else payload
    return isinstance(entity, dict) and entity.get("type") == "AnprFlowObserved"


def _genetec(payload: _Object) -> bool:
    return "CameraName" in payload and "DateUtc" in payload and "TimeUtc" in payload


def _verkada(payload: _Object) -> bool:
    data = payload.get("data") if "webhook_type" in payload else payload
    return isinstance(data, dict) and "license_plate_number" in data and "created" in data


def _frigate(payload: _Object) -> bool:
    return payload.get("type") == "lpr" and "plate" in payload and "timestamp" in payload


def _native(payload: _Object) -> bool:
    return "captured_at" in payload


_RULES: Final[dict[str, Callable[[_Object], bool]]] = {
    table.NATIVE: _native,
    table.OPENALPR: _openalpr,
    table.PLATERECOGNIZER: _platerecognizer,
    table.HIKVISION: _hikvision,
    table.DAHUA: _dahua,
    table.DAHUA_ITSAPI: _dahua_itsapi,
    table.AXIS: _axis,
    table.NGSI: _ngsi,
    table.GENETEC: _genetec,
    table.VERKADA: _verkada,
    table.FRIGATE: _frigate,
}
