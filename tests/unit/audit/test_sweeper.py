"""The sweeper on a log in memory."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.entries import Entry
from search.audit import sweeper as module
from search.audit.adapters.memory import MemoryLog, MemoryReader, MemoryTables
from search.audit.errors import LogUnavailable
from search.audit.sweeper import Sweeper


class Scene:
    """A log whose clock a test moves, and a sweeper that ends what is open for 300 s."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.log = MemoryLog(MemoryTables(lambda: self.now))
        self.sweeper = Sweeper(self.log, MemoryReader(self.log.tables), 300.0, lambda: self.now)

    async def ask(self, agency: str = "aurora-pd") -> int:
        return (await self.log.append(Entry(kind="intent", public={"agency": agency}))).index

    async def end(self, index: int) -> None:
        await self.log.append(Entry(kind="outcome", public={}, ends=index))

    def abandoned(self) -> list[int | None]:
        return [entry.ends for entry in self.log.entries if entry.kind == "abandoned"]


async def test_it_ends_the_old_and_leaves_the_young_and_the_ended() -> None:
    scene = Scene()
    old, ended = await scene.ask(), await scene.ask()
    page = (await scene.log.append(Entry(kind="page", public={"intent": old, "agency": "boulder-so"}))).index
    await scene.end(ended)
    scene.now += timedelta(seconds=200)
    young = await scene.ask()
    assert await scene.sweeper.sweep() == 0
    scene.now += timedelta(seconds=200)
    assert await scene.sweeper.sweep() == 2
    assert scene.abandoned() == [old, page]
    assert [entry.public["agency"] for entry in scene.log.entries if entry.kind == "abandoned"] == [
        "aurora-pd",
        "boulder-so",
    ]
    scene.now += timedelta(seconds=200)
    assert await scene.sweeper.sweep() == 1
    assert scene.abandoned()[-1] == young
    assert await scene.sweeper.sweep() == 0


async def test_it_finds_what_comes_later_though_it_does_not_look_twice() -> None:
    scene = Scene()
    for round_number in range(4):
        asked = await scene.ask()
        kept = await scene.ask()
        scene.now += timedelta(seconds=301)
        await scene.end(kept)
        assert await scene.sweeper.sweep() == 1, round_number
        assert scene.abandoned()[-1] == asked


async def test_it_ends_more_than_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    scene = Scene()
    for _ in range(10):
        await scene.ask()
    scene.now += timedelta(seconds=301)
    await scene.ask()
    assert await scene.sweeper.sweep() == 10
    scene.now += timedelta(seconds=301)
    assert await scene.sweeper.sweep() == 1


async def test_an_outage_is_told_and_what_was_missed_is_swept_later() -> None:
    scene = Scene()
    await scene.ask()
    scene.now += timedelta(seconds=301)
    scene.log.tables.down = True
    with pytest.raises(LogUnavailable):
        await scene.sweeper.sweep()
    scene.log.tables.down = False
    assert await scene.sweeper.sweep() == 1
