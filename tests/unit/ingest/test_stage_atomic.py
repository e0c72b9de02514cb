"""A stage that writes and commits in one: what it says of partitions of which nothing was read."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ingest.ports import Place
from ingest.voting import Voting
from schemas.deadletters import DeadLetter
from tests.unit.ingest.test_stage import Rig, spin_until


class Together:
    """An `Atomic` that remembers which offsets were moved."""

    def __init__(self) -> None:
        self.moved: list[tuple[Place, int]] = []

    async def write(
        self,
        place: Place,
        items: Sequence[Any],
        letters: Sequence[DeadLetter],
        offset: int,
        beside: str,
        traces: Mapping[int, bytes],
    ) -> None:
        self.moved.append((place, offset))


async def idle_without_a_message(rig: Rig) -> None:
    """Run until the stage has worked off that a partition is idle."""
    rig.source.idle_s = {("detections", 1): 61.0}
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: not rig.source.idle_s or running.done())
    rig.stop.set()
    await running


async def test_an_idle_partition_of_which_nothing_was_read_moves_no_offset() -> None:
    """It was taken over from another worker, which had read it to its end."""
    rig = Rig(memory=Voting(30.0))
    rig.stage._atomic = together = Together()  # type: ignore[assignment]
    await idle_without_a_message(rig)
    assert together.moved == []


async def test_no_more_does_it_where_sink_and_offsets_are_apart() -> None:
    rig = Rig(memory=Voting(30.0))
    rig.topic.committed[1] = 7
    await idle_without_a_message(rig)
    assert rig.topic.committed == [0, 7]
