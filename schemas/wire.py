"""The only event codec: bytes <-> value, versioned.

A message is the JSON of its value with `v`, the version of its shape, as first member. A reader takes every version
up to its own; fields that it does not know are ignored, so that a field may be added without a new version.
"""

from typing import Any, Final, TypeVar

import msgspec

from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from schemas.health import CameraReport
from schemas.sightings import Sighting

T = TypeVar("T", Detection, Sighting, Camera, DeadLetter, CameraReport)

VERSIONS: Final[dict[type[Any], int]] = {Detection: 1, Sighting: 1, Camera: 1, DeadLetter: 1, CameraReport: 1}
"""The version that is written of each shape."""


class Undecodable(Exception):
    """Bytes that are no message of the expected shape. Says why without quoting any of them."""


class _Envelope(msgspec.Struct):
    v: int


_ENCODER: Final = msgspec.json.Encoder()
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_DECODERS: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {
    shape: msgspec.json.Decoder(shape) for shape in VERSIONS
}
_HEADS: Final[dict[type[Any], bytes]] = {shape: b'{"v":%d,' % version for shape, version in VERSIONS.items()}


def encode(value: Detection | Sighting | Camera | DeadLetter | CameraReport) -> bytes:
    """Return the message of a value."""
    return _HEADS[type(value)] + _ENCODER.encode(value)[1:]


def decode(data: bytes, shape: type[T]) -> T:
    """Return the value of a message.

    Raises Undecodable if the bytes are not JSON, not of this shape, or of a later version than this code knows.
    """
    try:
        if not _is_current(data, shape) and _ENVELOPE.decode(data).v > VERSIONS[shape]:
            raise Undecodable("written by a later version")
        value: T = _DECODERS[shape].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The message of a decode error can quote the value it met.
        raise Undecodable(f"not a {shape.__name__}: {type(error).__name__}") from None
    return value


def _is_current(data: bytes, shape: type[Any]) -> bool:
    """Say whether a message begins as `encode` writes it, and can't name another version further on: most messages."""
    # From the end: that takes half of the time of looking from the start.
    return data.startswith(_HEADS[shape]) and data.rfind(b'"v"') == 1 and b"\\" not in data
