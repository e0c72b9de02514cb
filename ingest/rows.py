"""Sightings into rows of the index, checked against what the table takes. Pure.

What the table would refuse is found here, sighting by sighting: a statement that fails fails for a whole batch. Zero
bytes are not looked for: `schemas.wire` reads no text with one. This runs for every read, so there is no call for each
field.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from ingest.retention import Cutoffs
from schemas.detections import MAX_CANDIDATES, MAX_RAW_PLATE_LENGTH, MAX_WORD_LENGTH, Crop
from schemas.owners import OwnerRules
from schemas.sightings import MAX_SAID_BYTES, Said, Sighting, Trait

_SHA256: Final = re.compile("[0-9a-f]{64}")
_MAX_CANDIDATES_BYTES: Final = MAX_CANDIDATES * (4 * MAX_RAW_PLATE_LENGTH + 52)
"""As many as there can be, as long as they can be: the index of the key holds them, and takes no row over 2.7 kB."""

_MAX_INDEXED_BYTES: Final = 2400
"""What all texts of a row may have together. The index of the key holds them, and takes no entry over 2,704 bytes."""

_SHORT: Final = 130
_SMALL: Final = 560
"""Names of so many characters and candidates of so many bytes are not too long, whatever the others are.

Those are 1,312 bytes at the most: a raw plate (4 a character), four words, what was said, and a picture's name.
"""

_MAX_SMALLINT: Final = 2**15 - 1
_MAX_INTEGER: Final = 2**31 - 1
_MAX_REAL: Final = 3.4e38
_MAX_SAID_OBJECT_BYTES: Final = 512
"""The table's own limit. A character of a word takes up to six bytes in it."""

EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
"""Between them every time has its like in UTC, whatever its offset."""

AHEAD: Final = timedelta(days=1)
"""A read, or a report, of so long after now is at fault itself. Days are made for longer ahead: where one is missing,
we are."""

_JSON: Final = msgspec.json.Encoder()
_UNSAID: Final = (None, None)


class Unfit(ValueError):
    """A sighting that the table would refuse. Names the field, never its value."""


class Row(NamedTuple):
    """A row: the table's columns in the order in which they are copied. The first three are its key."""

    pass_id: UUID
    captured_at: datetime
    plate_key: str
    revision: int
    superseded_by: str | None
    plate: str | None
    owner: str
    region: str | None
    camera_id: str
    latitude: float
    longitude: float
    timezone: str
    clock_uncertainty_s: float
    skew_s: float
    received_at: datetime
    plate_raw: str | None
    plate_confidence: float | None
    region_confidence: float | None
    candidates: bytes | None
    make: str | None
    make_confidence: float | None
    model: str | None
    model_confidence: float | None
    colour: str | None
    colour_confidence: float | None
    body: str | None
    body_confidence: float | None
    heading_deg: float | None
    lane: int | None
    doubts: str | None
    normaliser_version: int
    said: bytes | None
    crop: bytes | None

    @property
    def key(self) -> tuple[UUID, datetime, str]:
        """What no two rows of the index share."""
        return self[:3]

    @property
    def values(self) -> tuple[object, ...]:
        """The row as a tuple like any other."""
        return tuple(self)


COLUMNS: Final = Row._fields
"""The columns of a row, in its order."""

_PLATE_KEY: Final = itemgetter(2)
_ORDER: Final = itemgetter(1, 2, 0)


def rows(sightings: Sequence[Sighting]) -> list[Row]:
    """Return the row of each sighting, in order. Raises Unfit if the table would refuse one."""
    return [_row(sighting, LATEST) for sighting in sightings]


def kept(rules: OwnerRules, now: datetime, sightings: Sequence[Sighting]) -> list[Row | None]:
    """Return the row of each sighting, in order; None for one that is past its owner's days by now.

    It was not when it was enriched: it has waited since, and its day may be gone. Raises Unfit as `rows` does, and for
    one that is `AHEAD` of now: it has no day.
    """
    cutoffs, latest = Cutoffs(rules, now), now + AHEAD
    made = [_row(sighting, latest) for sighting in sightings]
    return [
        row if sighting.captured_at > cutoffs.of(sighting.owner) else None
        for sighting, row in zip(sightings, made, strict=True)
    ]


def newest(batch: Iterable[Row]) -> list[Row]:
    """Return, of the rows with one key, the one of the highest revision: two in one statement are an error."""
    batch = list(batch)
    plates = list(map(_PLATE_KEY, batch))
    times = Counter(plates)  # hashing a whole key of each row would take longer than all the rest
    if len(times) == len(batch):
        return batch
    alone = [row for row, plate in zip(batch, plates, strict=True) if times[plate] == 1]
    kept: dict[tuple[object, ...], Row] = {}
    for row, plate in zip(batch, plates, strict=True):
        if times[plate] > 1:
            key = row[:3]
            other = kept.get(key)
            if other is None or other[3] < row[3]:
                kept[key] = row
    return [*alone, *kept.values()]


def ordered(batch: Iterable[Row]) -> list[Row]:
    """Return rows in the order in which every indexer writes them: by time, plate key and pass.

    Two that write the same rows then wait for one another, and never both. Rows come nearly in order of time, so this
    moves few of them; by day first, because a COPY into days writes them one after the other.
    """
    return sorted(batch, key=_ORDER)


def _row(s: Sighting, latest: datetime) -> Row:
    raw = s.plate_raw
    if raw is not None and len(raw) > MAX_RAW_PLATE_LENGTH:
        raise Unfit("plate_raw is too long")
    make = _UNSAID if s.make is None else _trait("make", s.make)
    model = _UNSAID if s.model is None else _trait("model", s.model)
    colour = _UNSAID if s.colour is None else _trait("colour", s.colour)
    body = _UNSAID if s.body is None else _trait("body", s.body)
    candidates = _JSON.encode(s.candidates) if s.candidates else None
    _check(s, latest)
    key, plate, owner, region, camera_id, timezone = s.plate_key, s.plate, s.owner, s.region, s.camera_id, s.timezone
    moved, doubts, position = s.superseded_by, ",".join(s.doubts) if s.doubts else None, s.position
    row = _made(
        Row,
        (
            s.pass_id, s.captured_at, key, s.revision, moved, plate, owner, region, camera_id,
            position.latitude, position.longitude, timezone, s.clock_uncertainty_s, s.skew_s, s.received_at,
            raw, s.plate_confidence, s.region_confidence, candidates,
            *make, *model, *colour, *body, s.heading_deg, s.lane, doubts,
            s.normaliser_version, _said(s), _digest(s.crop) if s.crop is not None else None,
        ),
    )  # fmt: skip
    named = f"{key}{moved or ''}{plate or ''}{owner}{region or ''}{camera_id}{timezone}{doubts or ''}"
    if len(named) > _SHORT or (candidates is not None and len(candidates) > _SMALL):
        _check_size(row, candidates)
    return row


_made: Final = tuple.__new__
"""Makes a Row of a tuple. `Row(…)` takes 33 arguments apart first, which is a tenth of all the time here."""


def _check(s: Sighting, latest: datetime) -> None:
    """Raise Unfit for a number or a time that the table would refuse. NaN compares as false with everything."""
    if (share := s.plate_confidence) is not None and not 0 <= share <= 1:
        raise Unfit("plate_confidence is out of range")
    if (share := s.region_confidence) is not None and not 0 <= share <= 1:
        raise Unfit("region_confidence is out of range")
    if (heading := s.heading_deg) is not None and not 0 <= heading <= 360:
        raise Unfit("heading_deg is out of range")
    if (lane := s.lane) is not None and not 0 <= lane <= _MAX_SMALLINT:
        raise Unfit("lane is out of range")
    if not 0 <= s.revision <= _MAX_INTEGER:
        raise Unfit("revision is out of range")
    if not 0 <= s.normaliser_version <= _MAX_SMALLINT:
        raise Unfit("normaliser_version is out of range")
    if not -_MAX_REAL <= s.clock_uncertainty_s <= _MAX_REAL:
        raise Unfit("clock_uncertainty_s is out of range")
    try:
        if not (EARLIEST <= s.captured_at <= latest and EARLIEST <= s.received_at <= LATEST):
            raise Unfit("a time is out of range")
    except TypeError:
        raise Unfit("a time without its offset") from None


def _digest(crop: Crop) -> bytes:
    if not _SHA256.fullmatch(crop.sha256):
        raise Unfit("crop is no SHA-256")
    return bytes.fromhex(crop.sha256)


def _check_size(row: Row, candidates: bytes | None) -> None:
    """Raise Unfit for texts that the index of the key would not take."""
    if candidates is not None and len(candidates) > _MAX_CANDIDATES_BYTES:
        raise Unfit("candidates are too long")
    texts = [one.encode() if isinstance(one, str) else one for one in row if isinstance(one, str | bytes)]
    if sum(map(len, texts)) > _MAX_INDEXED_BYTES:
        raise Unfit("its texts are too long together")


def _trait(name: str, trait: Trait) -> tuple[str, float | None]:
    """Return the word and its confidence. Raises Unfit for words that the table would refuse."""
    word, said, confidence = trait.value, trait.said, trait.confidence
    if len(word) > MAX_WORD_LENGTH:
        raise Unfit(f"{name} is too long")
    if said is not None:
        if len(said) > MAX_WORD_LENGTH:
            raise Unfit(f"{name} is too long")
        if len(said) * 4 > MAX_SAID_BYTES and len(said.encode()) > MAX_SAID_BYTES:
            raise Unfit(f"{name} was said in too many bytes")
    if confidence is not None and not 0 <= confidence <= 1:
        raise Unfit(f"{name} is out of range")
    return word, confidence


def _said(s: Sighting) -> bytes | None:
    make = None if s.make is None else s.make.said
    model = None if s.model is None else s.model.said
    colour = None if s.colour is None else s.colour.said
    body = None if s.body is None else s.body.said
    if make is None and model is None and colour is None and body is None:
        return None
    words = _JSON.encode(Said(make=make, model=model, colour=colour, body=body))
    if len(words) > _MAX_SAID_OBJECT_BYTES:
        raise Unfit("what was said is too long")
    return words
