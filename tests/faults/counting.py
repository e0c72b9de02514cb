"""Letters that the counting worker has counted, through all its lives, beside those that stand in their topic.

A counter begins at nought with its process, where its group stood; a kill takes it away. So each life is looked at by
itself: what it shows at /metrics is not less than what it has committed, and not more than what there is. The life that
is there at the end has counted all that comes after where it began, each letter once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from schemas import metrics, topics, wire
from schemas.deadletters import DeadLetter
from tests.faults import reading
from tests.faults.system import Place, Running, System
from tests.support.wait import until_async

PLACES: Final = [(topics.DEAD_LETTERS, number) for number in range(topics.load(topics.DEAD_LETTERS).partitions)]
PARTS: Final = reading.parts(topics.DEAD_LETTERS)

Kind = tuple[str, str]
"""Who set a letter aside, and why."""


class Letter(NamedTuple):
    """A record of the topic. `kind` is None where it is no letter, or one that says that another was put back."""

    place: Place
    offset: int
    kind: Kind | None


@dataclass
class Look:
    """What one life showed, and what it had committed before that, and where the topic ended after it.

    `held` is what a kill left uncommitted of what was seen.
    """

    life: Running
    committed: Mapping[Place, int]
    seen: Counter[Kind]
    ends: Mapping[Place, int]
    held: int = 0


@dataclass
class Said:
    """Letters that no life counted, that one life counted twice, and that two lives counted, as a kill may have it."""

    lost: int = 0
    doubled: int = 0
    again: int = 0


async def begin_anew(system: System) -> None:
    """Compare from here on, once all letters that there are were counted, and with what the life that is there shows.

    Else what an earlier fault made of its counts would be told of a later one.
    """
    await drained(system, 60.0)
    one = system.processes["counting"]
    one.counted_before = Counter()
    one.began, one.counted_before = await _ends(system), await seen(one)


async def drained(system: System, limit_s: float) -> None:
    """Wait until every record has been counted, and its offset committed. AssertionError at the limit."""

    async def done() -> bool:
        committed = await system.committed("counting")
        return not await letters(system, committed)

    await until_async(done, "counting has worked everything off", limit_s)


async def look(system: System) -> Look:
    """Look at the counts of the life that there is, as Prometheus does."""
    one = system.processes["counting"]
    committed = await system.committed("counting")
    return Look(one, committed, await seen(one), await _ends(system))


async def in_hand_after(system: System, last: Look) -> int:
    """Return how many letters were seen to be counted whose offsets are not committed."""
    records = await letters(system, last.life.began)
    committed = await system.committed("counting")
    return max(0, last.seen.total() - between(records, last.life.began, committed).total())


async def compare(system: System, looks: Sequence[Look]) -> Said:
    """Say what became of the letters of a load that is drained, and during which was looked."""
    one = system.processes["counting"]
    lives = [one, *(look.life for look in looks)]
    records = await letters(system, {place: min(life.began.get(place, 0) for life in lives) for place in PLACES})
    said = Said()
    for each in looks:
        said.lost += (between(records, each.life.began, each.committed) - each.seen).total()
        said.doubled += (each.seen - between(records, each.life.began, each.ends)).total()
        said.again += each.held
    there, counted = between(records, one.began, None), await seen(one)
    said.lost += (there - counted).total()
    said.doubled += (counted - there).total()
    return said


def between(records: list[Letter], began: Mapping[Place, int], end: Mapping[Place, int] | None) -> Counter[Kind]:
    """Return the letters from some offsets to others, or to the end of the topic, by kind."""
    return Counter(
        one.kind
        for one in records
        if one.kind is not None
        and one.offset >= began.get(one.place, 0)
        and (end is None or one.offset < end.get(one.place, 0))
    )


async def seen(one: Running) -> Counter[Kind]:
    """Return what a life shows at /metrics, without what it had counted before it was begun anew."""
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        text = (await client.get(f"{one.url}/metrics")).text
    found: Counter[Kind] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == metrics.DEAD_LETTERS.name:
                found[sample.labels["stage"], sample.labels["reason"]] += int(sample.value)
    return found - one.counted_before


async def letters(system: System, since: Mapping[Place, int]) -> list[Letter]:
    """Return the committed records of the topic from some offsets on."""
    marks = {at: since.get((at.topic, at.partition), 0) for at in PARTS}
    return [
        Letter((one.topic, one.partition), one.offset, _kind(one.value))
        async for one in reading.committed(system, marks)
    ]


def _kind(value: bytes | None) -> Kind | None:
    try:
        letter = wire.decode(value or b"", DeadLetter)
    except wire.Undecodable:
        return None
    return None if letter.replayed_as is not None else (letter.stage, letter.reason)


async def _ends(system: System) -> dict[Place, int]:
    return {(at.topic, at.partition): end for at, end in (await reading.ends(system, PARTS)).items()}
