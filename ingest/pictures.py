"""Pictures that cameras send beside a read: what may be kept as the crop of a plate, and nothing more of it. Pure.

A crop is a JPEG or a PNG whose header says that it is as small as a plate. It is written anew from the parts that make
up the picture: comments, EXIF, thumbnails, profiles and whatever follows the end are left out, since they may name a
person or a place. Nothing is decoded but a PNG's own compression, to the size that its header says.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Final, Literal

from schemas.detections import Crop

MAX_BYTES: Final = 64 * 1024
MAX_WIDTH: Final = 512
MAX_HEIGHT: Final = 200
MIN_SIDE: Final = 8
"""In pixels. Plates are cut out some 100 to 300 wide; the smallest scenes (QVGA, 320 x 240) are higher than that."""

Fault = Literal["not_a_picture", "too_large", "dimensions", "damaged"]
"""Why a picture is not kept. Each is a label of a metric, so the list is closed."""

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MAX_SEGMENTS: Final = 64
_SPARE: Final = 4096
"""Bytes for tables and headers, beside those for pixels."""


class NotACrop(Exception):
    """A picture that is not kept. Quotes nothing of it."""

    def __init__(self, reason: Fault) -> None:
        """Know the reason."""
        super().__init__(reason)
        self.reason: Fault = reason


def cleaned(data: bytes) -> bytes:
    """Return the picture of a plate, without anything that is not picture. Raises NotACrop."""
    if len(data) > MAX_BYTES:
        raise NotACrop("too_large")
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    raise NotACrop("not_a_picture")


def crop_of(picture: bytes) -> Crop:
    """Return what stands for a cleaned picture in a detection."""
    return Crop(sha256=hashlib.sha256(picture).hexdigest())


def _check_size(width: int, height: int) -> None:
    if not (MIN_SIDE <= width <= MAX_WIDTH and MIN_SIDE <= height <= MAX_HEIGHT):
        raise NotACrop("dimensions")


# JPEG (ITU-T T.81, annex B): segments, each with a marker and a length; after SOS comes data until the next marker.

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI, _APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xEE
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, with Huffman coding: what browsers show."""
_LEFT_OUT: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Application data and comments."""


def _jpeg(data: bytes) -> bytes:
    kept = [data[:2]]
    at, size, scans = 2, (0, 0), 0
    for _ in range(_MAX_SEGMENTS):
        marker, body, end = _segment(data, at)
        if marker == _EOI:
            if not scans or len(data) > _SPARE + 3 * size[0] * size[1]:
                raise NotACrop("damaged")
            return b"".join([*kept, data[at:end]])
        if marker in _FRAMES:
            size = _frame(body, size)
        elif marker == _SOS:
            if size == (0, 0) or not body or len(body) != 4 + 2 * body[0]:
                raise NotACrop("damaged")
            scans += 1
            end = _end_of_scan(data, end)
        elif not (_is_table(marker, body) or marker in _LEFT_OUT):
            raise NotACrop("damaged")
        if marker not in _LEFT_OUT or _is_adobe(marker, body):
            kept.append(data[at:end])
        at = end
    raise NotACrop("damaged")


def _segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return the marker at a place, what it holds, and where the next one is. Raises NotACrop."""
    if len(data) < at + 2 or data[at] != 0xFF:
        raise NotACrop("damaged")
    marker = data[at + 1]
    if marker == _EOI:
        return marker, b"", at + 2
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if length < 2 or at + 2 + length > len(data):
        raise NotACrop("damaged")
    return marker, data[at + 4 : at + 2 + length], at + 2 + length


def _frame(body: bytes, before: tuple[int, int]) -> tuple[int, int]:
    """Return width and height that a frame's header says. Raises NotACrop."""
    if before != (0, 0) or len(body) < 6 or body[5] not in (1, 3, 4) or len(body) != 6 + 3 * body[5]:
        raise NotACrop("damaged")
    height, width = struct.unpack(">HH", body[1:5])
    _check_size(width, height)
    return width, height


def _end_of_scan(data: bytes, at: int) -> int:
    """Return where the marker after a scan's data stands. Zero after 0xFF is data, and so are restart markers."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2
    raise NotACrop("damaged")


def _is_table(marker: int, body: bytes) -> bool:
    """Tell whether a segment holds tables, and nothing between or after them."""
    if marker == _DRI:
        return len(body) == 2
    steps: dict[int, Callable[[bytes, int], int]] = {
        _DQT: lambda tables, at: 65 if tables[at] < 0x10 else 129,
        _DHT: lambda tables, at: 17 + sum(tables[at + 1 : at + 17]),
    }
    if marker not in steps or not body:
        return False
    at = 0
    while at < len(body):
        at += steps[marker](body, at)
    return at == len(body)


def _is_adobe(marker: int, body: bytes) -> bool:
    """Tell whether a segment says how the colours are to be read: it is kept, as long as it holds nothing else."""
    return marker == _APP14 and body.startswith(b"Adobe") and len(body) == 12


# PNG (W3C): chunks with a checksum each; what they hold was compressed with zlib.

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: (1, 2, 4, 8), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}


def _png(data: bytes) -> bytes:
    chunks = _chunks(data)
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != 13:
        raise NotACrop("damaged")
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", header)
    _check_size(width, height)
    if depth not in _DEPTHS.get(colour, ()) or methods != [0, 0, 0]:
        raise NotACrop("damaged")
    row = 1 + (width * depth * _CHANNELS[colour] + 7) // 8
    pixels = _inflated(b"".join(body for kind, body in chunks if kind == b"IDAT"), row * height)
    if any(pixels[at] > 4 for at in range(0, len(pixels), row)):  # each row begins with the number of its filter
        raise NotACrop("damaged")
    palette = [body for kind, body in chunks if kind == b"PLTE"] if colour == 3 else []
    if colour == 3 and (len(palette) != 1 or len(palette[0]) % 3 or not 3 <= len(palette[0]) <= 768):
        raise NotACrop("damaged")
    kept = [(b"IHDR", header), *((b"PLTE", body) for body in palette), (b"IDAT", zlib.compress(pixels, 1))]
    return _PNG + b"".join(_chunk(kind, body) for kind, body in [*kept, (b"IEND", b"")])


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks up to the end of the picture; what follows it is left out. Raises NotACrop."""
    found: list[tuple[bytes, bytes]] = []
    at = len(_PNG)
    for _ in range(_MAX_SEGMENTS):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body, end = data[at + 4 : at + 8], data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data) or zlib.crc32(kind + body) != int.from_bytes(data[end - 4 : end], "big"):
            raise NotACrop("damaged")
        if kind == b"IEND" and found:
            return found
        found.append((kind, body))
        at = end
    raise NotACrop("damaged")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inflated(data: bytes, size: int) -> bytes:
    """Return what was compressed, if it has exactly this size; no more than one byte over it is ever made."""
    engine = zlib.decompressobj()
    try:
        pixels = engine.decompress(data, size + 1)
    except zlib.error:
        raise NotACrop("damaged") from None
    if len(pixels) != size or not engine.eof or engine.unused_data:
        raise NotACrop("damaged")
    return pixels
