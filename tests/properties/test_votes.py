"""The fast vote is the plain one, read by read; and reads are kept as they are."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import votes
from schemas import plate as plates
from schemas.detections import Candidate, Crop
from schemas.sightings import Sighting, Trait
from tests.support import plain_votes
from tests.support.detections import NOW, sighting

TEXTS = ("XYC3471", "XYC3477", "XYC347I", "XYC3417", "xyc 3471", "XYC347", "", "ÄÖÜ", "UNKNOWN")
confidences = st.sampled_from([0.0, 0.3, 0.5, 0.79, 0.8, 0.81, 0.95, 1.0])
sure = st.one_of(st.none(), confidences)
words = st.sampled_from(["red", "blue", "other"])
traits = st.one_of(st.none(), st.builds(Trait, value=words, confidence=sure, code=sure.map(str), said=words))


def read(number: int, **said: Any) -> Sighting:
    key = plates.plate_key(said["plate"])
    at = NOW + timedelta(microseconds=number * 1_234_567)
    return sighting(number, plate_key=key, captured_at=at, skew_s=number / 7, **said)


reads = st.builds(
    read,
    number=st.integers(0, 10**6),
    plate=st.sampled_from(TEXTS[:4]),
    plate_raw=st.one_of(st.none(), st.sampled_from(TEXTS)),
    plate_confidence=sure,
    candidates=st.lists(st.builds(Candidate, plate=st.sampled_from(TEXTS), confidence=confidences)).map(tuple),
    region=st.sampled_from([None, "US-CO", "US-MA"]),
    region_confidence=sure,
    make=traits,
    model=traits,
    colour=traits,
    body=traits,
    heading_deg=st.one_of(st.none(), st.floats(0, 360)),
    lane=st.one_of(st.none(), st.integers(0, 3)),
    doubts=st.sampled_from([(), ("clock_skew",), ("low_confidence", "implausible_format"), ("implausible_format",)]),
    crop=st.one_of(st.none(), st.builds(Crop, sha256=st.sampled_from(["a" * 64, "b" * 64]))),
)


def alike(one: Sighting, other: Sighting) -> bool:
    return one == other and msgspec.json.encode(one) == msgspec.json.encode(other)


@settings(max_examples=500, deadline=None)
@given(several=st.lists(reads, min_size=1, max_size=6))
def test_a_vote_is_what_it_is_in_the_plainest_words(several: Sequence[Sighting]) -> None:
    assert alike(votes.vote(several), plain_votes.vote(several))
    same = [msgspec.structs.replace(one, plate=several[0].plate, plate_key=several[0].plate_key) for one in several]
    assert alike(votes.vote(same), plain_votes.vote(same))


@settings(max_examples=300, deadline=None)
@given(one=reads)
def test_a_read_names_what_it_names_in_the_plainest_words(one: Sighting) -> None:
    assert votes.named(one) == plain_votes.named(one)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")))
def test_a_plate_key_folds_look_alikes_and_nothing_else(text: str) -> None:
    fold = {char: group[0] for group in plates.LOOK_ALIKES for char in group}
    assert plates.plate_key(text) == "".join(fold.get(char, char) for char in text)
