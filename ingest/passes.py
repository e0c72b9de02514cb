"""Passes: one sighting for one vehicle that passes one camera. Pure.

The first read is published at once, as revision 0; every further read of the pass publishes the vote of all so far as
the next revision. A read belongs to an open pass of its camera if it came, and was captured, within the window of the
pass's first read, in the same lane if both know theirs, and

* its plate key is the key of the vote so far, or
* the two keys differ in one character, the read or every read behind the vote named the other key as a candidate of
  low confidence itself (`votes.named`), and all reads agree on what the vehicle looks like (`votes.agree`).

A wrong merge is worse than two points: two cars of one series do not become one, and a read without a plate belongs
to nothing. A message that came before (the same event id) changes nothing; with other content it is set aside.

What a restart needs. Reads whose plate keys, own or named, are the same form a cluster if each follows another within
the window; what becomes of a read depends on its cluster alone. `safe_position` is the start of the oldest cluster
that a later read could still join: who reads again from there has the same clusters, and so the same passes, at the
point where the last worker stood. Clusters that had ended by then are met in part: what comes of messages before that
point was written, and is not written again.

A camera that floods must not make its reads dearer than others': each is compared with `MAX_PASSES` open passes of its
cluster at most, and while there are so many, a read that belongs to none of them is published and not remembered.

A vehicle that stays in front of its camera would hold the position back for as long as it stays. So the broker's clock
cuts clusters at every multiple of `LONGEST_WINDOWS` windows: those that hold reads from before the last window, and no
others, so that no pass is cut but that of a vehicle which had been there for longer than a pass may take. Two reads of
the two windows before a cut say whether it cuts their cluster: as long as an open cluster is older than the last cut,
they are read again too. Time is the broker's, of each record's appending.

Where a partition begins after messages that have expired, and nobody knows what was written, reads of its first window
may belong to passes whose beginnings are gone. Nothing is written of their clusters: of a stream that is replayed,
they were written before.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from ingest.errors import SetAside
from ingest.votes import agree, graves, is_one_apart, look, named, vote
from schemas.offsets import Written
from schemas.sightings import Sighting

LONGEST_WINDOWS: Final = 8
"""How many windows lie between two cuts: a restart reads no more than these and three again."""

LEAST_WINDOWS: Final = 4

MAX_READS: Final = 32
"""Reads that take part in a vote. What a camera sends beyond them of one pass changes nothing."""

MAX_PASSES: Final = 64
"""Open passes of a cluster that later reads may belong to. A camera that sends what it held back for hours has a few
of one plate; more are those of a camera that is broken, or means harm."""

Place = tuple[str, int]
"""A topic and its partition."""

Made = list[Sighting] | Exception
"""What is to be written because of a read, in order; or why it cannot be used: SetAside, or what its vote raised."""


class Read(msgspec.Struct, frozen=True, gc=False):
    """A message in its place: its offset, when the broker appended it (s), and its sighting, None if there is none.

    `content` is a number that is the same for two messages of one event id if the camera said the same.
    """

    place: Place
    offset: int
    appended_s: float
    sighting: Sighting | None
    content: int = 0


class State:
    """What a stage remembers of the partitions it reads. `advance` changes it in place."""

    def __init__(self, window_s: float, longest_windows: int = LONGEST_WINDOWS) -> None:
        """Remember nothing. `window_s` is how long a pass may take, in seconds; between cuts lie at least 4 windows."""
        if window_s <= 0 or longest_windows < LEAST_WINDOWS:
            raise ValueError("a pass takes some time, and a cut must not come while the one before is being decided")
        self.window_s = window_s
        self.longest_windows = longest_windows
        self.partitions: dict[Place, _Partition] = {}

    @property
    def held(self) -> int:
        """Of how many reads nothing was written since they may belong to passes whose beginnings are gone."""
        return sum(partition.held for partition in self.partitions.values())


def resume(state: State, taken: Mapping[Place, Written]) -> None:
    """Begin anew with these partitions, and no others; nothing is written again of what was written before."""
    state.partitions = {place: _Partition(state, written) for place, written in taken.items()}


def advance(state: State, batch: Iterable[Read]) -> tuple[State, list[Made]]:
    """Take reads, in order within each partition; return the state, and what becomes of each."""
    outputs: list[Made] = []
    for read in batch:
        partition = state.partitions.get(read.place)
        if partition is None:
            partition = state.partitions[read.place] = _Partition(state, Written(done=0))
        made = partition.take(read)
        outputs.append(made if read.offset >= partition.done else [])
    return state, outputs


def done_before(state: State) -> dict[Place, int]:
    """Return the offset of each partition before which everything was worked off before it was taken."""
    return {place: partition.done for place, partition in state.partitions.items()}


def safe_position(state: State, place: Place, idle_s: float = 0.0) -> int | None:
    """Return the offset from which a restart must read, or None if nothing was read of the partition so far.

    `idle_s`: for how many seconds no message has come, though there was none left to fetch.
    """
    partition = state.partitions.get(place)
    return None if partition is None or partition.position is None else partition.safe(idle_s)


def written(state: State, place: Place) -> Written | None:
    """Return how far everything is written once all that was made is; None if nothing was read of the partition."""
    partition = state.partitions.get(place)
    return None if partition is None or partition.position is None else partition.written()


class _Pass:
    """The reads of one pass."""

    __slots__ = ("_known", "captured_at", "former", "key", "lane", "opened_s", "reads")

    def __init__(self, opened_s: float, first: Sighting) -> None:
        self.opened_s = opened_s
        self.captured_at = first.captured_at
        self.key = first.plate_key
        self.lane = first.lane
        self.reads = [first]
        self.former: tuple[str, ...] = ()
        self._known: _Known | None = None  # made when a read asks for it, and until the next one joins

    def takes(self, sighting: Sighting, appended_s: float, window: timedelta) -> bool:
        if not 0 <= appended_s - self.opened_s <= window.total_seconds():
            return False
        if abs(sighting.captured_at - self.captured_at) > window:
            return False
        if self.lane is not None and sighting.lane is not None and self.lane != sighting.lane:
            return False
        return sighting.plate_key == self.key or self._may_be(sighting)

    def _may_be(self, sighting: Sighting) -> bool:
        if not is_one_apart(sighting.plate_key, self.key):  # most are not, and need not be looked into
            return False
        if self._known is None:
            self._known = _known(self.reads, self.key)
        names, looks = self._known
        open_ = sighting.plate_key in names or self.key in named(sighting)
        return open_ and all(agree(look, sighting) for look in looks)

    def add(self, sighting: Sighting) -> list[Sighting]:
        if len(self.reads) >= MAX_READS:
            return []
        now = vote([*self.reads, sighting])
        self.reads.append(sighting)
        self._known = None
        if self.lane is None:
            self.lane = now.lane
        if now.plate_key == self.key:
            return [now]
        self.former = tuple(key for key in (*self.former, self.key) if key != now.plate_key)
        self.key = now.plate_key
        return [now, *graves(now, self.former)]


_Known = tuple[frozenset[str], tuple[Sighting, ...]]
"""The keys that every read behind the vote named, and one read of each look that the reads describe."""


def _known(reads: Sequence[Sighting], key: str) -> _Known:
    names = [frozenset(named(read)) for read in reads if read.plate_key == key]
    looks = {look(read): read for read in reads}
    return frozenset.intersection(*names) if names else frozenset(), tuple(looks.values())


class _Cluster:
    """Reads that could have met in a pass: at first one, and of most there is never another.

    `since_s` is when its first read was appended, `last_s` when its last one was, `content` that of the first message.
    `into` is the cluster that it became part of, `cut_s` when it is cut off (s, -1 if that is not decided), and `held`
    says that it may have begun before everything that can be read.
    """

    __slots__ = ("_first", "_passes", "content", "cut_s", "held", "into", "last_s", "since_s", "start")

    def __init__(self, start: int, since_s: float, first: Sighting, content: int, held: bool) -> None:
        self.start = start
        self.since_s = self.last_s = since_s
        self.content = content
        self.held = held
        self.cut_s = -1.0
        self.into: _Cluster | None = None
        self._first: Sighting | None = first
        self._passes: list[_Pass] | None = None  # made when a second read comes

    @property
    def passes(self) -> "list[_Pass]":
        """Its passes that are open, or were not long ago, by their opening."""
        if self._passes is None:
            first, self._first = self._first, None
            self._passes = [] if first is None or first.plate is None else [_Pass(self.since_s, first)]
        return self._passes

    @passes.setter
    def passes(self, passes: "list[_Pass]") -> None:
        self._passes = passes


def _united(one: _Cluster, other: _Cluster) -> _Cluster:
    """Make two clusters one: the older takes the younger in."""
    oldest, younger = (one, other) if one.start <= other.start else (other, one)
    younger.into = oldest
    oldest.cut_s = max(oldest.cut_s, younger.cut_s)
    oldest.held = oldest.held or younger.held
    both = [*oldest.passes, *younger.passes]
    oldest.passes = sorted(both, key=lambda one: one.opened_s)[-MAX_PASSES:]
    return oldest


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """Where a tag was met last, and when, if that was not the first read of a cluster: then it is the cluster itself.

    `content` is that of the message, if the tag is an event id.
    """

    cluster: _Cluster
    last_s: float
    content: int


class _Partition:
    """One partition's clusters, by tags: what a read is called (event id) and what it may be called (plate keys)."""

    def __init__(self, state: State, before: Written) -> None:
        self.done = before.done or 0
        self.position: int | None = None
        self.held = 0
        self._is_known = before.done is not None
        self._whole_after_s = before.whole_after_s
        self._window_s = state.window_s
        self._window = timedelta(seconds=state.window_s)
        self._now_s = 0.0
        # Two generations: a tag that was not renewed for a window goes with the older one.
        self._young: dict[object, _Cluster | _Entry] = {}
        self._old: dict[object, _Cluster | _Entry] = {}
        self._young_since_s = 0.0
        self._clusters: deque[_Cluster] = deque()  # by their start
        self._cuts = _Cuts(state.longest_windows * state.window_s, state.window_s)

    def take(self, read: Read) -> Made:
        at = read.appended_s
        if self.position is None and read.offset > 0 and not self._is_known:
            self._whole_after_s = at + self._window_s
        self._now_s = at
        if not self._cuts.quiet_from_s <= at < self._cuts.quiet_until_s:
            self._cuts.tick(read.offset, at)
        if abs(at - self._young_since_s) > self._window_s:
            self._next_generation()
        self.position = read.offset + 1
        if read.sighting is None:
            return []
        try:
            return self._sort_in(read, read.sighting)
        except Exception as error:  # noqa: BLE001 - a read whose vote raises must not stop all others
            return error

    def _sort_in(self, read: Read, sighting: Sighting) -> Made:
        at, event = read.appended_s, sighting.pass_id.int
        known = self._find(event, at)
        if known is not None:
            return self._again(known, event, at, read.content)
        cluster: _Cluster | None = None
        tags: list[object] = []
        if sighting.plate is not None:
            camera, key = sighting.camera_id, sighting.plate_key
            tags = [(camera, key)]
            if sighting.candidates:  # nobody else names another key
                tags += [(camera, name) for name in named(sighting)]
            for tag in tags:
                found = self._find(tag, at)
                if found is not None:
                    cluster = found if cluster is None or cluster is found else _united(cluster, found)
        if cluster is None:
            return self._begin(read, sighting, event, tags)
        cluster.last_s = at
        entry = self._young[event] = _Entry(cluster, at, read.content)
        for tag in tags:
            self._young[tag] = entry
        made = self._into_pass(cluster, at, sighting)
        return self._hold() if cluster.held else made

    def _begin(self, read: Read, sighting: Sighting, event: int, tags: list[object]) -> Made:
        """Take the first read of a cluster."""
        at = read.appended_s
        held = self._whole_after_s is not None and at <= self._whole_after_s
        cluster = _Cluster(read.offset, at, sighting, read.content, held)
        self._clusters.append(cluster)
        self._young[event] = cluster
        for tag in tags:
            self._young[tag] = cluster
        return self._hold() if held else [sighting]

    def _hold(self) -> Made:
        self.held += 1
        return []

    def _again(self, known: _Cluster, event: object, at: float, content: int) -> Made:
        first = self._young.get(event) or self._old[event]
        known.last_s = at
        self._young[event] = _Entry(known, at, first.content)
        return [] if content == first.content else SetAside("conflicting_resend")

    def _into_pass(self, cluster: _Cluster, at: float, sighting: Sighting) -> list[Sighting]:
        if sighting.plate is None:
            return [sighting]
        if cluster.passes:
            if abs(at - cluster.passes[0].opened_s) > self._window_s:
                cluster.passes = [one for one in cluster.passes if abs(at - one.opened_s) <= self._window_s]
            for one in cluster.passes:
                if one.takes(sighting, at, self._window):
                    return one.add(sighting)
        if len(cluster.passes) < MAX_PASSES:
            cluster.passes.append(_Pass(at, sighting))
        return [sighting]

    def _find(self, tag: object, at: float) -> _Cluster | None:
        found = self._young.get(tag) or self._old.get(tag)
        if found is None:
            return None
        cluster, last_s = (found, found.since_s) if isinstance(found, _Cluster) else (found.cluster, found.last_s)
        if abs(at - last_s) > self._window_s:
            return None
        while cluster.into is not None:
            cluster = cluster.into
        if last_s < cluster.cut_s <= at:
            return None
        if last_s < self._cuts.line_s <= at:
            cluster.cut_s = self._cuts.next_s
        return cluster

    def _next_generation(self) -> None:
        self._old, self._young = self._young, {}
        self._young_since_s = self._now_s
        self._clusters = deque(cluster for cluster in self._clusters if self._is_live(cluster))

    def _is_live(self, cluster: _Cluster) -> bool:
        return cluster.into is None and abs(self._now_s - cluster.last_s) <= self._window_s

    def written(self) -> Written:
        # Of a partition that was taken over, what is read again was written before.
        return Written(done=max(self.position or 0, self.done), whole_after_s=self._whole_after_s)

    def safe(self, idle_s: float) -> int:
        end = self.position or 0
        if idle_s > 2 * self._window_s:
            return end
        while self._clusters and not self._is_live(self._clusters[0]):
            self._clusters.popleft()
        return self._cuts.before(self._clusters[0].start if self._clusters else end)


class _Cuts:
    """Where clusters are cut off, and what must be read to know it.

    A cluster is cut at a multiple of the cell's length (`next_s`) if two of its reads that were joined lie on both
    sides of the point one window before (`line_s`): each that reaches further back than that has such a pair.
    """

    def __init__(self, cell_s: float, window_s: float) -> None:
        self.next_s = 0.0
        self.line_s = 0.0
        self.quiet_from_s = 0.0
        self.quiet_until_s = 0.0
        self._cell_s, self._window_s = cell_s, window_s
        self._cell = -1
        self._mark: int | None = None
        self._marks: list[tuple[int, int]] = []

    def tick(self, offset: int, at: float) -> None:
        """Take note of a read; of one in the quiet time there is nothing to note."""
        cell = int(at // self._cell_s)
        if cell != self._cell:
            self.next_s = (cell + 1) * self._cell_s
            self.line_s = self.next_s - self._window_s
            if self._mark is not None:
                self._marks.append((self._mark, offset))
            self._cell, self._mark = cell, None
        if self._mark is None and at >= self.line_s - self._window_s:
            self._mark = offset
        self.quiet_from_s = cell * self._cell_s
        self.quiet_until_s = self.next_s if self._mark is not None else self.line_s - self._window_s

    def before(self, start: int) -> int:
        """Return an offset not after `start` from which all cuts that matter come out the same."""
        self._marks = [(mark, end) for mark, end in self._marks if start < end]
        return min((start, *(mark for mark, _ in self._marks)))
