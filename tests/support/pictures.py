"""Pictures for tests: a real JPEG of a made-up plate, and what can be done to one."""

import base64
import struct
import zlib
from typing import Final

PLATE: Final = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5a"
    "YVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wAAR"
    "CAAUAEADASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWG"
    "h4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEB"
    "AQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYk"
    "NOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0"
    "tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDprW2hktkd0LM2SSWPPJ96VYrBsbShz0xI"
    "ef1qWx/484/x/maiGm2w25DnaABlvTp+WTXyV9Xdm4oisDtwY/m+7+8PPb1qT7Fbf88//Hj/AI0xNPt0kSRQ4Ze+7rznmrVJy7MZB9itv+ef"
    "/jx/xo+xW3/PP/x4/wCNT0UuZ9wIPsVt/wA8/wDx4/41DdW0Mds7xoVZcEEMeOR71dqC+/485PoP5inGTutQKHnzQExRyHapIGVHr9KPtlz/"
    "AM9f/HR/hRRXRyrsSH2y5/56/wDjo/wo+2XP/PX/AMdH+FFFHKuwB9suf+ev/jo/wo+2XP8Az1/8dH+FFFHKuwB9suf+ev8A46P8KPPmnIik"
    "kO1iAcKPX6UUUcq7Af/Z"
)
"""64 x 20 pixels, baseline, with a JFIF header, as an encoder wrote it."""

NAMED: Final = b"SOMEBODY at the wheel"
"""What must not be found anywhere."""


def base64_of(picture: bytes) -> str:
    """Return a picture as it stands in JSON."""
    return base64.b64encode(picture).decode()


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(marker: int, body: bytes) -> bytes:
    """Return the JPEG with one more segment at its beginning."""
    return PLATE[:2] + segment(marker, body) + PLATE[2:]


def sized(width: int, height: int) -> bytes:
    """Return the JPEG with a header that says another size."""
    at = PLATE.index(b"\xff\xc0") + 5
    return PLATE[:at] + struct.pack(">HH", height, width) + PLATE[at + 4 :]


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int = 64,
    height: int = 20,
    *,
    pixels: bytes | None = None,
    more: bytes = b"",
    colour: int = 0,
    interlace: int = 0,
) -> bytes:
    """Return a PNG of 8 bits a channel; `more` are chunks after its header, `pixels` its rows before compression."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlace)
    rows = (b"\0" + bytes(n % 256 for n in range(width))) * height if pixels is None else pixels
    inside = chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + inside
