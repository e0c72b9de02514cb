"""Every sample becomes the sightings that the table states, field by field, its times moved to five minutes ago."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ingest.enrich import enrich
from ingest.formats import table
from ingest.formats.read import Read
from ingest.intake import decide
from schemas.cameras import Camera
from schemas.detections import Detection, event_id
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from schemas.vocabulary import words
from tests.support import samples
from tests.support.cameras import camera
from tests.unit.ingest.formats.sightings import SEEN, reads, stated
from tests.unit.ingest.formats.test_samples import plain

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
BOSTON: Final = camera("boston-1")[0]


class OneCamera:
    """A registry of one."""

    def get(self, _: str) -> Camera:
        """Return it."""
        return BOSTON


def become(name: str) -> list[tuple[Detection, Sighting]]:
    """Return a sample's detections and sightings, its first read five minutes old."""
    by = NOW - timedelta(minutes=5) - reads(name)[0].claimed_at.replace(microsecond=0)
    found = []
    format_ = name.partition("/")[0]
    for read in table.PARSERS[format_](samples.message(name, samples.moved(name, by))):
        if isinstance(read, Read):
            detection = decide(
                read, format_=format_, camera=BOSTON, received_at=NOW, rules=OwnerRules(), future_limit_s=300
            )
            assert isinstance(detection, Detection)
            [sighting] = enrich(OneCamera(), OwnerRules(), NOW, [detection])
            assert isinstance(sighting, Sighting)
            found.append((detection, sighting))
    return found


def test_every_sample_with_a_read_is_in_the_table() -> None:
    assert sorted(SEEN) == [name for name in samples.NAMES if reads(name)]


@pytest.mark.parametrize("name", SEEN)
def test_a_sample_becomes_the_sightings_that_were_written_down(name: str) -> None:
    found = become(name)
    assert len(found) == len(SEEN[name]) == len(reads(name))
    by = NOW - timedelta(minutes=5) - reads(name)[0].claimed_at.replace(microsecond=0)
    for (detection, made), seen, read in zip(found, SEEN[name], reads(name), strict=True):
        assert fields(made) == fields(stated(seen, read, made, BOSTON))
        assert made.captured_at == read.claimed_at + by
        assert (made.received_at, made.pass_id) == (NOW, detection.event_id)
        assert made.skew_s == pytest.approx((NOW - read.claimed_at - by).total_seconds())


def fields(sighting: Sighting) -> Any:
    return plain(msgspec.to_builtins(sighting))


@pytest.mark.parametrize("name", SEEN)
def test_a_sample_as_it_is_has_the_id_of_the_key_that_was_written_down(name: str) -> None:
    format_ = name.partition("/")[0]
    for read, outcome in zip(
        reads(name),
        (one for one in table.PARSERS[format_](samples.payload(name)) if isinstance(one, Read)),
        strict=True,
    ):
        made = decide(
            outcome,
            format_=format_,
            camera=BOSTON,
            received_at=read.claimed_at,
            rules=OwnerRules(),
            future_limit_s=300,
        )
        assert isinstance(made, Detection)
        assert made.event_id == event_id("boston-1", read.key)


def test_the_words_that_were_written_down_are_in_the_closed_lists() -> None:
    for seen in (one for some in SEEN.values() for one in some):
        for word, listed in ((seen.make, words("make")), (seen.colour, words("colour")), (seen.body, words("body"))):
            assert word is None or listed[word[0]].ncic == word[1]


RECORDED: Final = Path(__file__).parent / "recorded.sha256"


def test_the_samples_that_were_recorded_are_as_they_were() -> None:
    """What is built by hand may be changed; what a camera sent may not."""
    lines = [line.split() for line in RECORDED.read_text().splitlines()]
    assert len(lines) == 8
    for digest, name in lines:
        assert hashlib.sha256(samples.body(name)).hexdigest() == digest, name
