"""What became of a load: lost, doubled, doubled in the topics, set aside; counted against the load's own list."""

import contextlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas import health, topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter
from schemas.detections import Detection
from schemas.health import CameraReport
from schemas.sightings import Sighting
from tests.faults import counting, reading
from tests.faults.load import EPHEMERAL, STRAGGLING_S, Load
from tests.faults.passes import Pass, by_event
from tests.faults.reading import Marks
from tests.faults.system import READS_OF, System
from tests.support.wait import until_async

COUNTED: Final = (topics.DETECTIONS, topics.SIGHTINGS, topics.DEAD_LETTERS, topics.CAMERAS, topics.CAMERA_HEALTH)
DRAIN_S: Final = 240.0

ROWS: Final = """
select pass_id, camera_id, plate, revision from reads.sighting
where superseded_by is null and captured_at >= $1 and camera_id like 'faults-%'
"""


@dataclass
class Found:
    """The result. `lost` and `doubled` by what: passes, changes of the registry, reads in camera health.

    `late` passes are those of which a read came later than a pass may take: their further rows are not doubles.
    """

    reads: int = 0
    passes: int = 0
    resent: int = 0
    late: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)
    strange: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Tell whether nothing was lost, doubled or made up."""
        return not (self.lost.total() or self.doubled.total() or self.strange.total())


class Before:
    """Where the topics ended, what camera health knew, and how often cameras had changed, before a load."""

    def __init__(self, marks: Marks, accepted: dict[str, int], revisions: dict[str, int], broker_kills: int) -> None:
        """Know the topics' ends, the reads accepted by camera, the revisions of cameras, and the broker's kills."""
        self.marks = marks
        self.accepted = accepted
        self.revisions = revisions
        self.broker_kills = broker_kills


async def before(system: System) -> Before:
    """Return how things stand before a load."""
    await counting.begin_anew(system)
    marks = await reading.ends(system, reading.parts(*COUNTED))
    return Before(marks, await accepted(system), await _revisions(system), system.broker_kills)


async def drained(system: System) -> None:
    """Wait until every process has worked off all that it is to work off. AssertionError says what is left."""
    for kind in ("inbox", "enricher", "indexer", "health", "matcher"):

        async def done(kind: str = kind) -> bool:
            return await lag(system, kind) == 0

        await until_async(done, f"{kind} has worked everything off", DRAIN_S)

    async def told() -> bool:
        return not await system.ask("select from registry.outbox limit 1")

    await until_async(told, "the relay has emptied the outbox", DRAIN_S)
    await counting.drained(system, DRAIN_S)


async def lag(system: System, kind: str) -> int:
    """Return how many messages a kind of process has not worked off; -1 if the broker does not say."""
    try:
        committed = await system.committed(kind)
        starts, ends = await reading.bounds(system, reading.parts(*READS_OF[kind]))
    except (OSError, TimeoutError, RuntimeError):  # KafkaError is a RuntimeError
        return -1
    return sum(max(0, end - committed.get((at.topic, at.partition), starts[at])) for at, end in ends.items())


async def count(system: System, load: Load, since: Before) -> Found:
    """Count what became of a load that is drained."""
    found = Found(reads=load.reads, passes=len(load.passes), resent=load.resent)
    found.strange.update(dict.fromkeys(load.refused, 1))
    records, written_at = await read(system, since.marks)
    _tell_late(load, written_at)
    await _count_rows(system, load, found)
    _count_duplicates(records, load, found)
    if +found.dead_letters != +load.bad:
        found.strange[f"dead letters other than {dict(load.bad)}"] += 1
    await _count_changes(system, records, since, found)
    await _count_health(system, records, since, found)
    await _count_letters(system, load, since, found)
    return found


def _tell_late(load: Load, written_at: Mapping[uuid.UUID, list[int]]) -> None:
    """Know the passes of which a read came to the enricher later than a pass may take, by the broker's clock.

    A network's read is acknowledged by the broker long before, if the inbox had to wait.
    """
    for one in load.passes:
        times = [at for event in one.events for at in written_at.get(event, ())]
        one.late = one.late or (bool(times) and max(times) - min(times) > STRAGGLING_S * 1000)


async def _count_rows(system: System, load: Load, found: Found) -> None:
    """A pass has one live row, which all of its reads have voted on."""
    owner_of = by_event(load.passes)
    rows: defaultdict[int, list[Any]] = defaultdict(list)
    for row in await system.ask(ROWS, load.began_at):
        one = owner_of.get(uuid.UUID(str(row["pass_id"])))
        if row["camera_id"] == EPHEMERAL:
            found.strange["ephemeral reads in the index"] += 1
        elif one is None:
            found.strange["rows of no pass"] += 1
        else:
            rows[id(one)].append(row)
    for one in load.passes:
        if one.acknowledged:
            _judge(one, rows[id(one)], found)


def _judge(one: Pass, rows: list[Any], found: Found) -> None:
    found.late += one.late
    if not rows:
        found.lost["passes"] += 1
    elif len(rows) > 1 and not one.late:
        found.doubled["passes"] += 1
    elif not one.late and rows[0]["revision"] < one.acknowledged - 1:
        found.lost["later reads of a pass"] += 1
    elif not one.late and (rows[0]["plate"] != one.plate or rows[0]["revision"] != one.acknowledged - 1):
        found.strange["another vote than that of its reads"] += 1
    else:
        return
    if len(found.examples) < 5:
        told = [(str(row["pass_id"]), row["plate"], row["revision"]) for row in rows]
        found.examples.append(f"{one.camera_id} {one.plate} {one.rightly} {[str(at) for at in one.events]}: {told}")


def _count_duplicates(records: Mapping[str, list[Any]], load: Load, found: Found) -> None:
    detections = [one.event_id for one in _decoded(records[topics.DETECTIONS], Detection)]
    found.duplicates["detections"] = len(detections) - len(set(detections))
    sightings = _decoded(records[topics.SIGHTINGS], Sighting)
    times = Counter((one.pass_id, one.plate_key, one.revision) for one in sightings)
    # A read that was appended again after its pass had ended begins that anew.
    late = {event for one in load.passes if one.late for event in one.events}
    again = Counter({key: number - 1 for key, number in times.items()})
    twice = found.doubled if load.system.transactional else found.duplicates
    twice["sightings"] = sum(number for key, number in again.items() if key[0] not in late)
    found.duplicates["sightings"] += sum(number for key, number in again.items() if key[0] in late)
    letters = _decoded(records[topics.DEAD_LETTERS], DeadLetter)
    written = [letter for letter in letters if letter.replayed_as is None]
    once = {letter.letter_id: letter for letter in written}
    found.duplicates["dead-letters"] = len(written) - len(once)
    found.dead_letters.update(letter.reason for name, letter in once.items() if name not in load.put_back)
    if load.system.transactional:
        # A read that the load itself wrote twice has two letters by right.
        of_reads = Counter(
            one.detection.event_id for one in written if one.detection and one.letter_id not in load.put_back
        )
        found.doubled["dead-letters"] = (of_reads - Counter(detections)).total()


async def _count_changes(system: System, records: Mapping[str, list[Any]], since: Before, found: Found) -> None:
    """Every revision of a camera that the table had is in the stream."""
    seen = Counter((one.camera_id, one.revision) for one in _cameras(records))
    found.duplicates["cameras"] = seen.total() - len(seen)
    for camera_id, revision in (await _revisions(system)).items():
        wanted = range(since.revisions.get(camera_id, -1) + 1, revision + 1)
        found.lost["changes of the registry"] += sum((camera_id, one) not in seen for one in wanted)


async def _revisions(system: System) -> dict[str, int]:
    rows = await system.ask("select camera_id, revision from registry.camera where camera_id like 'faults-renamed-%'")
    return {row["camera_id"]: row["revision"] for row in rows}


async def _count_health(system: System, records: Mapping[str, list[Any]], since: Before, found: Found) -> None:
    """What the reports say that was accepted, each once, is what the table says."""
    reports = _decoded(records[topics.CAMERA_HEALTH], CameraReport)
    once = {(one.camera_id, one.source, one.sequence): one for one in reports}
    found.duplicates["camera-health"] = len(reports) - len(once)
    reported: Counter[str] = Counter()
    for one in once.values():
        reported[one.camera_id] += one.accepted
    for camera_id, number in (await accepted(system)).items():
        more = number - since.accepted.get(camera_id, 0) - reported[camera_id]
        if more:
            (found.doubled if more > 0 else found.lost)["reads in camera health"] += abs(more)


async def _count_letters(system: System, load: Load, since: Before, found: Found) -> None:
    """What was counted, life by life, is what is in the topic from where that life began."""
    said = await counting.compare(system, load.looks)
    found.lost["letters counted"] = said.lost
    # Without a broker, an agent may begin anew where it had committed last, within one life.
    killed = system.broker_kills > since.broker_kills
    (found.duplicates if killed else found.doubled)["letters counted"] = said.doubled
    found.duplicates["letters counted again after a kill"] = said.again


async def accepted(system: System) -> dict[str, int]:
    """Return how many accepted reads camera health knows of, by camera."""
    rows = await system.ask("select camera_id, state from registry.camera_health")
    states = {row["camera_id"]: health.decode(row["state"]) for row in rows}
    return {name: sum(hour.accepted for hour in state.hours.values()) for name, state in states.items()}


def _decoded(records: list[tuple[bytes, bytes]], shape: type[wire.T]) -> list[wire.T]:
    """Return what records hold; those that nobody can read, which were written on purpose, are passed over."""
    found: list[wire.T] = []
    for _, value in records:
        with contextlib.suppress(wire.Undecodable):
            found.append(wire.decode(value, shape))
    return found


def _cameras(records: Mapping[str, list[Any]]) -> list[Camera]:
    return [one for one in _decoded(records[topics.CAMERAS], Camera) if one.camera_id.startswith("faults-renamed-")]


async def read(system: System, marks: Marks) -> tuple[dict[str, list[tuple[bytes, bytes]]], dict[uuid.UUID, list[int]]]:
    """Return what was appended to topics since the marks, and committed where it belongs to a transaction.

    Also when each detection was appended, as often as it was, in milliseconds of the broker's clock.

    AssertionError if the broker is too slow about it, or a transaction does not end.
    """
    found: dict[str, list[tuple[bytes, bytes]]] = {name: [] for name in COUNTED}
    written_at: defaultdict[uuid.UUID, list[int]] = defaultdict(list)
    async for record in reading.committed(system, marks, await reading.ends(system, marks)):
        if record.value is None:
            continue
        found[record.topic].append((record.key or b"", record.value))
        if record.topic == topics.DETECTIONS:
            with contextlib.suppress(wire.Undecodable):
                written_at[wire.decode(record.value, Detection).event_id].append(record.timestamp)
    return found, written_at
