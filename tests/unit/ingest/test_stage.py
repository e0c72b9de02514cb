"""The runner of batch stages: what it does with each message, and when it moves the offsets."""

import asyncio
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingest import runner
from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemorySink, MemorySource, MemoryTopic
from ingest.errors import Misconfigured, NotYet, Oversized, Unavailable, Unwritable
from ingest.ports import UNOBSERVED, Fetched, Kept, Observer, Step
from ingest.stage import Limits, Stage, Work, as_it_is
from schemas import wire
from schemas.deadletters import DeadLetter, Reason
from schemas.detections import Detection
from schemas.offsets import Written
from tests.support.detections import NOW, detection

SOON = Limits(outage_s=0.2, first_wait_s=0.001, longest_wait_s=0.01, failures=5)
Function = Callable[[Sequence[Detection]], Sequence[Detection | DeadLetter | None]]


async def spin_until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it is so: nothing here waits for time to pass."""
    while not condition():  # noqa: ASYNC110 - what is watched has no event, and must not need one for a test
        await asyncio.sleep(0)


class Rig:
    """A stage on a topic in memory."""

    def __init__(
        self,
        function: Function = list,
        *,
        limits: Limits = SOON,
        max_records: int = 100,
        state: Any = None,
        observer: Observer = UNOBSERVED,
        memory: Any = None,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InMemory)
            self.topic = MemoryTopic("detections", partitions=2)
            self.sink: MemorySink[Detection] = MemorySink()
            self.letters: MemorySink[DeadLetter] = MemorySink()
        self.source = MemorySource(self.topic, max_records)
        self.stop = asyncio.Event()
        self.stage = Stage(
            self.source,
            Work(
                name="enricher",
                decode=partial(wire.decode, shape=Detection),
                function=function,
                form=as_it_is,
                memory=memory,
            ),
            self.sink,
            self.letters,
            state=state,
            limits=limits,
            observer=observer,
            clock=lambda: NOW,
        )

    def put(self, *items: Detection | bytes) -> None:
        for number, item in enumerate(items):
            self.topic.put(item if isinstance(item, bytes) else wire.encode(item), partition=number % 2)

    async def drain(self) -> None:
        """Run until everything is committed, then stop."""
        running = asyncio.create_task(self.stage.run(self.stop))
        await spin_until(lambda: not self.topic.lag() or running.done())
        self.stop.set()
        await running


async def test_every_message_is_written_once_and_then_committed() -> None:
    rig = Rig(max_records=7)
    items = [detection(number) for number in range(50)]
    rig.put(*items)
    await rig.drain()
    assert sorted(rig.sink.items, key=lambda item: item.captured_at) == items
    assert rig.letters.items == []
    assert (rig.stage.counts.fetched, rig.stage.counts.written) == (50, 50)


async def test_nothing_is_committed_before_the_write_is_acknowledged() -> None:
    rig = Rig()
    rig.put(detection())
    entered, acknowledge = asyncio.Event(), asyncio.Event()

    class Slow(MemorySink[Detection]):
        async def write(self, items: Sequence[Detection]) -> None:
            entered.set()
            await acknowledge.wait()
            await super().write(items)

    with pytest.warns(InMemory):
        slow = Slow()
    rig.stage._sink = slow
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await entered.wait()
    rig.stop.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert rig.topic.lag() == 1
    assert not running.done(), "it stops only after the batch at hand"
    acknowledge.set()
    await running
    assert rig.topic.lag() == 0
    assert slow.items == [detection()]


async def test_a_kill_between_write_and_commit_does_the_batch_again_and_loses_nothing() -> None:
    rig = Rig()
    rig.put(detection(0), detection(1))

    async def killed(fetched: object, kept: object) -> bool:
        raise asyncio.CancelledError

    rig.source.commit = killed  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await rig.stage.run(rig.stop)
    assert rig.topic.lag() == 2
    after = Rig()
    after.topic, after.source = rig.topic, MemorySource(rig.topic)
    after.stage._source, after.stage._parts = after.source, (after.source,)
    await after.drain()
    assert after.sink.items == rig.sink.items == [detection(0), detection(1)]


async def test_what_is_no_message_becomes_a_dead_letter_without_its_bytes() -> None:
    rig = Rig()
    rig.put(detection(0), b'{"v":1,"driver":"planted"}', detection(1), b"\xff", b'{"v":99}')
    rig.topic.put(None)
    await rig.drain()
    assert len(rig.sink.items) == 2
    assert {letter.reason for letter in rig.letters.items} == {"undecodable"}
    assert sorted(letter.size_bytes or 0 for letter in rig.letters.items) == [0, 1, 8, 26]
    assert all(letter.detection is None and letter.camera_id is None for letter in rig.letters.items)
    assert len({letter.letter_id for letter in rig.letters.items}) == 4
    assert b"planted" not in b"".join(wire.encode(letter) for letter in rig.letters.items)


def raise_on(numbers: set[int]) -> Function:
    poison = {detection(number).event_id for number in numbers}

    def function(batch: Sequence[Detection]) -> Sequence[Detection]:
        if any(item.event_id in poison for item in batch):
            raise KeyError("planted")
        return batch

    return function


@pytest.mark.parametrize("poison", [{0}, {49}, {3, 4, 30}, {1, 11, 21, 31}])
async def test_a_message_on_which_the_function_raises_stands_alone(poison: set[int]) -> None:
    rig = Rig(raise_on(poison))
    rig.put(*(detection(number) for number in range(50)))
    with capture_logs() as logs:
        await rig.drain()
    assert {letter.camera_id for letter in rig.letters.items} == {"cam-1"}
    assert [letter.reason for letter in rig.letters.items] == ["poisoned"] * len(poison)
    assert {letter.detection for letter in rig.letters.items} == {detection(number) for number in poison}
    assert len(rig.sink.items) == 50 - len(poison)
    [line] = [line for line in logs if line["event"] == "poisoned"]
    assert line["errors"] == {"KeyError": len(poison)}
    assert "planted" not in str(logs)


async def test_too_many_failures_in_a_row_end_the_worker_with_nothing_committed() -> None:
    rig = Rig(max_records=6)
    rig.put(*[b"no message"] * 12)
    with pytest.raises(Exception, match="more than 5 messages in a row"):
        await rig.drain()
    assert rig.topic.lag() == 12
    assert rig.letters.items == []


async def test_failures_are_counted_in_a_row_over_batches() -> None:
    rig = Rig(max_records=1)
    for value in [b"no message"] * 5 + [wire.encode(detection())] + [b"no message"] * 5:
        rig.topic.put(value)
    await rig.drain()
    assert len(rig.letters.items) == 10
    for _ in range(6):
        rig.topic.put(b"no message")
    rig.stop.clear()
    with pytest.raises(Exception, match="in a row"):
        await rig.drain()


async def test_more_than_half_of_the_last_messages_end_the_worker_too() -> None:
    rig = Rig(limits=replace(SOON, failure_window=10), max_records=5)
    good, bad = wire.encode(detection()), b"no message"
    for value in [bad, good] * 10:  # half of them, however long: no end
        rig.topic.put(value)
    await rig.drain()
    assert len(rig.letters.items) == 10
    for value in [bad, bad, good] * 5:
        rig.topic.put(value)
    rig.stop.clear()
    with pytest.raises(Exception, match="more than half of 10 messages"):
        await rig.drain()
    assert rig.topic.lag() == 15, "of the batch in which it was noticed nothing is committed"


async def test_a_dropped_read_leaves_a_count_and_nothing_else() -> None:
    rig = Rig(lambda batch: [None for _ in batch])
    rig.put(detection(0), detection(1))
    with capture_logs() as logs:
        await rig.drain()
    assert (rig.sink.items, rig.letters.items, rig.stage.counts.dropped) == ([], [], 2)
    assert str(detection(0).event_id) not in str(logs)
    assert "ABC" not in str(logs)


async def test_an_outage_is_waited_for_and_nothing_is_committed_meanwhile() -> None:
    rig = Rig(limits=Limits(outage_s=60, first_wait_s=0.001, longest_wait_s=0.002))
    rig.put(detection())
    rig.sink.failing = 5
    running = asyncio.create_task(rig.stage.run(rig.stop))
    while rig.sink.failing:
        assert rig.topic.lag() == 1
        await asyncio.sleep(0)
    await spin_until(lambda: not rig.topic.lag())
    rig.stop.set()
    await running
    assert rig.sink.items == [detection()]
    assert rig.sink.writes == 6


async def test_an_outage_that_lasts_ends_the_worker() -> None:
    rig = Rig()
    rig.put(detection())
    rig.sink.failing = 10**9
    with pytest.raises(Unavailable):
        await rig.drain()
    assert rig.topic.lag() == 1


async def test_it_can_be_stopped_in_an_outage() -> None:
    rig = Rig(limits=Limits(outage_s=10**9, first_wait_s=10**9))
    rig.put(detection())
    rig.sink.failing = 10**9
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.sink.writes > 0)
    rig.stop.set()
    await running
    assert rig.topic.lag() == 1


@pytest.mark.parametrize("doing", ["start", "fetch"])
async def test_it_can_be_stopped_while_it_waits_for_what_does_not_come(
    monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    monkeypatch.setattr(runner, "LAST_S", 0.01)
    rig = Rig()
    begun, called_off = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            called_off.set()

    setattr(rig.stage._source, doing, endless)
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await begun.wait()
    rig.stop.set()
    async with asyncio.timeout(10):
        await running
    assert called_off.is_set()


async def test_what_comes_in_the_moment_in_which_it_is_told_to_end_is_done() -> None:
    rig = Rig()
    rig.put(detection())
    fetch = rig.stage._source.fetch

    async def late() -> Fetched:
        rig.stop.set()
        await asyncio.sleep(0.01)
        return await fetch()

    rig.stage._source.fetch = late  # type: ignore[method-assign]
    await rig.stage.run(rig.stop)
    assert rig.topic.lag() == 0


def silent(rig: Rig, times: int) -> None:
    """Let the source say so many times that it cannot tell yet what comes next."""
    fetch = rig.stage._source.fetch

    async def not_yet() -> Fetched:
        nonlocal times
        if times:
            times -= 1
            raise NotYet("nobody says what was written")
        return await fetch()

    rig.stage._source.fetch = not_yet  # type: ignore[method-assign]


async def test_a_source_that_cannot_tell_yet_is_an_outage_and_is_asked_again() -> None:
    heard = Heard()
    rig = Rig(observer=heard)
    silent(rig, 3)
    rig.put(detection())
    with capture_logs() as logs:
        await rig.drain()
    assert rig.topic.lag() == 0
    assert heard.calls[:3] == [("waiting", True), ("waiting", False), ("fetched", 1)]
    assert [line["event"] for line in logs if line["event"] in {"waiting", "back"}] == ["waiting", "back"]


async def test_a_source_that_never_tells_ends_the_worker_once_the_outage_has_lasted() -> None:
    rig = Rig()
    silent(rig, 1_000_000)
    with pytest.raises(NotYet, match="what was written"):
        await rig.stage.run(rig.stop)


async def test_a_worker_that_is_told_to_end_does_not_wait_for_a_source_that_cannot_tell() -> None:
    rig = Rig()
    silent(rig, 1_000_000)
    asyncio.get_running_loop().call_later(0.01, rig.stop.set)
    await rig.stage.run(rig.stop)


async def test_an_error_that_nobody_expected_ends_the_worker() -> None:
    rig = Rig()
    rig.put(detection())

    class Broken(MemorySink[Detection]):
        async def write(self, items: Sequence[Detection]) -> None:
            raise ZeroDivisionError

    with pytest.warns(InMemory):
        rig.stage._sink = Broken()
    with pytest.raises(ZeroDivisionError):
        await rig.drain()
    assert rig.topic.lag() == 1


async def test_a_batch_of_lost_partitions_is_not_written() -> None:
    rig = Rig()
    rig.put(detection())
    fetched = await _started(rig.source)
    await rig.source.rebalance()
    async with rig.source.holding(fetched) as ours:
        assert not ours
    await rig.drain()
    assert rig.sink.items == [detection()], "it was fetched again, and written once"


async def test_partitions_are_given_up_between_batches_only() -> None:
    rig = Rig()
    rig.put(detection())
    fetched = await _started(rig.source)
    async with rig.source.holding(fetched) as ours:
        assert ours
        leaving = asyncio.create_task(rig.source.rebalance())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not leaving.done()
        assert await rig.source.commit(fetched, {})
    await leaving
    assert rig.topic.lag() == 0


async def test_a_refused_commit_is_no_error_and_counts_nothing() -> None:
    rig = Rig()
    rig.put(detection())
    commit = rig.source.commit
    refused: list[Fetched] = []

    async def refuse_once(fetched: Fetched, kept: Mapping[tuple[str, int], Kept]) -> bool:
        if refused:
            return await commit(fetched, kept)
        refused.append(fetched)
        await rig.source.start()  # positions go back, as after a rebalance
        return False

    rig.source.commit = refuse_once  # type: ignore[method-assign]
    await rig.drain()
    assert rig.sink.items == [detection(), detection()]
    assert rig.stage.counts.written == 1


@pytest.mark.parametrize(("accepted_after", "ends"), [(3, False), (4, True)])
async def test_a_worker_whose_commits_are_refused_for_ever_ends(accepted_after: int, ends: bool) -> None:
    rig = Rig(limits=replace(SOON, refusals=4))
    rig.put(detection())
    commit = rig.source.commit
    refused = 0

    async def refuse(fetched: Fetched, kept: Mapping[tuple[str, int], Kept]) -> bool:
        nonlocal refused
        if refused == accepted_after:
            refused = 0
            return await commit(fetched, kept)
        refused += 1
        await rig.source.start()  # another worker took the partitions, and we take them back
        return False

    rig.source.commit = refuse  # type: ignore[method-assign]
    if ends:
        with pytest.raises(Misconfigured, match="PLATETRAIL_INSTANCE"):
            await rig.drain()
        return
    await rig.drain()
    rig.stop.clear()
    rig.put(detection(1))
    await rig.drain()  # what was refused before a commit was taken counts no more
    assert rig.topic.lag() == 0


class Gated(MemorySink[Detection]):
    """A sink whose writes wait until they are let through, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = 0
        self._let = asyncio.Semaphore(0)

    async def write(self, items: Sequence[Detection]) -> None:
        self.entered += 1
        await self._let.acquire()
        await super().write(items)

    def let(self) -> None:
        self._let.release()


class Offsets:
    """A memory that remembers how far it was advanced, and says so."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, int], int] = {}
        self.resumed: list[Mapping[tuple[str, int], Written]] = []

    def resume(self, written: Mapping[tuple[str, int], Written]) -> None:
        self.resumed.append(written)
        self.done = {}

    def advance(self, messages: Sequence[Any], items: Sequence[Any], outcomes: Sequence[Any]) -> list[Any]:
        self.done |= {(message.topic, message.partition): message.offset + 1 for message in messages}
        return [() if outcome is None else (outcome,) for outcome in outcomes]

    def kept(self, places: Any, idle_s: Any) -> dict[tuple[str, int], Kept]:
        return {place: (0, Written(done=self.done[place])) for place in places}


def two_under_way(memory: Offsets | None = None) -> tuple[Rig, Gated]:
    """Return a stage that reads four messages one by one, and the gate before its sink."""
    rig = Rig(max_records=1, memory=memory)
    with pytest.warns(InMemory):
        gate = Gated()
    rig.sink = rig.stage._sink = gate
    for number in range(4):
        rig.topic.put(wire.encode(detection(number)))
    return rig, gate


async def test_the_next_batch_is_worked_out_while_one_is_written_and_no_further_one_is_fetched() -> None:
    rig, gate = two_under_way()
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.fetched == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (rig.stage.counts.fetched, gate.entered, rig.topic.lag()) == (2, 1, 4)
    for done in range(1, 5):
        gate.let()
        await spin_until(lambda done=done: rig.topic.lag() == 4 - done)  # type: ignore[misc]
        assert rig.sink.items == [detection(number) for number in range(done)]
    rig.stop.set()
    await running


async def test_both_batches_are_finished_before_it_stops() -> None:
    rig, gate = two_under_way()
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.fetched == 2)
    rig.stop.set()
    gate.let()
    gate.let()
    await running
    assert rig.topic.lag() == 2
    assert rig.sink.items == [detection(0), detection(1)]


async def test_a_batch_that_fails_leaves_the_one_behind_it_unwritten() -> None:
    rig, gate = two_under_way()
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.fetched == 2)

    async def fail(fetched: object, kept: object) -> bool:
        raise ZeroDivisionError

    rig.source.commit = fail  # type: ignore[method-assign]
    gate.let()
    gate.let()
    with pytest.raises(ZeroDivisionError):
        await running
    assert rig.sink.items == [detection(0)]
    assert rig.topic.lag() == 4


async def test_an_error_in_working_out_a_batch_takes_nothing_from_the_one_before_it() -> None:
    rig, gate = two_under_way()
    rig.stage._work = replace(rig.stage._work, function=lambda batch: batch if batch == [detection(0)] else [])
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.fetched == 2)
    gate.let()
    with pytest.raises(AssertionError, match="one outcome for each item"):
        await running
    assert rig.sink.items == [detection(0)]
    assert rig.topic.lag() == 3


async def test_what_is_committed_of_a_batch_says_nothing_of_the_one_behind_it() -> None:
    memory = Offsets()
    rig, gate = two_under_way(memory)
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: memory.done == {("detections", 0): 2})
    gate.let()
    await spin_until(lambda: rig.topic.lag() < 4)
    assert rig.topic.written()[0] == Written(done=1)
    assert rig.sink.items == [detection(0)]
    running.cancel()
    await asyncio.wait({running})
    assert rig.topic.written()[0] == Written(done=1), "the second was fetched, worked out, and not written"


async def test_partitions_go_between_two_batches_and_the_second_is_done_anew() -> None:
    memory = Offsets()
    rig, gate = two_under_way(memory)
    running = asyncio.create_task(rig.stage.run(rig.stop))
    await spin_until(lambda: rig.stage.counts.fetched == 2)
    leaving = asyncio.create_task(rig.source.rebalance())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not leaving.done(), "a batch that is being written is finished first"
    gate.let()
    await leaving
    assert rig.topic.written()[0] == Written(done=1), "the second batch is not ours any more: it is not written"
    for _ in range(4):  # this memory has all of it read again
        gate.let()
    await spin_until(lambda: memory.done == {("detections", 0): 4} and not rig.topic.lag())
    rig.stop.set()
    await running
    assert len(memory.resumed) == 2, "what it had remembered of the second is forgotten"


class LaggingState:
    """State that learns of a camera when it is asked to catch up."""

    def __init__(self) -> None:
        self.known = False
        self.asked = 0

    async def caught_up(self) -> None:
        self.asked += 1
        self.known = True

    def function(self, batch: Sequence[Detection]) -> list[Detection | DeadLetter]:
        return [item if self.known else _unknown(item) for item in batch]


def _unknown(item: Detection) -> DeadLetter:
    return DeadLetter(letter_id=item.event_id, stage="enricher", reason="unknown_camera", at=NOW)


async def test_a_registry_that_lags_is_caught_up_before_a_camera_counts_as_unknown() -> None:
    state = LaggingState()
    rig = Rig(state.function, state=state)
    rig.put(detection(0), detection(1))
    await rig.drain()
    assert (len(rig.sink.items), rig.letters.items, state.asked) == (2, [], 1)


async def test_a_camera_that_stays_unknown_is_a_dead_letter() -> None:
    state = LaggingState()
    rig = Rig(lambda batch: [_unknown(item) for item in batch], state=state)
    rig.put(detection(0))
    await rig.drain()
    assert ([letter.reason for letter in rig.letters.items], state.asked) == (["unknown_camera"], 1)


async def test_parts_are_started_first_and_stopped_whatever_happens() -> None:
    seen: list[str] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        async def start(self) -> None:
            seen.append(f"start {self.name}")

        async def stop(self) -> None:
            seen.append(f"stop {self.name}")

    rig = Rig(raise_on(set()))
    rig.stage._parts = (Part("a"), Part("b"), rig.source)
    rig.put(*[b"no message"] * 6)
    with pytest.raises(Exception, match="in a row"):
        await rig.stage.run(rig.stop, lambda: seen.append("ready"))
    assert seen == ["start a", "start b", "ready", "stop b", "stop a"]


async def test_a_function_that_forgets_an_item_is_an_error() -> None:
    rig = Rig(lambda batch: batch[1:])
    rig.put(detection(0), detection(1))
    with pytest.raises(AssertionError, match="one outcome for each item"):
        await rig.drain()


class Narrow(MemorySink[Any]):
    """A sink that takes nothing whose plate, or letter of a detection whose plate, is too long for it."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.longest = longest

    async def write(self, items: Sequence[Any]) -> None:
        places = [at for at, item in enumerate(items) if self._is_too_long(item)]
        await super().write([item for at, item in enumerate(items) if at not in places])
        if places:
            raise Oversized(places)

    def _is_too_long(self, item: Any) -> bool:
        read = item.detection if isinstance(item, DeadLetter) else item
        return len("" if read is None else read.plate_raw or "") > self.longest


def narrowed(rig: Rig, *, items: int, letters: int) -> Rig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        rig.sink = rig.stage._sink = Narrow(items)
        rig.letters = rig.stage._letters = Narrow(letters)
    return rig


LONG = {3: "X" * 100, 11: "Y" * 100}


async def test_what_is_too_large_to_be_written_is_a_dead_letter_and_the_rest_is_written() -> None:
    rig = narrowed(Rig(), items=50, letters=1000)
    items = [detection(number, plate_raw=LONG.get(number, "ABC")) for number in range(20)]
    rig.put(*items, b"no message")
    with capture_logs() as logs:
        await rig.drain()
    assert sorted(rig.sink.items, key=lambda item: item.captured_at) == [
        item for number, item in enumerate(items) if number not in LONG
    ]
    assert sorted(letter.reason for letter in rig.letters.items) == ["too_large", "too_large", "undecodable"]
    assert {letter.detection for letter in rig.letters.items} == {items[3], items[11], None}
    assert (rig.stage.counts.written, rig.stage.counts.dead_letters) == (18, 3)
    assert [line["messages"] for line in logs if line["event"] == "too_large"] == [2]
    assert "XXX" not in str(logs)


class Choosy(Narrow):
    """One that refuses whatever it is given, too, while a plate in it has a certain mark."""

    def __init__(self, longest: int, mark: str) -> None:
        super().__init__(longest)
        self.mark = mark

    async def write(self, items: Sequence[Any]) -> None:
        if any(self.mark in (item.plate_raw or "") for item in items):
            raise Unwritable("a plate has the mark")
        await super().write(items)


async def test_of_one_batch_some_is_refused_and_some_too_large_and_the_rest_is_written_once() -> None:
    """Also what is both: it is refused, and has one letter."""
    rig = narrowed(Rig(), items=50, letters=1000)
    with pytest.warns(InMemory):
        rig.sink = rig.stage._sink = Choosy(50, "%")
    plates = {2: "%", 5: "X" * 100, 8: "%", 9: "%" * 100, 12: "Y" * 100, 19: "Z" * 100}
    items = [detection(number, plate_raw=plates.get(number, "ABC")) for number in range(20)]
    rig.put(*items)
    with capture_logs() as logs:
        await rig.drain()
    assert sorted(rig.sink.items, key=lambda item: item.captured_at) == [
        item for number, item in enumerate(items) if number not in plates
    ]
    reasons: dict[Reason, list[int]] = {"poisoned": [2, 8, 9], "too_large": [5, 12, 19]}
    assert {reason: sorted(_numbers(rig, items, reason)) for reason in reasons} == reasons
    assert len(rig.letters.items) == 6
    assert (rig.stage.counts.written, rig.stage.counts.dead_letters) == (14, 6)
    said = [(line["event"], line["messages"]) for line in logs if line["log_level"] == "error"]
    assert sorted(said) == [("too_large", 3), ("unwritable", 3)]
    assert "%" not in str(logs)


class AwayAndChoosy(Choosy):
    """One that is away twice first."""

    async def write(self, items: Sequence[Any]) -> None:
        if self.writes < 2:
            self.writes += 1
            raise Unavailable("the database is away")
        await super().write(items)


async def test_an_outage_is_over_when_what_comes_back_refuses_something() -> None:
    heard = Heard()
    rig = Rig(observer=heard)
    with pytest.warns(InMemory):
        rig.sink = rig.stage._sink = AwayAndChoosy(50, "%")
    rig.put(*(detection(number, plate_raw="%" if number == 2 else "ABC") for number in range(4)))
    with capture_logs() as logs:
        await rig.drain()
    assert len(rig.sink.items) == 3
    assert [call for call in heard.calls if call[0] == "waiting"] == [("waiting", True), ("waiting", False)]
    assert [line["event"] for line in logs if line["event"] in {"waiting", "back"}] == ["waiting", "back"]


async def test_what_has_ended_a_write_is_said_while_nothing_can_be_fetched() -> None:
    rig = Rig(limits=replace(SOON, outage_s=1_000_000.0))
    rig.put(detection())

    class Broken(MemorySink[Detection]):
        async def write(self, items: Sequence[Detection]) -> None:
            silent(rig, 1_000_000_000)
            await asyncio.sleep(0.05)
            raise ZeroDivisionError

    with pytest.warns(InMemory):
        rig.stage._sink = Broken()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(rig.stage.run(rig.stop), 60)


def _numbers(rig: Rig, items: list[Detection], reason: Reason) -> list[int]:
    return [items.index(one.detection) for one in rig.letters.items if one.reason == reason and one.detection]


async def test_a_letter_that_is_too_large_itself_is_shortened_and_not_lost() -> None:
    rig = narrowed(Rig(), items=50, letters=50)
    items = [detection(number, plate_raw=LONG.get(number, "ABC")) for number in range(20)]
    rig.put(*items)
    await rig.drain()
    assert [(letter.reason, letter.camera_id, letter.detection) for letter in rig.letters.items] == [
        ("too_large", "cam-1", None)
    ] * 2
    assert {letter.size_bytes for letter in rig.letters.items} == {len(wire.encode(items[3]))}
    assert rig.topic.lag() == 0


async def test_a_topic_of_letters_that_takes_none_at_all_ends_the_worker() -> None:
    rig = narrowed(Rig(), items=-1, letters=-1)
    rig.put(detection())
    with pytest.raises(Misconfigured, match="dead letters"):
        await rig.drain()
    assert rig.topic.lag() == 1


async def test_a_topic_that_takes_nothing_ends_the_worker_instead_of_being_drained_into_dead_letters() -> None:
    rig = narrowed(Rig(max_records=4), items=-1, letters=1000)
    rig.put(*(detection(number) for number in range(12)))
    with pytest.raises(Exception, match="more than 5 messages in a row"):
        await rig.drain()
    assert rig.topic.lag() == 8, "what came before the limit was set aside"


async def _started(source: MemorySource) -> Fetched:
    await source.start()
    return await source.fetch()


class Heard(Observer):
    """Writes down what a stage tells of itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.steps: list[str] = []

    def fetched(self, records: int) -> None:
        self.calls.append(("fetched", records))

    def took(self, step: Step, seconds: float) -> None:
        assert seconds >= 0
        self.steps.append(step)

    def finished(self, *, committed: bool) -> None:
        self.calls.append(("finished", committed))

    def made(self, *, written: int, dropped: int, again: int, letters: Mapping[Reason, int]) -> None:
        self.calls.append(("made", (written, dropped, again, dict(letters))))

    def waiting(self, *, begun: bool) -> None:
        self.calls.append(("waiting", begun))


async def test_an_observer_hears_of_each_batch_once_and_of_outages() -> None:
    heard = Heard()
    rig = Rig(lambda items: [None if item.lane == 2 else item for item in items], observer=heard)
    rig.sink.failing = 1
    rig.put(detection(lane=1), b"no message", detection(lane=2))
    await rig.drain()
    batch = [("waiting", True), ("waiting", False), ("finished", True), ("made", (1, 1, 0, {"undecodable": 1}))]
    assert heard.calls == [("fetched", 3), *batch]
    assert [step for step in heard.steps if step != "fetch"] == [
        *("decode", "function", "memory", "write", "letters", "commit")
    ]
