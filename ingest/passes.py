"""Passes: one sighting for one vehicle that passes one camera. Pure.

The first read is published at once, as revision 0; every further read of the pass publishes the vote of all so far as
the next revision. A read belongs to an open pass of its camera if it came, and was captured, within the window of the
pass's first read, in the same lane if both know theirs, and

* its plate key is the key of the vote so far, or
* the two keys differ in one character, the read or every read behind the vote named the other key as a candidate of
  low confidence itself (`votes.named`), and all reads agree on what the vehicle looks like (`votes.agree`).

A wrong merge is worse than two points: two cars of one series do not become one, and a read without a plate belongs
to nothing. A message that came before (the same event id) changes nothing.

What a restart needs. Reads whose plate keys, own or named, are the same form a cluster if each follows another within
the window; what becomes of a read depends on its cluster alone. `safe_position` is the start of the oldest cluster
that a later read could still join: who reads again from there has the same clusters, and so the same passes, at the
point where the last worker stood. Clusters that had ended by then are met in part: what comes of messages before that
point was written, and is not written again. A vehicle that stays in front of its camera would hold the position back
for as long as it stays; so clusters are cut where the broker's clock passes a multiple of `LONGEST_WINDOWS` windows,
at the cameras where one reached over the last window before. What was read in two windows before a cut decides it,
and is read again too. Time is the broker's, of each record's appending.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ingest.votes import agree, graves, named, vote
from schemas.sightings import Sighting

LONGEST_WINDOWS: Final = 20
"""How many windows lie between two cuts: a restart reads no more than these and three again."""

LEAST_WINDOWS: Final = 4

MAX_READS: Final = 32
"""Reads that take part in a vote. What a camera sends beyond them of one pass changes nothing."""

Place = tuple[str, int]
"""A topic and its partition."""


class Read(NamedTuple):
    """A message in its place: its offset, when the broker appended it (s), and its sighting, None if there is none."""

    place: Place
    offset: int
    appended_s: float
    sighting: Sighting | None


class State:
    """What a stage remembers of the partitions it reads. `advance` changes it in place."""

    def __init__(self, window_s: float, longest_windows: int = LONGEST_WINDOWS) -> None:
        """Remember nothing. `window_s` is how long a pass may take, in seconds; between cuts lie at least 4 windows."""
        if window_s <= 0 or longest_windows < LEAST_WINDOWS:
            raise ValueError("a pass takes some time, and a cut must not come while the one before is being decided")
        self.window_s = window_s
        self.longest_windows = longest_windows
        self.partitions: dict[Place, _Partition] = {}


def resume(state: State, taken: Mapping[Place, int]) -> None:
    """Begin anew with these partitions, and no others.

    The number of each is the offset up to which everything was written before: nothing is written again of what
    stands before it. 0 if nobody knows.
    """
    state.partitions = {place: _Partition(state, done) for place, done in taken.items()}


def advance(state: State, batch: Iterable[Read]) -> tuple[State, list[list[Sighting]]]:
    """Take reads, in order within each partition; return the state, and what each makes to be written, in order."""
    outputs: list[list[Sighting]] = []
    for read in batch:
        partition = state.partitions.get(read.place)
        if partition is None:
            partition = state.partitions[read.place] = _Partition(state, 0)
        made = partition.take(read)
        outputs.append(made if read.offset >= partition.done else [])
    return state, outputs


def is_done(state: State, place: Place, offset: int) -> bool:
    """Say whether a message was worked off before the partition was taken."""
    partition = state.partitions.get(place)
    return partition is not None and offset < partition.done


def safe_position(state: State, place: Place, idle_s: float = 0.0) -> int | None:
    """Return the offset from which a restart must read, or None if nothing was read of the partition so far.

    `idle_s`: for how many seconds no message has come, though there was none left to fetch.
    """
    partition = state.partitions.get(place)
    return None if partition is None or partition.position is None else partition.safe(idle_s)


def position(state: State, place: Place) -> int | None:
    """Return the offset after the last message taken of a partition, and never one before what was done already."""
    partition = state.partitions.get(place)
    return None if partition is None or partition.position is None else max(partition.position, partition.done)


class _Pass:
    """Reads of one pass, encoded: most passes are never looked at again, and there are many."""

    __slots__ = ("captured_s", "former", "key", "lane", "opened_s", "reads")

    def __init__(self, opened_s: float, first: Sighting) -> None:
        self.opened_s = opened_s
        self.captured_s = first.captured_at.timestamp()
        self.key = first.plate_key
        self.lane = first.lane
        self.reads = [_encode(first)]
        self.former: tuple[str, ...] = ()

    def takes(self, sighting: Sighting, appended_s: float, window_s: float) -> bool:
        if not 0 <= appended_s - self.opened_s <= window_s:
            return False
        if abs(sighting.captured_at.timestamp() - self.captured_s) > window_s:
            return False
        if self.lane is not None and sighting.lane is not None and self.lane != sighting.lane:
            return False
        return sighting.plate_key == self.key or self._may_be(sighting)

    def _may_be(self, sighting: Sighting) -> bool:
        reads = [_decode(read) for read in self.reads]
        behind = [read for read in reads if read.plate_key == self.key]
        open_ = self.key in named(sighting) or (behind and all(sighting.plate_key in named(read) for read in behind))
        return bool(open_) and all(agree(read, sighting) for read in reads)

    def add(self, sighting: Sighting) -> list[Sighting]:
        if len(self.reads) >= MAX_READS:
            return []
        self.reads.append(_encode(sighting))
        now = vote([_decode(read) for read in self.reads])
        if self.lane is None:
            self.lane = now.lane
        if now.plate_key == self.key:
            return [now]
        self.former = tuple(key for key in (*self.former, self.key) if key != now.plate_key)
        self.key = now.plate_key
        return [now, *graves(now, self.former)]


class _Cluster:
    """Reads that could have met in a pass; `into` is the cluster that it became part of."""

    __slots__ = ("into", "last_s", "passes", "start")

    def __init__(self, start: int, last_s: float) -> None:
        self.start = start
        self.last_s = last_s
        self.passes: list[_Pass] = []
        self.into: _Cluster | None = None


_Tag = tuple[_Cluster, float]


class _Partition:
    """One partition's clusters, by tags: what a read is called (event id) and what it may be called (plate keys)."""

    def __init__(self, state: State, done: int) -> None:
        self.done = done
        self.position: int | None = None
        self._window_s = state.window_s
        self._now_s = 0.0
        # Two generations: a tag that was not renewed for a window goes with the older one.
        self._young: dict[object, _Tag] = {}
        self._old: dict[object, _Tag] = {}
        self._young_since_s = 0.0
        self._clusters: deque[_Cluster] = deque()  # by their start
        self._cuts = _Cuts(state.longest_windows * state.window_s, state.window_s)

    def take(self, read: Read) -> list[Sighting]:
        at, sighting = read.appended_s, read.sighting
        self._now_s = at
        self._cuts.tick(read.offset, at)
        if abs(at - self._young_since_s) > self._window_s:
            self._next_generation()
        self.position = read.offset + 1
        return [] if sighting is None else self._sort_in(read.offset, at, sighting)

    def _sort_in(self, offset: int, at: float, sighting: Sighting) -> list[Sighting]:
        camera, event = sighting.camera_id, sighting.pass_id
        known = self._find(event, at, camera)
        if known is not None:
            known.last_s = at
            self._young[event] = (known, at)
            return []
        tags: list[object] = []
        if sighting.plate is not None:
            tags.append((camera, sighting.plate_key))
            tags += [(camera, key) for key in named(sighting)]
        cluster = self._united([found for tag in tags if (found := self._find(tag, at, camera)) is not None])
        if cluster is None:
            cluster = _Cluster(offset, at)
            self._clusters.append(cluster)
        cluster.last_s = at
        entry = (cluster, at)
        self._young[event] = entry
        for tag in tags:
            self._young[tag] = entry
        return self._into_pass(cluster, at, sighting)

    def _into_pass(self, cluster: _Cluster, at: float, sighting: Sighting) -> list[Sighting]:
        if sighting.plate is None:
            return [sighting]
        if cluster.passes:
            cluster.passes = [one for one in cluster.passes if abs(at - one.opened_s) <= self._window_s]
            for one in cluster.passes:
                if one.takes(sighting, at, self._window_s):
                    return one.add(sighting)
        cluster.passes.append(_Pass(at, sighting))
        return [sighting]

    def _find(self, tag: object, at: float, camera: str) -> _Cluster | None:
        found = self._young.get(tag) or self._old.get(tag)
        if found is None:
            return None
        cluster, last_s = found
        if abs(at - last_s) > self._window_s or not self._cuts.may_join(camera, last_s, at):
            return None
        while cluster.into is not None:
            cluster = cluster.into
        return cluster

    def _united(self, clusters: Sequence[_Cluster]) -> _Cluster | None:
        if not clusters:
            return None
        oldest = min(clusters, key=lambda cluster: cluster.start)
        for cluster in clusters:
            if cluster is not oldest and cluster.into is None:
                cluster.into = oldest
                oldest.passes = sorted([*oldest.passes, *cluster.passes], key=lambda one: one.opened_s)
        return oldest

    def _next_generation(self) -> None:
        self._old, self._young = self._young, {}
        self._young_since_s = self._now_s
        self._clusters = deque(cluster for cluster in self._clusters if self._is_live(cluster))

    def _is_live(self, cluster: _Cluster) -> bool:
        return cluster.into is None and abs(self._now_s - cluster.last_s) <= self._window_s

    def safe(self, idle_s: float) -> int:
        end = self.position or 0
        if idle_s > 2 * self._window_s:
            return end
        while self._clusters and not self._is_live(self._clusters[0]):
            self._clusters.popleft()
        return self._cuts.before(self._clusters[0].start if self._clusters else end)


class _Cuts:
    """Where clusters are cut off, and what must be read to know it.

    A camera is cut at a multiple of the cell's length if two reads that were joined lie on both sides of the point one
    window before: every cluster that reaches further back than that has such a pair.
    """

    def __init__(self, cell_s: float, window_s: float) -> None:
        self._cell_s, self._window_s = cell_s, window_s
        self._cell = -1
        self._line_s = 0.0
        self._reaching: set[str] = set()
        self._cut: set[str] = set()
        self._cut_at_s = 0.0
        self._mark: int | None = None
        self._marks: list[tuple[int, int]] = []

    def tick(self, offset: int, at: float) -> None:
        cell = int(at // self._cell_s)
        if cell != self._cell:
            self._cut, self._reaching = self._reaching, set()
            self._cut_at_s = cell * self._cell_s
            self._line_s = (cell + 1) * self._cell_s - self._window_s
            if self._mark is not None:
                self._marks.append((self._mark, offset))
            self._cell, self._mark = cell, None
        if self._mark is None and at >= self._line_s - self._window_s:
            self._mark = offset

    def may_join(self, camera: str, last_s: float, at: float) -> bool:
        """Say whether a read at `at` may join one at `last_s`, and note where that makes a cluster reach."""
        if last_s < self._cut_at_s and camera in self._cut:
            return False
        if last_s < self._line_s <= at:
            self._reaching.add(camera)
        return True

    def before(self, start: int) -> int:
        """Return an offset not after `start` from which all cuts that matter come out the same."""
        self._marks = [(mark, end) for mark, end in self._marks if start < end]
        if self._mark is not None:
            start = min(start, self._mark)
        for mark, _ in self._marks:
            start = min(start, mark)
        return start


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final[Callable[[bytes], Sighting]] = msgspec.msgpack.Decoder(Sighting).decode
