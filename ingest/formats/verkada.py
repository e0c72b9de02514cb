"""Verkada: licence-plate events of its cameras, bare or in the envelope of a webhook (`webhook_type`, `data`)."""

from typing import Any, Final

import msgspec

from ingest.formats import clean
from ingest.formats.clean import Loose
from ingest.formats.read import Dropped, Outcome, Read, Rejected
from schemas.detections import default_key

_LPR: Final = "lpr"


class _Event(msgspec.Struct, frozen=True):
    """The allow-list."""

    license_plate_number: Loose
    created: Loose
    camera_id: Loose = None
    confidence: Loose = None


class _Webhook(msgspec.Struct, frozen=True):
    webhook_type: str
    data: Any = None


def device_of(payload: Any) -> str | None:
    """Return the vendor's id of the camera that one message is about, if it names one."""
    event = payload.get("data") if isinstance(payload, dict) and "webhook_type" in payload else payload
    device_id = event.get("camera_id") if isinstance(event, dict) else None
    return device_id if isinstance(device_id, str) else None


def parse(payload: Any) -> tuple[Outcome, ...]:
    """Return the read of a licence-plate event; Dropped for other webhooks; else Rejected."""
    try:
        if not (isinstance(payload, dict) and "webhook_type" in payload):
            return (_read(msgspec.convert(payload, _Event), ""),)
        webhook = msgspec.convert(payload, _Webhook)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error),)
    if webhook.webhook_type != _LPR:
        return (Dropped(reason="other_event"),)
    try:
        return (_read(msgspec.convert(webhook.data, _Event), "/data"),)
    except msgspec.ValidationError as error:
        return (clean.misshapen(error, "/data"),)


def _read(event: _Event, at: str) -> Outcome:
    claimed_at = clean.epoch(event.created, 1)
    if claimed_at is None:
        return Rejected(reason="time", pointer=f"{at}/created")
    try:
        plate_raw = clean.reading(event.license_plate_number)
    except ValueError:
        return Rejected(reason="shape", pointer=f"{at}/license_plate_number")
    return Read(
        key=clean.key(event.camera_id, default_key(claimed_at, plate_raw, None)),
        claimed_at=claimed_at,
        plate_raw=plate_raw,
        plate_confidence=clean.fraction(event.confidence) if plate_raw else None,
    )
