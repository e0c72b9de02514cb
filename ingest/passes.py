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
may belong to passes whose beginnings are gone. Nothing is written of their clusters, until a gap longer
than the window ends them: their reads are set aside, so that an operator can put back what nobody has written.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from ingest.cuts import Cuts
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


class Read(NamedTuple):
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
        self.partitions: dict[Place, Partition] = {}

    @property
    def held(self) -> int:
        """How many reads were set aside since they may belong to passes whose beginnings are gone."""
        return sum(partition.held for partition in self.partitions.values())


def resume(state: State, taken: Mapping[Place, Written]) -> None:
    """Begin anew with these partitions, and no others; nothing is written again of what was written before."""
    state.partitions = {place: Partition(state, written) for place, written in taken.items()}


def advance(state: State, batch: Iterable[Read]) -> tuple[State, list[Made]]:
    """Take reads, in order within each partition; return the state, and what becomes of each."""
    outputs: list[Made] = []
    for read in batch:
        partition = partition_of(state, read.place)
        made = partition.take(read.offset, read.appended_s, read.sighting, read.content)
        outputs.append(made if read.offset >= partition.done else [])
    return state, outputs


def partition_of(state: State, place: Place) -> "Partition":
    """Return what is remembered of a partition: of one that was not taken, from its beginning."""
    partition = state.partitions.get(place)
    if partition is None:
        partition = state.partitions[place] = Partition(state, Written(done=0))
    return partition


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


class _Pass(msgspec.Struct, gc=False, eq=False):
    """The reads of one pass."""

    opened_s: float
    captured_at: datetime
    key: str
    lane: int | None
    reads: list[Sighting]
    former: tuple[str, ...] = ()
    known: "_Known | None" = None  # made when a read asks for it, and until the next one joins

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
        if self.known is None:
            self.known = _known(self.reads, self.key)
        names, looks = self.known
        open_ = sighting.plate_key in names or self.key in named(sighting)
        return open_ and all(agree(look, sighting) for look in looks)

    def add(self, sighting: Sighting) -> list[Sighting]:
        if len(self.reads) >= MAX_READS:
            return []
        now = vote([*self.reads, sighting])
        self.reads.append(sighting)
        self.known = None
        if self.lane is None:
            self.lane = now.lane
        if now.plate_key == self.key:
            return [now]
        self.former = tuple(key for key in (*self.former, self.key) if key != now.plate_key)
        self.key = now.plate_key
        return [now, *graves(now, self.former)]


def _opened(at: float, first: Sighting) -> _Pass:
    return _Pass(at, first.captured_at, first.plate_key, first.lane, [first])


_Known = tuple[frozenset[str], tuple[Sighting, ...]]
"""The keys that every read behind the vote named, and one read of each look that the reads describe."""


def _known(reads: Sequence[Sighting], key: str) -> _Known:
    names = [frozenset(named(read)) for read in reads if read.plate_key == key]
    looks = {look(read): read for read in reads}
    return frozenset.intersection(*names) if names else frozenset(), tuple(looks.values())


class _Met(msgspec.Struct, gc=False, eq=False):
    """Where and when a message was met: `into` leads to its cluster, `content` is that of `Read`.

    This and what it leads to is all that is kept of a read, and none of it can hold itself: no garbage collector has
    to walk it.
    """

    met_s: float
    content: int
    into: "_Cluster | None"


class _Cluster(_Met, gc=False, eq=False):
    """Reads that could have met in a pass; at the same time, where and when the first of them was met.

    `into` is the cluster that it became part of, `cut_s` when it is cut off (s, -1 if that is not decided), and `held`
    says that it may have begun before everything that can be read. The first read is kept as `first` until another
    one comes, since most stay alone; only then the passes (by their opening) are made of it.
    """

    start: int
    last_s: float
    held: bool
    first: Sighting | None
    cut_s: float = -1.0
    opened: list[_Pass] | None = None

    @property
    def passes(self) -> list[_Pass]:
        if self.opened is None:
            self.opened = []
            if self.first is not None:
                self.opened.append(_opened(self.met_s, self.first))
                self.first = None
        return self.opened


def _united(one: _Cluster, other: _Cluster) -> _Cluster:
    """Make two clusters one: the older takes the younger in."""
    oldest, younger = (one, other) if one.start <= other.start else (other, one)
    younger.into = oldest
    oldest.cut_s = max(oldest.cut_s, younger.cut_s)
    oldest.held = oldest.held or younger.held
    both = [*oldest.passes, *younger.passes]
    oldest.opened = sorted(both, key=lambda one: one.opened_s)[-MAX_PASSES:]
    younger.opened = None
    return oldest


class _Tags(NamedTuple):
    """Where tags were met last: event ids as numbers, and a camera's plate keys (`_keys`)."""

    events: dict[int, _Met]
    keys: dict[str, _Met]


def _keys(read: Sighting) -> Sequence[str]:
    """Return what a read may be called: its camera's id with each plate key, its own and those it leaves open."""
    if read.plate is None:
        return ()
    prefix = read.camera_id + "\x1f"  # no plate key holds one
    if not read.candidates:  # nobody else names another key
        return (prefix + read.plate_key,)
    return (prefix + read.plate_key, *[prefix + name for name in named(read)])


class Partition:
    """One partition's clusters, by tags: what a read is called (event id) and what it may be called (plate keys)."""

    def __init__(self, state: State, before: Written) -> None:
        self.done = before.done or 0
        self.position: int | None = None
        self.held = 0
        self._is_whole = before.done is not None and not before.beginning_gone
        self._whole_after_s = before.whole_after_s
        self._window_s = state.window_s
        self._window = timedelta(seconds=state.window_s)
        self._now_s = 0.0
        # Two generations: what was not met again for a window goes with the older one.
        self._young = _Tags({}, {})
        self._old = _Tags({}, {})
        self._young_since_s = 0.0
        self._clusters: deque[_Cluster] = deque()  # by their start
        self._cuts = Cuts(state.longest_windows * state.window_s, state.window_s)

    def take(self, offset: int, at: float, sighting: Sighting | None, content: int) -> Made:
        """Take one read: the parts of `Read`, without its place."""
        if self.position is None and offset > 0 and not self._is_whole:
            self._whole_after_s = at + self._window_s
        self._now_s = at
        if not self._cuts.quiet_from_s <= at < self._cuts.quiet_until_s:
            self._cuts.tick(offset, at)
        if abs(at - self._young_since_s) > self._window_s:
            self._next_generation()
        self.position = offset + 1
        if sighting is None:
            return []
        try:
            return self._sort_in(offset, at, sighting, content)
        except Exception as error:  # noqa: BLE001 - a read whose vote raises must not stop all others
            return error

    def _sort_in(self, offset: int, at: float, sighting: Sighting, content: int) -> Made:
        event = sighting.pass_id.int
        met = self._young.events.get(event) or self._old.events.get(event)
        if met is not None:
            known = self._live(met, at)
            if known is not None:
                return self._again(known, met, event, at, content)
        keys = _keys(sighting)
        cluster = self._cluster(keys, at) if keys else None
        if cluster is None:
            return self._begin(offset, at, sighting, content, keys)
        cluster.last_s = at
        met = self._young.events[event] = _Met(at, content, cluster)
        for key in keys:
            self._young.keys[key] = met
        made = self._into_pass(cluster, at, sighting)
        return self._unless_held(cluster, made)

    def _begin(self, offset: int, at: float, sighting: Sighting, content: int, keys: Sequence[str]) -> Made:
        """Begin a cluster with its first read."""
        held = self._whole_after_s is not None and at <= self._whole_after_s
        cluster = _Cluster(at, content, None, offset, at, held, sighting if keys else None)
        self._clusters.append(cluster)
        self._young.events[sighting.pass_id.int] = cluster
        for key in keys:
            self._young.keys[key] = cluster
        return self._unless_held(cluster, [sighting])

    def _unless_held(self, cluster: _Cluster, made: Made) -> Made:
        if cluster.held:
            self.held += 1
            return SetAside("beginning_gone")
        return made

    def _again(self, known: _Cluster, met: _Met, event: int, at: float, content: int) -> Made:
        known.last_s = at
        self._young.events[event] = _Met(at, met.content, known)
        return [] if content == met.content else SetAside("conflicting_resend")

    def _into_pass(self, cluster: _Cluster, at: float, sighting: Sighting) -> list[Sighting]:
        passes = cluster.passes
        if passes:
            if abs(at - passes[0].opened_s) > self._window_s:
                passes = cluster.opened = [one for one in passes if abs(at - one.opened_s) <= self._window_s]
            for one in passes:
                if one.takes(sighting, at, self._window):
                    return one.add(sighting)
        if len(passes) < MAX_PASSES:
            passes.append(_opened(at, sighting))
        return [sighting]

    def _cluster(self, keys: Iterable[str], at: float) -> _Cluster | None:
        """Return the cluster that reads of these keys belong to, made one if it was several; None if there is none."""
        cluster: _Cluster | None = None
        for key in keys:
            met = self._young.keys.get(key) or self._old.keys.get(key)
            if met is not None and (found := self._live(met, at)) is not None:
                cluster = found if cluster is None or cluster is found else _united(cluster, found)
        return cluster

    def _live(self, met: _Met, at: float) -> _Cluster | None:
        """Return the cluster of a message that was met, if one that comes now can belong to it."""
        if abs(at - met.met_s) > self._window_s:
            return None
        last = met
        while last.into is not None:
            last = last.into
        assert isinstance(last, _Cluster)
        if met.met_s < last.cut_s <= at:
            return None
        if met.met_s < self._cuts.line_s <= at:
            last.cut_s = self._cuts.next_s
        return last

    def _next_generation(self) -> None:
        self._old, self._young = self._young, _Tags({}, {})
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
