"""The dead letters as operators come to them: what is recorded before what, and what a crash in between leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ingest import deadletter
from ingest.adapters.memory import MemoryLetters, MemoryPublisher, MemoryRegistry
from ingest.errors import PublishError, Unavailable
from ingest.letters import Forbidden, LetterBox, NotFound, ReplayWanted, RevealWanted, Unrecorded, Wanted
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason
from schemas.detections import Detection, event_id
from schemas.entries import Entry, Lookup
from schemas.owners import OwnerRules
from schemas.queries import Asker
from tests.support.cameras import camera
from tests.support.detections import detection

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JO = Asker(person="jo", agency="north", roles=frozenset({"camera_operator"}))
TRUE = NOW - timedelta(minutes=10)


class Telling(MemoryPublisher):
    """Tells what happens; a topic in `broken` takes nothing."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self._events = events
        self.broken: set[str] = set()

    async def publish(self, topic: str, items: Sequence[tuple[bytes, bytes]]) -> list[PublishError | None]:
        if topic in self.broken:
            raise Unavailable("broken")
        self._events.append(topic)
        return await super().publish(topic, items)


class Desk:
    """A letter box in memory, with one camera whose clock was seven hours ahead."""

    def __init__(self, **of_camera: Any) -> None:
        self.events: list[str] = []
        self.entries: list[Entry] = []
        self.recording = True
        self.publisher = Telling(self.events)
        self.counted: list[tuple[Reason, str, int]] = []
        self.use(**of_camera)

    def use(self, **of_camera: Any) -> None:
        one, _ = camera("cam-1", **of_camera)
        self.box = self._box(one)

    def _box(self, one: Camera) -> LetterBox:
        return LetterBox(
            MemoryLetters(self.publisher),
            MemoryRegistry([one]),
            self.publisher,
            self._record,
            lambda field, _: Lookup(field=field, mac=b"m"),
            OwnerRules(),
            future_limit_s=300,
            count=lambda reason, result, number: self.counted.append((reason, result, number)),
            now=lambda: NOW,
        )

    async def _record(self, entry: Entry) -> int:
        if not self.recording:
            raise Unrecorded
        self.events.append("entry")
        self.entries.append(entry)
        return len(self.entries) - 1

    async def set_aside(self, number: int = 0, reason: Reason = "clock_future", **changes: Any) -> DeadLetter:
        ahead = {"claimed_at": TRUE + timedelta(hours=7), "captured_at": TRUE + timedelta(hours=7)}
        values = {**ahead, "received_at": TRUE, "event_id": event_id("cam-1", str(number)), **changes}
        letter = deadletter.of_detection(
            "gateway", reason, detection(number, **values), NOW + timedelta(seconds=number)
        )
        await MemoryPublisher.publish(
            self.publisher, topics.DEAD_LETTERS, [(deadletter.key(letter), wire.encode(letter))]
        )
        return letter

    def put_back(self) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in self.publisher.records.get(topics.DETECTIONS, [])]


MENDED: dict[str, Any] = {"clock_use": "offset", "clock_offset_s": -7 * 3600.0}


async def test_the_entry_comes_first_then_the_marker_then_the_read() -> None:
    desk = Desk(**MENDED)
    letter = await desk.set_aside()
    done = await desk.box.replay(JO, ReplayWanted())
    assert desk.events == ["entry", topics.DEAD_LETTERS, topics.DETECTIONS]
    assert (done.counts, done.entry) == ({"replayed": 1}, 0)
    assert [one.captured_at for one in desk.put_back()] == [TRUE]
    assert {item.field: item.value for item in desk.entries[0].disclosures}["letters"] == [str(letter.letter_id)]
    assert desk.counted == [("clock_future", "replayed", 1)]


async def test_without_an_entry_nothing_is_shown_or_put_back() -> None:
    desk = Desk(**MENDED)
    letter = await desk.set_aside()
    desk.recording = False
    with pytest.raises(Unrecorded):
        await desk.box.replay(JO, ReplayWanted())
    with pytest.raises(Unrecorded):
        await desk.box.reveal(JO, RevealWanted(letter_id=letter.letter_id, note="why"))
    assert desk.events == []
    assert desk.counted == []


@pytest.mark.parametrize("broken", [topics.DEAD_LETTERS, topics.DETECTIONS])
async def test_what_broke_off_is_done_again_with_the_same_time(broken: str) -> None:
    desk = Desk(**MENDED)
    await desk.set_aside()
    desk.publisher.broken = {broken}
    with pytest.raises(Unavailable):
        await desk.box.replay(JO, ReplayWanted())
    assert desk.put_back() == []
    desk.publisher.broken = set()
    (seen,) = (await desk.box.find(JO, Wanted())).letters
    marked = broken == topics.DETECTIONS
    assert seen.replayed_as == (TRUE if marked else None)
    # The rule changes in between: with a marker the time stays, since the read may be on the stream already.
    desk.use(clock_use="offset", clock_offset_s=-7 * 3600.0 + 60)
    await desk.box.replay(JO, ReplayWanted())
    assert [one.captured_at for one in desk.put_back()] == [TRUE if marked else TRUE + timedelta(seconds=60)]


async def test_a_dry_run_leaves_no_trace() -> None:
    desk = Desk(**MENDED)
    await desk.set_aside()
    done = await desk.box.replay(JO, ReplayWanted(dry_run=True))
    assert (done.counts, done.entry) == ({"replayed": 1}, None)
    assert desk.events == []
    assert desk.counted == []


async def test_pages_have_each_letter_once() -> None:
    desk = Desk()
    letters = [await desk.set_aside(number) for number in (0, 1, 2, 3, 4, 2)]
    whole = await desk.box.find(JO, Wanted())
    # By the time of writing: the last one again was written with the third's time here.
    assert [one.letter_id for one in whole.letters] == [letters[at].letter_id for at in (4, 3, 2, 1, 0)]
    found, before = [], None
    for _ in range(3):
        page = await desk.box.find(JO, Wanted(limit=2, before=before))
        found += [one.letter_id for one in page.letters]
        before = page.next
    assert before is None
    assert found == [one.letter_id for one in whole.letters]


async def test_many_pages_are_put_back_each_once_though_each_leaves_markers() -> None:
    desk = Desk(**MENDED)
    letters = [await desk.set_aside(number) for number in range(57)]
    results, before = [], None
    while True:
        page = await desk.box.replay(JO, ReplayWanted(limit=10, before=before))
        results += [one.letter_id for one in page.letters]
        before = page.next
        if before is None:
            break
    assert results == [one.letter_id for one in reversed(letters)]
    assert len(desk.put_back()) == 57
    marked = (await desk.box.find(JO, Wanted(limit=500))).letters
    assert [one.replayed_as for one in marked] == [TRUE] * 57


async def test_a_letter_that_is_set_aside_again_keeps_the_time_of_its_replay() -> None:
    desk = Desk(**MENDED)
    await desk.set_aside()
    await desk.box.replay(JO, ReplayWanted())
    await desk.set_aside()  # the camera sent it again, before its clock was mended
    desk.use(clock_use="arrival")
    await desk.box.replay(JO, ReplayWanted())
    assert [one.captured_at for one in desk.put_back()] == [TRUE, TRUE]


async def test_a_letter_that_holds_no_read_can_not_be_looked_into() -> None:
    desk = Desk()
    lost = deadletter.of_bytes("enricher", "detections\x1f0\x1f7", 12, NOW)
    await MemoryPublisher.publish(desk.publisher, topics.DEAD_LETTERS, [(b"", wire.encode(lost))])
    (seen,) = (await desk.box.find(JO, Wanted())).letters
    assert (seen.reason, seen.size_bytes, seen.detection) == ("undecodable", 12, None)
    with pytest.raises(NotFound):
        await desk.box.reveal(JO, RevealWanted(letter_id=lost.letter_id, note="why"))
    assert (await desk.box.replay(JO, ReplayWanted())).counts == {"nothing_kept": 1}
    assert desk.events == []


@pytest.mark.parametrize("roles", [frozenset(), frozenset({"auditor", "investigator"})])
async def test_the_role_is_needed(roles: Any) -> None:
    desk = Desk()
    letter = await desk.set_aside()
    nobody = msgspec.structs.replace(JO, roles=roles)
    for attempt in (
        desk.box.find(nobody, Wanted()),
        desk.box.replay(nobody, ReplayWanted()),
        desk.box.reveal(nobody, RevealWanted(letter_id=letter.letter_id, note="why")),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert desk.events == []


async def test_another_agencys_letter_is_none() -> None:
    desk = Desk(**MENDED)
    letter = await desk.set_aside()
    other = msgspec.structs.replace(JO, agency="south")
    assert (await desk.box.find(other, Wanted())).letters == ()
    assert (await desk.box.replay(other, ReplayWanted(force=True))).letters == ()
    with pytest.raises(NotFound):
        await desk.box.reveal(other, RevealWanted(letter_id=letter.letter_id, note="why"))
    assert desk.events == []
