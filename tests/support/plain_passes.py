"""`ingest.passes` in the plainest words, to hold the fast one to: every read is looked at for every other one.

It knows no restart and no beginning that is gone, and remembers everything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.errors import SetAside
from ingest.passes import MAX_PASSES, MAX_READS, Made, Place, Read
from ingest.votes import agree, graves
from schemas.sightings import Sighting
from tests.support.plain_votes import is_one_apart, named, vote


@dataclass(eq=False)
class _Pass:
    opened_s: float
    key: str
    lane: int | None
    reads: list[Sighting]
    former: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Cluster:
    start: int
    passes: list[_Pass] = field(default_factory=list)
    cut_s: float | None = None


@dataclass
class _Met:
    cluster: _Cluster
    at: float
    content: int


class Plain:
    """All partitions."""

    def __init__(self, window_s: float, longest_windows: int) -> None:
        """See `passes.State`."""
        self.window_s, self.cell_s = window_s, window_s * longest_windows
        self.met: dict[Place, dict[object, _Met]] = {}

    def advance(self, batch: Iterable[Read]) -> list[Made]:
        """See `passes.advance`."""
        return [[] if read.sighting is None else self._take(read, read.sighting) for read in batch]

    def _take(self, read: Read, sighting: Sighting) -> Made:
        at, met = read.appended_s, self.met.setdefault(read.place, {})
        known = self._live(read.place, sighting.pass_id, at)
        if known is not None:
            first = met[sighting.pass_id]
            met[sighting.pass_id] = _Met(known, at, first.content)
            return [] if first.content == read.content else SetAside("conflicting_resend")
        tags: list[object] = []
        if sighting.plate is not None:
            tags = [(sighting.camera_id, key) for key in (sighting.plate_key, *named(sighting))]
        found = [one for tag in tags if (one := self._live(read.place, tag, at)) is not None]
        cluster = self._united(read.place, found) if found else _Cluster(read.offset)
        for tag in (sighting.pass_id, *tags):
            met[tag] = _Met(cluster, at, read.content)
        return [sighting] if sighting.plate is None else self._into_pass(cluster, at, sighting)

    def _live(self, place: Place, tag: object, at: float) -> _Cluster | None:
        found = self.met[place].get(tag)
        if found is None or abs(at - found.at) > self.window_s:
            return None
        cell = at // self.cell_s * self.cell_s + self.cell_s
        if found.cluster.cut_s is not None and found.at < found.cluster.cut_s <= at:
            return None
        if found.at < cell - self.window_s <= at:
            found.cluster.cut_s = cell
        return found.cluster

    def _united(self, place: Place, found: list[_Cluster]) -> _Cluster:
        oldest = min(found, key=lambda one: one.start)
        for other in found:
            if other is oldest:
                continue
            both = sorted([*oldest.passes, *other.passes], key=lambda one: one.opened_s)
            oldest.passes, other.passes = both[-MAX_PASSES:], []
            if other.cut_s is not None:
                oldest.cut_s = max(oldest.cut_s or 0.0, other.cut_s)
            for one in self.met[place].values():
                if one.cluster is other:
                    one.cluster = oldest
        return oldest

    def _into_pass(self, cluster: _Cluster, at: float, sighting: Sighting) -> list[Sighting]:
        cluster.passes = [one for one in cluster.passes if abs(at - one.opened_s) <= self.window_s]
        for one in cluster.passes:
            if self._takes(one, at, sighting):
                return _added(one, sighting)
        if len(cluster.passes) < MAX_PASSES:
            cluster.passes.append(_Pass(at, sighting.plate_key, sighting.lane, [sighting]))
        return [sighting]

    def _takes(self, one: _Pass, at: float, sighting: Sighting) -> bool:
        late_s = (sighting.captured_at - one.reads[0].captured_at).total_seconds()
        if abs(late_s) > self.window_s or not 0 <= at - one.opened_s <= self.window_s:
            return False
        if None not in (one.lane, sighting.lane) and one.lane != sighting.lane:
            return False
        if sighting.plate_key == one.key:
            return True
        behind = [set(named(read)) for read in one.reads if read.plate_key == one.key]
        names = set.intersection(*behind) if behind else set()
        return (
            is_one_apart(sighting.plate_key, one.key)
            and (sighting.plate_key in names or one.key in named(sighting))
            and all(agree(read, sighting) for read in one.reads)
        )


def _added(one: _Pass, sighting: Sighting) -> list[Sighting]:
    if len(one.reads) >= MAX_READS:
        return []
    one.reads.append(sighting)
    now = vote(one.reads)
    one.lane = now.lane if one.lane is None else one.lane
    if now.plate_key == one.key:
        return [now]
    one.former = [key for key in (*one.former, one.key) if key != now.plate_key]
    one.key = now.plate_key
    return [now, *graves(now, one.former)]
