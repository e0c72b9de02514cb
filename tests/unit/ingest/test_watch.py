"""The health worker's loop: what it folds, what it skips, and when it stops."""

import asyncio
import warnings
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from ingest import deadletter
from ingest.adapters.memory import InMemory
from ingest.adapters.memory_batches import MemorySink, MemorySource, MemoryTopic
from ingest.errors import Unavailable, Unwritable
from ingest.failures import TooManyFailures
from ingest.health import Letter
from ingest.runner import Limits
from ingest.watch import Change, TooManyUnusable, Watch
from schemas import topics, wire
from schemas.deadletters import DeadLetter, Reason
from tests.support.detections import NOW, detection
from tests.support.health import report

SOON = Limits(outage_s=0.2, first_wait_s=0.001, longest_wait_s=0.01, failures=5)


class States:
    """Keeps what it is told to fold; `down` times it is not there."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.down = 0
        self.refuses: frozenset[int] = frozenset()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def fold(self, changes: Sequence[Change]) -> None:
        if self.down:
            self.down -= 1
            raise Unavailable("away")
        if any(not isinstance(one, Letter) and one.sequence in self.refuses for one in changes):
            raise Unwritable("no")
        self.changes.extend(changes)


def topic(name: str, *values: bytes | None) -> MemoryTopic:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        made = MemoryTopic(name)
    for value in values:
        made.put(value)
    return made


async def worked_off(of: MemoryTopic, states: States, max_records: int = 100) -> list[DeadLetter]:
    """Run a worker until everything is committed, or it ends; return the letters it wrote."""
    stop = asyncio.Event()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        letters: MemorySink[DeadLetter] = MemorySink()
    watch = Watch(MemorySource(of, max_records), states, letters, limits=SOON, clock=lambda: NOW)
    running = asyncio.create_task(watch.run(stop))
    while of.lag() and not running.done():  # noqa: ASYNC110 - what is watched has no event
        await asyncio.sleep(0)
    stop.set()
    await running
    return letters.items


def letter(number: int, reason: Reason) -> bytes:
    return wire.encode(deadletter.of_detection("enricher", reason, detection(number), NOW))


async def test_reports_are_folded_and_what_is_none_is_skipped() -> None:
    planted = b'{"v":1,"plate":"XQ7041"}'
    of = topic(topics.CAMERA_HEALTH, wire.encode(report(1)), planted, None, wire.encode(report(2)))
    states = States()
    with capture_logs() as logs:
        await worked_off(of, states)
    assert states.changes == [report(1), report(2)]
    assert of.committed == [4]
    said = [line for line in logs if line["event"] == "unusable"]
    assert {line["log_level"] for line in said} == {"error"}
    assert sum(line["messages"] for line in said) == logs[-1]["unusable"] == 2
    assert "XQ7041" not in str(logs)


async def test_of_dead_letters_conflicting_resends_alone_say_something() -> None:
    of_bytes = wire.encode(deadletter.of_bytes("enricher", "x", 9, NOW))
    of = topic(topics.DEAD_LETTERS, letter(1, "poisoned"), letter(2, "conflicting_resend"), of_bytes)
    states = States()
    await worked_off(of, states)
    expected = deadletter.of_detection("enricher", "conflicting_resend", detection(2), NOW)
    assert states.changes == [Letter(partition=0, offset=1, letter=expected)]
    assert of.committed == [3]


async def test_an_outage_is_waited_out_and_nothing_is_committed_meanwhile() -> None:
    of, states = topic(topics.CAMERA_HEALTH, wire.encode(report(1))), States()
    states.down = 3
    await worked_off(of, states)
    assert (states.changes, states.down, of.committed) == ([report(1)], 0, [1])


async def test_an_outage_that_lasts_ends_it_uncommitted() -> None:
    of, states = topic(topics.CAMERA_HEALTH, wire.encode(report(1))), States()
    states.down = 10**9
    with pytest.raises(Unavailable):
        await worked_off(of, states)
    assert of.committed == [0]


async def test_too_many_messages_that_are_none_end_it_uncommitted() -> None:
    of, states = topic(topics.CAMERA_HEALTH, wire.encode(report(1)), *[b"{"] * 6), States()
    with pytest.raises(TooManyUnusable):
        await worked_off(of, states)
    assert of.committed == [0]
    good = topic(topics.CAMERA_HEALTH, *[b"{", b"{", wire.encode(report(1))] * 4)
    await worked_off(good, states)
    assert good.committed == [12]


async def test_what_the_states_refuse_is_set_aside_and_the_rest_goes_on() -> None:
    of, states = topic(topics.CAMERA_HEALTH, *(wire.encode(report(number)) for number in range(1, 31))), States()
    states.refuses = frozenset({1, 7, 8, 30})
    letters = await worked_off(of, states)
    assert [one.sequence for one in states.changes if not isinstance(one, Letter)] == [
        number for number in range(1, 31) if number not in states.refuses
    ]
    assert [(one.stage, one.reason) for one in letters] == [("health", "poisoned")] * 4
    assert len({one.letter_id for one in letters}) == 4
    assert of.committed == [30]


async def test_what_cannot_be_used_is_said_once_a_batch_with_its_number() -> None:
    """Whether it was seen before the rest was written, or only then."""
    reports = [wire.encode(report(number)) for number in range(1, 5)]
    of, states = topic(topics.CAMERA_HEALTH, b"{", *reports[:2], b"{", *reports[2:]), States()
    states.refuses = frozenset({1, 3, 4})
    with capture_logs() as logs:
        await worked_off(of, states)
    said = [(line["reason"], line["messages"]) for line in logs if line["event"] == "unusable"]
    assert said == [("not a CameraReport: DecodeError", 2), ("no", 3)]


async def test_messages_in_a_row_are_counted_on_from_batch_to_batch_whatever_is_wrong_with_them() -> None:
    of, states = topic(topics.CAMERA_HEALTH, *[b"{", wire.encode(report(1)), wire.encode(report(-1))] * 2), States()
    states.refuses = frozenset({1})
    with pytest.raises(TooManyUnusable):
        await worked_off(of, states, max_records=1)
    assert of.committed == [5]


@pytest.mark.parametrize("key", [b"cam-1\0", b"\xff", b"XQ7041", b"", None])
async def test_a_letter_names_the_camera_of_its_report_and_nothing_of_the_records_key(key: bytes | None) -> None:
    """Whoever wrote the report has chosen both, and a letter's camera is listed without a reason on the record."""
    of, states = topic(topics.CAMERA_HEALTH), States()
    for number, camera_id in enumerate(("cam-1", "XQ7041", "", "cam-1\x7f", "c" * 64), start=1):
        of.put(wire.encode(report(number, camera_id=camera_id)), key=key)
    of.put(wire.encode(report(6)), key=key)
    of.put(wire.encode(report(7, camera_id="cam-2", accepted=-1)), key=key)
    states.refuses = frozenset(range(1, 6))
    letters = await worked_off(of, states)
    assert [one.camera_id for one in letters] == ["cam-1", None, None, None, None, "cam-2"]
    assert [wire.decode(wire.encode(one), DeadLetter) for one in letters] == letters


@pytest.mark.parametrize("name", ["until", "last_seen_at", "first_read_at", "last_read_at"])
async def test_a_report_of_a_time_to_come_is_set_aside_since_nothing_would_be_new_beside_it(name: str) -> None:
    wrong = report(2, **{name: NOW + timedelta(days=1, seconds=1)})
    of, states = topic(topics.CAMERA_HEALTH, *map(wire.encode, (report(1), wrong, report(3)))), States()
    letters = await worked_off(of, states)
    assert states.changes == [report(1), report(3)]
    assert [(one.reason, one.camera_id) for one in letters] == [("poisoned", wrong.camera_id)]


async def test_a_report_of_a_clock_that_is_ahead_for_hours_counts() -> None:
    ahead = report(1, NOW + timedelta(hours=23))
    of, states = topic(topics.CAMERA_HEALTH, wire.encode(ahead)), States()
    assert await worked_off(of, states) == []
    assert states.changes == [ahead]


async def test_states_that_refuse_everything_end_it_uncommitted() -> None:
    of, states = topic(topics.CAMERA_HEALTH, *(wire.encode(report(number)) for number in range(1, 31))), States()
    states.refuses = frozenset(range(1, 31))
    with pytest.raises(TooManyFailures):
        await worked_off(of, states)
    assert (states.changes, of.committed) == ([], [0])
