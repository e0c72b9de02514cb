"""However the stream is cut, and from wherever a worker goes on, the index ends with the same rows: one for a pass."""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import passes
from ingest.errors import SetAside
from ingest.passes import Made, Place, Read, State, advance, resume, safe_position
from ingest.rows import Row, rows
from schemas.detections import Candidate, event_id
from schemas.offsets import Written
from schemas.plate import plate_key
from schemas.sightings import Sighting, Trait
from tests.support.detections import sighting
from tests.support.plain_passes import Plain

WINDOW_S = 30.0
CUTS = 5
"""Windows between two cuts: few, so that the streams drawn here are cut often."""

PLACES: Sequence[Place] = (("detections", 0), ("detections", 1))
BEGIN = datetime(2026, 6, 1, 11, tzinfo=UTC)

RED = Trait(value="red")
# A dense series, look-alikes, and reads that leave another plate of it open.
PLATES: Sequence[tuple[str | None, float, tuple[str, ...]]] = (
    ("XYC3471", 0.95, ()),
    ("XYC3477", 0.95, ()),
    ("XYC3471", 0.6, ("XYC3477", "XYC3474")),
    ("XYC3477", 0.85, ("XYC3471",)),
    ("XYC3474", 0.5, ("XYC3477",)),
    ("XYCE471", 0.7, ()),
    ("XYC347I", 0.9, ("XYC3471",)),
    (None, 0.0, ()),
)
STEPS_S = (0.0, 0.0, 0.5, 3.0, 14.0, 29.0, 30.0, 31.0, 95.0)
LATE_S = (0.0, 0.0, -1.0, 20.0, 31.0)


class Drawn(NamedTuple):
    """One message as it was drawn; `again`: an earlier one (counted back) is sent once more instead."""

    partition: int
    camera: int
    plate: int
    step: int
    late: int
    lane: int | None
    again: int | None


class Life(NamedTuple):
    """A worker: batch sizes, whether its last batch is committed, and for how long nothing came after it."""

    batches: list[int]
    commits_last: bool
    idle_s: float


drawn = st.builds(
    Drawn,
    partition=st.integers(0, 1),
    camera=st.integers(0, 1),
    plate=st.integers(0, len(PLATES) - 1),
    step=st.integers(0, len(STEPS_S) - 1),
    late=st.integers(0, len(LATE_S) - 1),
    lane=st.sampled_from([None, None, 1, 2]),
    again=st.one_of(st.none(), st.none(), st.integers(1, 6)),
)
streams = st.tuples(st.integers(0, 200), st.lists(drawn, max_size=90))
lives = st.lists(
    st.builds(
        Life,
        batches=st.lists(st.integers(1, 25), min_size=1, max_size=5),
        commits_last=st.booleans(),
        idle_s=st.sampled_from([0.0, 0.0, 61.0]),
    ),
    max_size=8,
)
Log = Mapping[Place, Sequence[Read]]


def log_of(stream: tuple[int, Sequence[Drawn]]) -> Log:
    shift_s, items = stream
    log: dict[Place, list[Read]] = {place: [] for place in PLACES}
    now_s = BEGIN.timestamp() + shift_s
    for number, item in enumerate(items):
        now_s += STEPS_S[item.step]
        place = PLACES[item.partition]
        known = log[place]
        if item.again is not None and len(known) >= item.again:
            read = known[-item.again].sighting
        else:
            read = seen(number, item, datetime.fromtimestamp(now_s - LATE_S[item.late], UTC))
        known.append(Read(place, len(known), now_s, read))
    return log


def seen(number: int, item: Drawn, captured_at: datetime) -> Sighting:
    plate, confidence, candidates = PLATES[item.plate]
    # A camera's messages are in one partition.
    camera = f"cam-{item.partition}-{item.camera}"
    return sighting(
        number,
        pass_id=event_id(camera, str(number)),
        captured_at=captured_at,
        received_at=captured_at + timedelta(seconds=1),
        camera_id=camera,
        plate=plate,
        plate_key=plate_key(plate) if plate else f"~{camera}",
        plate_raw=plate,
        plate_confidence=confidence if plate else None,
        candidates=tuple(Candidate(plate=one, confidence=confidence * 0.9) for one in candidates),
        colour=RED,
        lane=item.lane,
    )


class Index(dict[tuple[object, ...], Row]):
    """Rows by the index's rule, whatever the order in which they come."""

    def write(self, items: Iterable[Sighting]) -> None:
        for row in rows(list(items)):
            other = self.get(row.key)
            if other is None or row.revision > other.revision:
                self[row.key] = row

    def live(self) -> Counter[uuid.UUID]:
        """Return how many rows of each pass the gate would show: those that no other supersedes."""
        return Counter(row.values[0] for row in self.values() if row.values[4] is None)  # type: ignore[misc]


def flat(made: Iterable[Made]) -> list[Sighting]:
    found: list[Sighting] = []
    for several in made:
        assert isinstance(several, list), several
        found += several
    return found


def at_once(log: Log) -> list[Sighting]:
    """What one worker makes of the whole stream in one go."""
    state = State(WINDOW_S, CUTS)
    return flat(advance(state, [read for reads in log.values() for read in reads])[1])


class Group:
    """What the broker keeps of a group: for each partition where to go on, and how far all was written."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.offsets: dict[Place, tuple[int, Written]] = dict.fromkeys(log, (0, Written(done=0)))
        self.index = Index()
        self.published: list[Sighting] = []

    def live(self, life: Life) -> None:
        state = State(WINDOW_S, CUTS)
        resume(state, {place: written for place, (_, written) in self.offsets.items()})
        at = {place: start for place, (start, _) in self.offsets.items()}
        for number, size in enumerate(life.batches):
            batch: list[Read] = []
            for place, reads in self.log.items():
                part = reads[at[place] : at[place] + size - len(batch)]
                batch += part
                at[place] += len(part)
            made = flat(advance(state, batch)[1])
            self.index.write(made)
            self.published += made
            if number < len(life.batches) - 1 or life.commits_last:
                self.commit(state, 0.0)
        if life.commits_last and at == {place: len(reads) for place, reads in self.log.items()}:
            self.commit(state, life.idle_s)

    def commit(self, state: State, idle_s: float) -> None:
        for place in self.log:
            start, written = safe_position(state, place, idle_s), passes.written(state, place)
            if start is not None and written is not None:
                self.offsets[place] = (start, written)

    def finish(self) -> None:
        self.live(Life(batches=[10_000, 10_000], commits_last=True, idle_s=0.0))


@settings(max_examples=400, deadline=None)
@given(stream=streams, plan=lives)
def test_any_cut_and_any_restart_end_in_the_same_rows(stream: tuple[int, list[Drawn]], plan: list[Life]) -> None:
    log = log_of(stream)
    group = Group(log)
    for life in plan:
        group.live(life)
    group.finish()
    expected = Index()
    expected.write(at_once(log))
    assert group.index == expected


@settings(max_examples=200, deadline=None)
@given(stream=streams, plan=lives)
def test_a_restart_makes_nothing_that_one_worker_would_not_have_made(
    stream: tuple[int, list[Drawn]], plan: list[Life]
) -> None:
    log = log_of(stream)
    group = Group(log)
    for life in plan:
        group.live(life)
    group.finish()
    once = at_once(log)
    assert {(one.pass_id, one.plate_key, one.revision) for one in group.published} == {
        (one.pass_id, one.plate_key, one.revision) for one in once
    }
    assert all(one in once for one in group.published)


@settings(max_examples=400, deadline=None)
@given(stream=streams)
def test_passes_are_what_they_are_in_the_plainest_words(stream: tuple[int, list[Drawn]]) -> None:
    for reads in log_of(stream).values():
        told = [read._replace(content=number % 2) for number, read in enumerate(reads)]
        made = advance(State(WINDOW_S, CUTS), told)[1]
        for fast, plain in zip(made, Plain(WINDOW_S, CUTS).advance(told), strict=True):
            assert fast == plain or (isinstance(fast, SetAside) and isinstance(plain, SetAside))


@settings(max_examples=200, deadline=None)
@given(stream=streams, order=st.randoms(use_true_random=False))
def test_a_replay_of_the_whole_stream_changes_nothing(stream: tuple[int, list[Drawn]], order: object) -> None:
    once = at_once(log_of(stream))
    index = Index()
    index.write(once)
    before = dict(index)
    index.write(at_once(log_of(stream)))
    assert index == before


@settings(max_examples=300, deadline=None)
@given(stream=streams, data=st.data())
def test_a_pass_has_one_live_row_in_whatever_order_its_revisions_are_indexed(
    stream: tuple[int, list[Drawn]], data: st.DataObject
) -> None:
    made = at_once(log_of(one_send_each(stream)))
    index = Index()
    index.write(data.draw(st.permutations(made)))
    assert set(index.live().values()) <= {1}
    assert set(index.live()) == {one.pass_id for one in made}
    newest: dict[uuid.UUID, Sighting] = {}
    for one in made:
        if one.superseded_by is None and one.revision >= newest.get(one.pass_id, one).revision:
            newest[one.pass_id] = one
    for one in newest.values():
        assert index[(one.pass_id, one.captured_at, one.plate_key)] == rows([one])[0]


@settings(max_examples=200, deadline=None)
@given(stream=streams)
def test_every_event_is_in_one_pass_and_none_is_lost(stream: tuple[int, list[Drawn]]) -> None:
    log = log_of(one_send_each(stream))
    made = at_once(log)
    sent = {read.sighting.pass_id for reads in log.values() for read in reads if read.sighting is not None}
    newest = {one.pass_id: one.revision for one in made}
    assert sum(revision + 1 for revision in newest.values()) == len(sent)
    assert newest.keys() <= sent
    assert Counter(one.revision for one in made if one.superseded_by is None)[0] == len(newest)


@settings(max_examples=200, deadline=None)
@given(stream=streams, plan=lives, start=st.integers(1, 40))
def test_wherever_the_log_begins_each_read_is_in_a_row_or_set_aside_whatever_the_cut(
    stream: tuple[int, list[Drawn]], plan: list[Life], start: int
) -> None:
    reads = log_of(one_send_each(stream))[PLACES[0]][start:]
    told: list[dict[uuid.UUID, Made]] = []
    for lifes in ([], plan):
        at, before = start, Written(done=None)
        found: dict[uuid.UUID, Made] = {}
        for life in [*lifes, Life([10_000], True, 0.0)]:
            state = State(WINDOW_S, CUTS)
            resume(state, {PLACES[0]: before})
            done, here = before.done or 0, at
            for size in life.batches:
                batch = reads[here - start : here - start + size]
                made = advance(state, batch)[1]
                found.update(
                    (read.sighting.pass_id, one)
                    for read, one in zip(batch, made, strict=True)
                    if read.sighting is not None and read.offset >= done
                )
                here += len(batch)
            now, mark = safe_position(state, PLACES[0]), passes.written(state, PLACES[0])
            if life.commits_last and now is not None and mark is not None:
                at, before = now, mark
        told.append(found)
    once, cut = ({event: one if isinstance(one, list) else str(one) for event, one in found.items()} for found in told)
    assert once == cut
    assert once.keys() == {read.sighting.pass_id for read in reads if read.sighting is not None}
    assert all(once.values())


def one_send_each(stream: tuple[int, list[Drawn]]) -> tuple[int, list[Drawn]]:
    """The stream without what is sent again: that is another property's."""
    return stream[0], [item._replace(again=None) for item in stream[1]]


def test_a_worker_that_forgets_where_it_stood_would_be_found_out() -> None:
    """Going on at the position alone makes a second pass of the first one's late read: the property has teeth."""
    log = log_of((0, [Drawn(0, 0, 0, 0, 0, None, None), Drawn(0, 0, 0, 2, 0, None, None)]))
    first, second = log[PLACES[0]]
    index = Index()
    for read in (first, second):
        index.write(flat(advance(State(WINDOW_S, CUTS), [read])[1]))
    assert len(index.live()) == 2
    assert len({one.pass_id for one in at_once(log)}) == 1


def test_a_vehicle_that_stays_holds_the_position_back_no_longer_than_to_the_last_cut() -> None:
    place = PLACES[0]
    item = Drawn(0, 0, 0, 0, 0, None, None)
    state = State(WINDOW_S, CUTS)
    begin_s = BEGIN.timestamp()
    for number in range(2000):
        at = datetime.fromtimestamp(begin_s + number, UTC)
        advance(state, [Read(place, number, begin_s + number, seen(number, item, at))])
        held = number - (safe_position(state, place) or 0)
        assert held <= (CUTS + 3) * WINDOW_S
    assert safe_position(state, place, idle_s=61.0) == 2000


def at_seconds(*items: tuple[float, Drawn]) -> list[Read]:
    """Return reads of the first partition, captured and appended so many seconds after the beginning."""
    begin_s = BEGIN.timestamp()
    return [
        Read(PLACES[0], number, begin_s + s, seen(number, item, datetime.fromtimestamp(begin_s + s, UTC)))
        for number, (s, item) in enumerate(items)
    ]


STAYS, PASSES_BY = Drawn(0, 0, 0, 0, 0, None, None), Drawn(0, 0, 5, 0, 0, None, None)


def test_a_cut_parts_the_reads_of_a_vehicle_that_stays_and_of_no_other() -> None:
    """The cut is at 150 s. One vehicle is there on both sides of 120 s; the other passes by, at the same camera."""
    reads = at_seconds((119, STAYS), (121, STAYS), (148, PASSES_BY), (149, STAYS), (151, STAYS), (152, PASSES_BY))
    assert BEGIN.timestamp() % (CUTS * WINDOW_S) == 0
    made = at_once({PLACES[0]: reads})
    assert [(one.plate, one.revision) for one in made] == [
        ("XYC3471", 0), ("XYC3471", 1), ("XYCE471", 0), ("XYC3471", 2), ("XYC3471", 0), ("XYCE471", 1)
    ]  # fmt: skip


def test_what_decides_a_cut_is_read_again_as_long_as_a_pass_from_before_it_is_open() -> None:
    reads = at_seconds((119, STAYS), (121, STAYS), (148, PASSES_BY), (149, STAYS), (151, STAYS), (152, PASSES_BY),
                       (153, STAYS))  # fmt: skip
    group = Group({PLACES[0]: reads})
    group.live(Life(batches=[6], commits_last=True, idle_s=0.0))
    assert group.offsets[PLACES[0]] == (0, Written(done=6))
    group.finish()
    assert group.published == at_once(group.log)


def test_windows_that_leave_no_room_for_a_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="cut"):
        State(WINDOW_S, 3)
