"""Rows in the binary form in which PostgreSQL copies them in.

The client's own way asks a codec for each value, and takes half as much again; this runs for every read. A test
compares the two. The form is that of PostgreSQL's documentation of COPY ("Binary Format") and of its types'
`recv` functions: everything big-endian, a length before each value, -1 for null.
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from ingest.rows import Row

STEP: Final = 500
"""So many rows are sent at once: the server takes them in while the next ones are made."""

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIELDS: Final = len(Row._fields)

# Lengths stand beside the values they belong to, as ones that are given: 16 a uuid, 8 a time or a double.
_KEY: Final = struct.Struct(">hi16siq").pack
_TIME: Final = struct.Struct(">iq").pack
_POSITION: Final = struct.Struct(">idid").pack
_CLOCK: Final = struct.Struct(">ifid").pack
_INTEGER: Final = struct.Struct(">ii").pack
_SMALLINT: Final = struct.Struct(">ih").pack
_REAL: Final = struct.Struct(">if").pack
_LENGTH: Final = struct.Struct(">i").pack


class DoesNotFit(ValueError):
    """A value that its column cannot hold. Says nothing of it."""


def chunks(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield what COPY … (FORMAT binary) takes for rows, in pieces. Raises DoesNotFit."""
    words = _Words({None: _NULL})
    yield _BEGIN
    for start in range(0, len(rows), STEP):
        try:
            yield b"".join([_row(row, words) for row in rows[start : start + STEP]])
        except (struct.error, OverflowError, UnicodeEncodeError, AttributeError, TypeError):
            raise DoesNotFit("a row does not fit the index") from None
    yield _END


class _Words(dict[str | None, bytes]):
    """Texts that come again and again in a batch, each encoded once."""

    def __missing__(self, text: str) -> bytes:
        found = self[text] = _text(text)
        return found


def _row(row: Row, words: _Words) -> bytes:
    (
        pass_id, captured_at, plate_key, revision, superseded_by, plate, owner, region, camera_id,
        latitude, longitude, timezone, clock_uncertainty_s, skew_s, received_at,
        plate_raw, plate_confidence, region_confidence, candidates,
        make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
        heading_deg, lane, doubts, normaliser_version, said, crop,
    ) = row  # fmt: skip
    key = _text(plate_key)
    named = key if plate == plate_key else _text(plate)
    return b"".join(
        (
            _KEY(_FIELDS, 16, pass_id.bytes, 8, _microseconds(captured_at)), key,
            _INTEGER(4, revision), words[superseded_by], named, words[owner], words[region], words[camera_id],
            _POSITION(8, latitude, 8, longitude), words[timezone],
            _CLOCK(4, clock_uncertainty_s, 8, skew_s), _TIME(8, _microseconds(received_at)),
            named if plate_raw == plate else _text(plate_raw),
            _NULL if plate_confidence is None else _REAL(4, plate_confidence),
            _NULL if region_confidence is None else _REAL(4, region_confidence),
            _NULL if candidates is None else _LENGTH(len(candidates)) + candidates,
            words[make], _NULL if make_confidence is None else _REAL(4, make_confidence),
            words[model], _NULL if model_confidence is None else _REAL(4, model_confidence),
            words[colour], _NULL if colour_confidence is None else _REAL(4, colour_confidence),
            words[body], _NULL if body_confidence is None else _REAL(4, body_confidence),
            _NULL if heading_deg is None else _REAL(4, heading_deg),
            _NULL if lane is None else _SMALLINT(2, lane),
            words[doubts], _SMALLINT(2, normaliser_version),
            _NULL if said is None else _LENGTH(len(said)) + said,
            _NULL if crop is None else _LENGTH(len(crop)) + crop,
        )
    )  # fmt: skip


def _text(text: str | None) -> bytes:
    if text is None:
        return _NULL
    data = text.encode()
    return _LENGTH(len(data)) + data


def _microseconds(at: datetime) -> int:
    """Return the microseconds from PostgreSQL's epoch to a time, exactly."""
    apart = at - _EPOCH
    return (apart.days * 86_400 + apart.seconds) * 1_000_000 + apart.microseconds
