"""`ingest.votes` in the plainest words, to hold the fast one to.

A character's confidence in a read is the highest of the readings that have it there: of the plate itself, and of the
other readings that the camera thought possible.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar, get_args

from msgspec.structs import replace

from ingest.enrich import LOW_CONFIDENCE
from ingest.votes import UNKNOWN_CONFIDENCE
from schemas.detections import MAX_CANDIDATES, Candidate
from schemas.plate import normalise as normal_form
from schemas.plate import plate_key
from schemas.sightings import Sighting, StoredDoubt

_DOUBTS: Final[tuple[StoredDoubt, ...]] = get_args(StoredDoubt)
_OF_THE_TEXT: Final = frozenset({"low_confidence", "implausible_format"})


def named(read: Sighting) -> tuple[str, ...]:
    """Return the other plate keys that a read itself leaves open: one character away, and that character doubtful.

    The key must be that of one of the camera's own candidates. The character is doubtful if the plate's confidence is
    below `LOW_CONFIDENCE`, or is less than `LOW_CONFIDENCE` of what plate and candidate have together. A camera that
    gives no confidence or no candidates leaves nothing open.
    """
    plate, confidence = read.plate, read.plate_confidence
    if plate is None or confidence is None or not read.candidates:
        return ()
    found: list[str] = []
    for candidate in read.candidates:
        if confidence >= max(LOW_CONFIDENCE, LOW_CONFIDENCE * (confidence + candidate.confidence)):
            continue
        text = normal_form(candidate.plate)
        if text is None or len(text) != len(plate):
            continue
        key = plate_key(text)
        if is_one_apart(key, read.plate_key) and key not in found:
            found.append(key)
    return tuple(found)


def is_one_apart(one: str, other: str) -> bool:
    """Say whether two plate keys differ in one character: no read names a key that differs in more."""
    return len(one) == len(other) and _differences(one, other) == 1


def vote(reads: Sequence[Sighting]) -> Sighting:
    """Return the sighting that all reads of a pass make together, in the order in which they came.

    Identity, times and place are the first read's; the revision is the number of later reads. Plates have one length.
    """
    first = reads[0]
    plate = _plate(reads)
    region = _best_region(reads)
    confidence = _confidence(plate, reads)
    # The picture of the read that is believed; else of the surest one, which shows the same plate.
    shown = sorted(_by_confidence(reads), key=lambda read: read.plate != plate)
    text = next((read.plate_raw for read in _by_confidence(reads) if read.plate == plate), None)
    return replace(
        first,
        revision=len(reads) - 1,
        plate=plate,
        plate_key=plate_key(plate),
        plate_raw=text,
        plate_confidence=confidence,
        candidates=_candidates(reads),
        region=region,
        region_confidence=_region_confidence(region, reads),
        make=_best([read.make for read in reads]),
        model=_best([read.model for read in reads]),
        colour=_best([read.colour for read in reads]),
        body=_best([read.body for read in reads]),
        heading_deg=next((read.heading_deg for read in reads if read.heading_deg is not None), None),
        lane=next((read.lane for read in reads if read.lane is not None), None),
        doubts=_doubts(reads, plate, confidence),
        crop=next((read.crop for read in shown if read.crop is not None), None),
    )


def _differences(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _readings(read: Sighting) -> list[tuple[str, float]]:
    """Return the texts of the plate's length that a read holds possible, the plate first, none above its confidence."""
    plate = read.plate or ""
    highest = UNKNOWN_CONFIDENCE if read.plate_confidence is None else read.plate_confidence
    found = [(plate, highest)]
    for candidate in read.candidates:
        text = normal_form(candidate.plate)
        if text is not None and len(text) == len(plate):
            found.append((text, min(candidate.confidence, highest)))
    return found


def _weights(reads: Sequence[Sighting]) -> list[dict[str, float]]:
    """Return, for each place of the plate, what each character weighs: its confidence, added up over the reads."""
    places: list[dict[str, float]] = [{} for _ in reads[0].plate or ""]
    for read in reads:
        readings = _readings(read)
        for number, place in enumerate(places):
            said: dict[str, float] = {}
            for text, confidence in readings:
                said[text[number]] = max(said.get(text[number], 0.0), confidence)
            for character, confidence in said.items():
                place[character] = place.get(character, 0.0) + confidence
    return places


def _plate(reads: Sequence[Sighting]) -> str:
    # Of equal weights the first wins: the character that the earliest read has.
    return "".join(max(place, key=place.__getitem__) for place in _weights(reads))


def _confidence(plate: str, reads: Sequence[Sighting]) -> float | None:
    """Return the highest confidence of a read of this text; of a text that no read has, its weakest place's share."""
    said = [read.plate_confidence for read in reads if read.plate == plate]
    if said:
        return max((one for one in said if one is not None), default=None)
    shares = [place[char] / (sum(place.values()) or 1.0) for char, place in zip(plate, _weights(reads), strict=True)]
    return min(1.0, *shares) if shares else None


def _by_confidence(reads: Sequence[Sighting]) -> list[Sighting]:
    return sorted(reads, key=lambda read: -(read.plate_confidence or 0.0))


def _candidates(reads: Sequence[Sighting]) -> tuple[Candidate, ...]:
    best: dict[str, float] = {}
    for read in reads:
        for candidate in read.candidates:
            best[candidate.plate] = max(best.get(candidate.plate, 0.0), candidate.confidence)
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Candidate(plate=plate, confidence=confidence) for plate, confidence in ranked[:MAX_CANDIDATES])


class _Word(Protocol):
    @property
    def confidence(self) -> float | None: ...


_W = TypeVar("_W", bound=_Word)


def _best(words: Sequence[_W | None]) -> _W | None:
    return max((word for word in words if word is not None), key=lambda word: word.confidence or 0.0, default=None)


def _best_region(reads: Sequence[Sighting]) -> str | None:
    weights: dict[str, float] = {}
    for read in reads:
        if read.region is not None:
            weights[read.region] = weights.get(read.region, 0.0) + (read.region_confidence or UNKNOWN_CONFIDENCE)
    return max(weights, key=weights.__getitem__, default=None)


def _region_confidence(region: str | None, reads: Sequence[Sighting]) -> float | None:
    said = [read.region_confidence for read in reads if region is not None and read.region == region]
    return max((one for one in said if one is not None), default=None)


def _doubts(reads: Sequence[Sighting], plate: str, confidence: float | None) -> tuple[StoredDoubt, ...]:
    """Return the doubts of any read, but those about the plate's text only of reads that have it."""
    found = {doubt for read in reads for doubt in read.doubts} - _OF_THE_TEXT
    if confidence is not None and confidence < LOW_CONFIDENCE:
        found.add("low_confidence")
    alike = [read for read in reads if read.plate == plate] or reads
    if any("implausible_format" in read.doubts for read in alike):
        found.add("implausible_format")
    return tuple(doubt for doubt in _DOUBTS if doubt in found)
