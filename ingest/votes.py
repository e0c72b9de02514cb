"""What several reads of one pass say together, and whether two reads can be of one pass at all. Pure.

A character's confidence in a read is the highest of the readings that have it there: of the plate itself, and of the
other readings that the camera thought possible.
"""

from collections.abc import Iterable, Sequence
from operator import ne
from typing import Final, Protocol, TypeVar, get_args

from msgspec.structs import replace

from ingest.enrich import LOW_CONFIDENCE
from schemas.detections import MAX_CANDIDATES, Candidate
from schemas.plate import normalise as normal_form
from schemas.plate import plate_key
from schemas.sightings import Sighting, StoredDoubt

UNKNOWN_CONFIDENCE: Final = 0.5
"""What a plate weighs in a vote if its camera gives no confidence."""

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
        if confidence >= LOW_CONFIDENCE and confidence >= LOW_CONFIDENCE * (confidence + candidate.confidence):
            continue
        text = normal_form(candidate.plate)
        if text is None or text == plate or len(text) != len(plate):
            continue
        key = plate_key(text)
        if is_one_apart(key, read.plate_key) and key not in found:
            found.append(key)
    return tuple(found)


def agree(one: Sighting, other: Sighting) -> bool:
    """Say whether two reads speak of the same vehicle: make or colour known in both and equal, nothing differing."""
    pairs = [(one.make, other.make), (one.colour, other.colour), (one.body, other.body), (one.model, other.model)]
    if one.region is not None and other.region is not None and one.region != other.region:
        return False
    if any(a is not None and b is not None and a.value != b.value for a, b in pairs):
        return False
    return any(a is not None and b is not None for a, b in pairs[:2])


def look(read: Sighting) -> tuple[str | None, ...]:
    """Return what `agree` compares of a read: two reads of one look agree with the same others."""
    traits = (read.make, read.colour, read.body, read.model)
    return (read.region, *(None if trait is None else trait.value for trait in traits))


def is_one_apart(one: str, other: str) -> bool:
    """Say whether two plate keys differ in one character: no read names a key that differs in more."""
    return len(one) == len(other) and sum(map(ne, one, other)) == 1


def vote(reads: Sequence[Sighting]) -> Sighting:
    """Return the sighting that all reads of a pass make together, in the order in which they came.

    Identity, times and place are the first read's; the revision is the number of later reads. Plates have one length.
    """
    first = reads[0]
    plate = _plate(reads)
    region = _best_region(reads)
    confidence = _confidence(plate, reads)
    ranked = sorted(reads, key=_surest_first)
    alike = [read for read in ranked if read.plate == plate]
    return replace(
        first,
        revision=len(reads) - 1,
        plate=plate,
        plate_key=plate_key(plate),
        plate_raw=alike[0].plate_raw if alike else None,
        plate_confidence=confidence,
        candidates=_candidates(reads),
        region=region,
        region_confidence=_region_confidence(region, reads),
        make=_best([read.make for read in reads]),
        model=_best([read.model for read in reads]),
        colour=_best([read.colour for read in reads]),
        body=_best([read.body for read in reads]),
        heading_deg=_first([read.heading_deg for read in reads]),
        lane=_first([read.lane for read in reads]),
        doubts=_doubts(reads, plate, confidence),
        # The picture of the read that is believed; else of the surest one, which shows the same plate.
        crop=_first([read.crop for read in (*alike, *ranked)]),
    )


def graves(now: Sighting, former: Iterable[str]) -> list[Sighting]:
    """Return what is left of a pass under each plate key that an earlier revision gave it: no plate, no description."""
    return [
        replace(
            now, plate=None, plate_key=key, plate_raw=None, plate_confidence=None, candidates=(), region=None,
            region_confidence=None, make=None, model=None, colour=None, body=None, heading_deg=None, lane=None,
            crop=None, doubts=(), superseded_by=now.plate_key,
        )
        for key in former
    ]  # fmt: skip


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
    plate = reads[0].plate
    if plate and all(read.plate == plate for read in reads):
        return plate  # no read holds another text surer than its own
    # Of equal weights the first wins: the character that the earliest read has.
    return "".join(max(place, key=place.__getitem__) for place in _weights(reads))


def _confidence(plate: str, reads: Sequence[Sighting]) -> float | None:
    """Return the highest confidence of a read of this text; of a text that no read has, its weakest place's share."""
    said = [read.plate_confidence for read in reads if read.plate == plate]
    if said:
        return max((one for one in said if one is not None), default=None)
    shares = [place[char] / (sum(place.values()) or 1.0) for char, place in zip(plate, _weights(reads), strict=True)]
    return min(1.0, *shares) if shares else None


def _surest_first(read: Sighting) -> float:
    return -(read.plate_confidence or 0.0)


def _candidates(reads: Sequence[Sighting]) -> tuple[Candidate, ...]:
    best: dict[str, Candidate] = {}
    for read in reads:
        for candidate in read.candidates:
            other = best.get(candidate.plate)
            if candidate.confidence > (0.0 if other is None else other.confidence):
                best[candidate.plate] = candidate
            elif other is None:
                best[candidate.plate] = Candidate(plate=candidate.plate, confidence=0.0)
    ranked = sorted(best.values(), key=_likeliest_first)
    return tuple(ranked[:MAX_CANDIDATES])


def _likeliest_first(candidate: Candidate) -> tuple[float, str]:
    return -candidate.confidence, candidate.plate


class _Word(Protocol):
    @property
    def confidence(self) -> float | None: ...


_W = TypeVar("_W", bound=_Word)
_V = TypeVar("_V")


def _best(words: Sequence[_W | None]) -> _W | None:
    """Return the surest word, of equally sure ones the first."""
    best, highest = None, 0.0
    for word in words:
        if word is not None and (best is None or (word.confidence or 0.0) > highest):
            best, highest = word, word.confidence or 0.0
    return best


def _first(values: Sequence[_V | None]) -> _V | None:
    for value in values:
        if value is not None:
            return value
    return None


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
    doubted = any(read.doubts for read in reads)
    if not doubted and (confidence is None or confidence >= LOW_CONFIDENCE):
        return ()
    found = {doubt for read in reads for doubt in read.doubts} - _OF_THE_TEXT
    if confidence is not None and confidence < LOW_CONFIDENCE:
        found.add("low_confidence")
    alike = [read for read in reads if read.plate == plate] or reads
    if any("implausible_format" in read.doubts for read in alike):
        found.add("implausible_format")
    return tuple(doubt for doubt in _DOUBTS if doubt in found)
