"""However the stream is cut into batches, repeated, or interrupted, the index ends with the same rows."""

import asyncio
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import stage as stages
from ingest.adapters.memory import InMemory, MemoryRegistry
from ingest.adapters.memory_batches import MemoryIndex, MemorySink, MemorySource, MemoryTopic
from ingest.enrich import Outcome, enrich
from ingest.ports import Fetched, Kept
from ingest.rows import Row, rows
from ingest.stage import Stage, Work, as_it_is
from ingest.voting import Voting
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.detections import Attribute, Candidate, Detection, event_id
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from tests.support.cameras import camera
from tests.support.detections import NOW, detection, sighting

PARTITIONS = 2


@pytest.fixture(scope="module", autouse=True)
def small_slices() -> Iterator[None]:
    """Cut batches within, too: none is as long here as a slice is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "SLICE", 3)
        yield


class Killed(BaseException):
    """The worker ended without any of its own code running."""


class Mortal(MemorySource):
    """A source whose worker is killed at chosen commits: after the write, before the offsets move."""

    def __init__(self, topic: MemoryTopic, max_records: int, survives: bool) -> None:
        super().__init__(topic, max_records)
        self.survives = survives

    async def commit(self, fetched: Fetched, kept: Mapping[tuple[str, int], Kept]) -> bool:
        if not self.survives:
            raise Killed
        return await super().commit(fetched, kept)


messages = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40)
lives = st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12)


def build(said: Sequence[tuple[int, int]]) -> list[Sighting]:
    return [sighting(number, revision=revision, skew_s=float(revision)) for number, revision in said]


def naive(items: Sequence[Sighting]) -> dict[tuple[object, ...], Row]:
    """The rule in the plainest words: of each key, the highest revision."""
    best: dict[tuple[object, ...], Row] = {}
    for row in rows(items):
        if row.key not in best or row.revision > best[row.key].revision:
            best[row.key] = row
    return best


Worker = Callable[[MemorySource], Stage[Any, Any, Any]]


async def live(topic: MemoryTopic, worker: Worker, life: tuple[int, bool]) -> None:
    """Run one worker for one batch, or until it is killed at its first commit."""
    size, survives = life
    stage = worker(Mortal(topic, size, survives))
    before = topic.lag()
    stop = asyncio.Event()
    running = asyncio.create_task(stage.run(stop))
    while before and topic.lag() == before and not running.done():  # noqa: ASYNC110 - offsets have no event
        await asyncio.sleep(0)
    stop.set()
    await asyncio.wait([running])
    if running.exception() is not None and not isinstance(running.exception(), Killed):
        running.result()


async def work_off(items: Sequence[Sighting], plan: Sequence[tuple[int, bool]]) -> MemoryIndex:
    topic, index = MemoryTopic("sightings", PARTITIONS), MemoryIndex()
    letters: MemorySink[DeadLetter] = MemorySink()
    for item in items:
        topic.put(wire.encode(item), partition=hash(item.plate_key) % PARTITIONS)

    def indexer(source: MemorySource) -> Stage[Sighting, Row, Row]:
        work = Work(name="indexer", decode=partial(wire.decode, shape=Sighting), function=rows, form=as_it_is)
        return Stage(source, work, index, letters)

    await drain(topic, indexer, plan)
    assert letters.items == []
    return index


async def drain(topic: MemoryTopic, worker: Worker, plan: Sequence[tuple[int, bool]]) -> None:
    """Let workers live and die as planned, then others until everything is written."""
    for life in plan:
        await live(topic, worker, life)
    while topic.lag():
        await live(topic, worker, (1000, True))


@settings(max_examples=60, deadline=None)
@given(said=messages, plan=lives)
def test_any_cut_and_any_kill_end_in_the_same_rows(said: list[tuple[int, int]], plan: list[tuple[int, bool]]) -> None:
    items = build(said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        index = asyncio.run(work_off(items, plan))
    assert index.rows == naive(items)


@settings(max_examples=60, deadline=None)
@given(said=messages, again=st.data())
def test_any_replay_ends_in_the_same_rows(said: list[tuple[int, int]], again: st.DataObject) -> None:
    items = build(said)
    repeated = items + again.draw(st.lists(st.sampled_from(items), max_size=20)) if items else items
    shuffled = again.draw(st.permutations(repeated))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        index = asyncio.run(work_off(shuffled, []))
    assert index.rows == naive(items)


class Straight:
    """A sink that indexes at once what the enricher writes."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index

    async def write(self, items: Sequence[Sighting]) -> None:
        await self.index.write(rows(items))


async def enrich_all(items: Sequence[Detection], plan: Sequence[tuple[int, bool]]) -> MemoryIndex:
    topic, index = MemoryTopic("detections", PARTITIONS), MemoryIndex()
    letters: MemorySink[DeadLetter] = MemorySink()
    cameras = MemoryRegistry([camera("cam-0")[0], camera("cam-1")[0]])
    for at_s, item in enumerate(items):
        topic.put(wire.encode(item), partition=int(item.camera_id[-1]), timestamp=7_000 * at_s)

    def function(batch: Sequence[Detection]) -> list[Outcome]:
        return enrich(cameras, OwnerRules(), NOW, batch)

    def enricher(source: MemorySource) -> Stage[Detection, Sighting, Sighting]:
        return Stage(
            source,
            Work(
                name="enricher",
                decode=partial(wire.decode, shape=Detection),
                function=function,
                form=as_it_is,
                memory=Voting(30.0),
            ),
            Straight(index),
            letters,
        )

    await drain(topic, enricher, plan)
    assert letters.items == []
    return index


frames = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.floats(0.5, 1.0)), max_size=30)


def build_frames(said: Sequence[tuple[int, int, float]]) -> list[Detection]:
    """Frames of three vehicles at two cameras: a frame is doubted in one letter, which a vote may change."""
    return [
        detection(
            number,
            camera_id=f"cam-{where}",
            event_id=event_id(f"cam-{where}", str(number)),
            captured_at=NOW + timedelta(seconds=7 * number),
            plate_raw=("XYC3471", "XYC3477", "QRS8210")[which],
            plate_confidence=confidence,
            candidates=(Candidate(plate="XYC3477", confidence=confidence * 0.9),),
            colour=Attribute(value="red"),
        )
        for number, (where, which, confidence) in enumerate(said)
    ]


@settings(max_examples=60, deadline=None)
@given(said=frames, plan=lives)
def test_any_cut_and_any_kill_of_the_enricher_end_in_the_same_rows(
    said: list[tuple[int, int, float]], plan: list[tuple[int, bool]]
) -> None:
    items = build_frames(said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        assert asyncio.run(enrich_all(items, plan)).rows == asyncio.run(enrich_all(items, [])).rows


def test_the_frames_are_worth_cutting() -> None:
    """They make passes of several reads, and graves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        made = asyncio.run(enrich_all(build_frames([(0, 0, 0.6), (0, 1, 0.95), (0, 1, 0.9)]), []))
    assert sorted(row.revision for row in made.rows.values()) == [1, 2]


def test_the_rule_is_worth_testing() -> None:
    """An index that takes the last row instead of the highest revision fails the property."""

    class LastWins(MemoryIndex):
        async def write(self, items: Sequence[Row]) -> None:
            self.rows.update({row.key: row for row in items})

    items = build([(0, 1), (0, 0)])
    with pytest.warns(InMemory):
        wrong = LastWins()
    asyncio.run(wrong.write(rows(items)))
    assert wrong.rows != naive(items)
