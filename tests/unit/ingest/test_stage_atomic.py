"""A stage that writes and commits in one: what it says of idle partitions, and which trace each item goes out with."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingest.errors import Oversized, Unavailable
from ingest.ports import Message, Observer, Place, Trace
from ingest.voting import Voting
from schemas import wire
from schemas.deadletters import DeadLetter
from tests.support.detections import detection
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


async def run_until(rig: Rig, reached: Callable[[], bool]) -> None:
    """Run the stage until something is reached, or it ends by itself; then tell it to end."""
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: reached() or running.done())
    rig.stop.set()
    await running


async def idle_without_a_message(rig: Rig) -> None:
    """Run until the stage has worked off that a partition is idle."""
    rig.source.idle_s = {("detections", 1): 61.0}
    await run_until(rig, lambda: not rig.source.idle_s)


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


class Traced:
    """A `Trace` of one message; what it sends on names the message."""

    def __init__(self, message: Message) -> None:
        self.header = message.value or b""

    def end(self, fates: Mapping[str, int]) -> None:
        assert sum(fates.values()) == 1


class Tracing(Observer):
    """Traces two of three messages."""

    def traced(self, messages: Sequence[Message]) -> Mapping[int, Trace]:
        return {at: Traced(message) for at, message in enumerate(messages) if at % 3}


class Recording(Together):
    """One that finds the second item of each partition too large, and remembers what was written with which trace."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[bytes, bytes | None]] = []
        self.refused: set[Place] = set()

    async def write(self, place: Place, items: Sequence[Any], *more: Any) -> None:
        if place not in self.refused:
            self.refused.add(place)
            raise Oversized([1])
        await super().write(place, items, *more)
        traces = more[-1]
        self.written += [(wire.encode(item), traces.get(at)) for at, item in enumerate(items)]


class Away(Together):
    """One whose server is away when each partition is written, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left: defaultdict[Place, int] = defaultdict(lambda: times)

    async def write(self, place: Place, *more: Any) -> None:
        if self.left[place]:
            self.left[place] -= 1
            raise Unavailable("the broker is away")
        await super().write(place, *more)


class Waits(Observer):
    """Hears of outages."""

    def __init__(self) -> None:
        self.heard: list[bool] = []

    def waiting(self, *, begun: bool) -> None:
        self.heard.append(begun)


async def test_what_cannot_be_written_at_present_is_written_again_and_is_one_outage() -> None:
    waits = Waits()
    rig = Rig(observer=waits)
    rig.stage._atomic = away = Away(3)  # type: ignore[assignment]
    rig.put(*(detection(number) for number in range(20)))
    await run_until(rig, lambda: len(away.moved) == 2)
    assert sorted(place for place, _ in away.moved) == [("detections", 0), ("detections", 1)]
    assert waits.heard == [True, False]


async def test_a_worker_that_waits_for_a_transaction_ends_when_it_is_told_to() -> None:
    waits = Waits()
    rig = Rig(observer=waits)
    rig.stage._atomic = away = Away(1_000_000)  # type: ignore[assignment]
    rig.put(*(detection(number) for number in range(20)))
    await run_until(rig, lambda: bool(waits.heard))
    assert away.moved == []


async def test_what_is_made_of_a_message_goes_out_with_its_own_trace() -> None:
    """Of two partitions that lie mixed in a batch, and after something was left out."""
    rig = Rig(observer=Tracing())
    rig.stage._atomic = recording = Recording()  # type: ignore[assignment]
    rig.put(*(detection(number) for number in range(20)))
    await run_until(rig, lambda: len(recording.written) == 18)
    traced = [(item, header) for item, header in recording.written if header is not None]
    assert len(recording.written) == 18
    assert 10 <= len(traced) < 18
    assert all(item == header for item, header in traced)


class AwayAndNarrow(Away):
    """One that is away twice, and then finds the first item too large."""

    def __init__(self) -> None:
        super().__init__(2)
        self.letters: list[DeadLetter] = []
        self.has_refused = False

    async def write(self, place: Place, items: Sequence[Any], letters: Sequence[DeadLetter], *more: Any) -> None:
        if not self.left[place] and not self.has_refused:
            self.has_refused = True
            raise Oversized([0])
        await super().write(place, items, letters, *more)
        self.letters += letters


async def test_an_outage_is_over_when_the_broker_that_comes_back_finds_something_too_large() -> None:
    waits = Waits()
    rig = Rig(observer=waits)
    rig.stage._atomic = atomic = AwayAndNarrow()  # type: ignore[assignment]
    rig.put(detection())
    await run_until(rig, lambda: bool(atomic.moved))
    assert [letter.reason for letter in atomic.letters] == ["too_large"]
    assert waits.heard == [True, False]
