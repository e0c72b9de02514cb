"""However the stream is cut into batches, repeated, or interrupted, the index ends with the same rows."""

import asyncio
import warnings
from collections.abc import Mapping, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemoryIndex, MemorySink, MemorySource, MemoryTopic
from ingest.ports import Fetched, Kept
from ingest.rows import Row, rows
from ingest.stage import Stage, Work
from schemas import wire
from schemas.deadletters import DeadLetter
from schemas.sightings import Sighting
from tests.support.detections import sighting

PARTITIONS = 2


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


async def live(topic: MemoryTopic, index: MemoryIndex, letters: MemorySink[DeadLetter], life: tuple[int, bool]) -> None:
    """Run one worker for one batch, or until it is killed at its first commit."""
    size, survives = life
    source = Mortal(topic, size, survives)
    work = Work(name="indexer", decode=partial(wire.decode, shape=Sighting), function=rows)
    stage = Stage(source, work, index, letters)
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
    for life in plan:
        await live(topic, index, letters, life)
    while topic.lag():
        await live(topic, index, letters, (1000, True))
    assert letters.items == []
    return index


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
