"""What a sink does with items that are too large, in memory and on Apache Kafka: the rest is written."""

from collections.abc import AsyncIterator

import pytest

from ingest import deadletter
from ingest.adapters.kafka import BATCH_BYTES
from ingest.adapters.sinks import TopicSink
from ingest.errors import Oversized
from schemas import topics, wire
from schemas.deadletters import DeadLetter
from tests.support.detections import NOW, detection
from tests.support.publishing import Subject, publishing

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")

HUGE = "X" * topics.load(topics.DEAD_LETTERS).max_message_bytes


@pytest.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with publishing(request, topics.DEAD_LETTERS) as made:
        yield made


@pytest.mark.parametrize("places", [(0,), (2, 5), (9,), tuple(range(10))])
async def test_those_that_are_too_large_are_named_and_the_rest_is_written(
    subject: Subject, places: tuple[int, ...]
) -> None:
    sink: TopicSink[DeadLetter] = TopicSink(subject.publisher, topics.DEAD_LETTERS, deadletter.key)
    reads = [detection(number, plate_raw=HUGE if number in places else "ABC") for number in range(10)]
    items = [deadletter.of_detection("enricher", "poisoned", read, NOW) for read in reads]
    with pytest.raises(Oversized) as error:
        await sink.write(items)
    assert error.value.places == places
    assert "XX" not in str(error.value)
    fitting = [wire.encode(item) for number, item in enumerate(items) if number not in places]
    assert sorted(value for _, value in await subject.read()) == sorted(fitting)


def test_a_letter_that_was_shortened_fits_whatever_it_held() -> None:
    huge = detection(0, camera_id="c" * BATCH_BYTES, format="f" * BATCH_BYTES, plate_raw=HUGE)
    for letter in (
        deadletter.of_detection("enricher", "too_large", huge, NOW),
        DeadLetter(letter_id=huge.event_id, stage="indexer", reason="poisoned", at=NOW, camera_id=huge.camera_id),
    ):
        short = deadletter.shortened(letter)
        assert len(deadletter.key(short)) + len(wire.encode(short)) < 1000
        assert (short.letter_id, short.stage, short.reason, short.at) == (
            letter.letter_id, letter.stage, letter.reason, letter.at,
        )  # fmt: skip
    own = deadletter.of_detection("enricher", "too_large", detection(0), NOW)
    short = deadletter.shortened(own)
    assert (short.camera_id, short.format, short.detection) == (own.camera_id, own.format, None)
    assert short.size_bytes == len(wire.encode(detection(0)))
