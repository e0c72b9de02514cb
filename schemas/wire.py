"""The only event codec: bytes <-> value, versioned.

A message is the JSON of its value with `v`, the version of its shape, as first member. A reader takes every version
up to its own; fields that it does not know are ignored, so that a field may be added without a new version.
"""

import re
from collections.abc import Callable
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
_HEADS: Final[dict[type[Any], bytes]] = {shape: b'{"v":%d,' % version for shape, version in VERSIONS.items()}

_ZERO_BYTE: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""JSON has it as an escape alone; two backslashes before it are one in a text."""


def encode(value: Detection | Sighting | Camera | DeadLetter | CameraReport) -> bytes:
    """Return the message of a value."""
    return _HEADS[type(value)] + _ENCODER.encode(value)[1:]


def decode(data: bytes, shape: type[T]) -> T:
    """Return the value of a message.

    Raises Undecodable if the bytes are not JSON, not of this shape, or of a later version than this code knows, or if
    a text in them has a zero byte: no text of ours has, and PostgreSQL takes none.
    """
    return reader(shape)(data)


def reader(shape: type[T]) -> Callable[[bytes], T]:
    """Return `decode` for one shape: what reads many messages of it spares a tenth of the time."""
    return _READERS[shape]


def _reader(shape: type[T]) -> Callable[[bytes], T]:
    head, decoded = _HEADS[shape], msgspec.json.Decoder(shape).decode

    def read(data: bytes) -> T:
        try:
            # Does it begin as `encode` writes it, and can't it name another version further on? Most messages are so.
            # From the end: that takes half of the time of looking from the start.
            if not (data.startswith(head) and data.rfind(b'"v"') == 1 and b"\\" not in data):
                _look_into(data, VERSIONS[shape])
            return decoded(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The message of a decode error can quote the value it met.
            raise Undecodable(f"not a {shape.__name__}: {type(error).__name__}") from None

    return read


_READERS: Final[dict[type[Any], Callable[[bytes], Any]]] = {shape: _reader(shape) for shape in VERSIONS}


def _look_into(data: bytes, version: int) -> None:
    """Raise Undecodable for a message that is not to be read; a msgspec error if it is no message at all."""
    if _ENVELOPE.decode(data).v > version:
        raise Undecodable("written by a later version")
    if _ZERO_BYTE.search(data):
        raise Undecodable("a text with a zero byte")
