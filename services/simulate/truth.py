"""What really happened: every vehicle, pass and read of a simulation, kept as a file, and held against an answer.

The truth holds plates of vehicles that do not exist. It is written for its owner alone all the same: the habit counts.
"""

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.simulate.misreads import Read
from services.simulate.trips import Pass
from services.simulate.vehicles import Vehicle

PASS_WINDOW: Final = timedelta(seconds=30)
"""Reads of one plate at one camera within this time are one point of an answer."""

LEAST_PASSES: Final = 8
LEAST_ZONES: Final = 2
ENOUGH_PASSES: Final = 12
"""More passes than this do not make a vehicle a better example."""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation from `start` to `now` (UTC). Vehicles, passes and reads stand at the index of their number."""

    seed: int
    start: datetime
    now: datetime
    vehicles: tuple[Vehicle, ...]
    passes: tuple[Pass, ...]
    reads: tuple[Read, ...]

    def with_answers(self, answers: Mapping[int, tuple[str, uuid.UUID | None]]) -> "Truth":
        """Return the truth with what the gateway said of each read: its status and event id, by the read's number."""
        reads = [
            msgspec.structs.replace(read, status=answers[read.number][0], event_id=answers[read.number][1])
            if read.number in answers
            else read
            for read in self.reads
        ]
        return msgspec.structs.replace(self, reads=tuple(reads))


class _Header(msgspec.Struct, frozen=True, kw_only=True, tag="simulation"):
    seed: int
    start: datetime
    now: datetime


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question under `exact`: a vehicle's plate in a half-open window, of the owners whose reads may be shown.

    With a region, reads of another region are not expected; reads of unknown region are.
    """

    vehicle: int
    start: datetime
    end: datetime
    owners: frozenset[str]
    region: str | None = None

    def in_window(self, read: Read) -> bool:
        """Return whether the time that the camera claimed lies in the window."""
        return self.start <= read.detection.captured_at < self.end


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """An answer held against the truth. Passes are named by number, points by pass id.

    `missing`: expected, and not answered. `foreign`: points of other vehicles that were not misread into this plate.
    `forbidden`: points of owners that did not permit it. `outside`: points outside the window. `unknown`: points of no
    read that was pushed. `other_text`: the vehicle's own passes, none of whose reads has this plate. `repeated`:
    passes with more than one point. `mistaken` is no disagreement: vehicles misread into this plate, which an exact
    match cannot tell apart; nor is `undecided`: the vehicle's own passes of which another read has another plate.
    `withheld` counts the passes of other owners that a full answer would have had.
    """

    expected: int
    answered: int
    withheld: int
    missing: tuple[int, ...]
    foreign: tuple[uuid.UUID, ...]
    forbidden: tuple[uuid.UUID, ...]
    outside: tuple[uuid.UUID, ...]
    unknown: tuple[uuid.UUID, ...]
    other_text: tuple[uuid.UUID, ...]
    repeated: tuple[int, ...]
    mistaken: tuple[uuid.UUID, ...]
    undecided: tuple[uuid.UUID, ...]

    @property
    def agrees(self) -> bool:
        """True if nothing is missing and nothing is in the answer that may not be."""
        faults = (self.missing, self.foreign, self.forbidden, self.outside, self.unknown, self.other_text)
        return not any(faults) and not self.repeated


def expected(truth: Truth, asked: Asked) -> tuple[Pass, ...]:
    """Return the passes that an exact answer must hold: pushed with the plate right, in the window, permitted.

    Of a pass whose reads disagree, their vote decides under which plate it is: an answer may hold it, and need not.
    """
    numbers = {
        read.of_pass for read in _right(truth, asked) if read.owner in asked.owners and _region_fits(read, asked)
    }
    return tuple(truth.passes[number] for number in sorted(numbers))


def withheld(truth: Truth, asked: Asked) -> tuple[Pass, ...]:
    """Return the passes that an exact answer must not hold, since their owners do not permit it."""
    numbers = {read.of_pass for read in _right(truth, asked) if read.owner not in asked.owners}
    return tuple(truth.passes[number] for number in sorted(numbers))


def _right(truth: Truth, asked: Asked) -> Iterable[Read]:
    undecided = _undecided(truth)
    for read in truth.reads:
        if read.vehicle == asked.vehicle and _counts(read, undecided) and asked.in_window(read):
            yield read


def _undecided(truth: Truth) -> frozenset[int]:
    """Return the passes of which a read has another plate than the vehicle's."""
    return frozenset(read.of_pass for read in truth.reads if read.text is not None and not read.right)


def _counts(read: Read, undecided: frozenset[int]) -> bool:
    return read.right and read.status == "accepted" and read.of_pass not in undecided


def _region_fits(read: Read, asked: Asked) -> bool:
    return asked.region is None or read.detection.region in (None, asked.region)


def agrees(pass_ids: Iterable[uuid.UUID], truth: Truth, asked: Asked) -> Agreement:
    """Hold an answer, given by the pass ids of the points of all its pages, against the truth.

    A pass id is the event id of one of the pass's reads. Only what was pushed and answered counts: give the truth that
    the push returned.
    """
    return _Comparison(truth, asked).result(list(pass_ids))


class _Comparison:
    def __init__(self, truth: Truth, asked: Asked) -> None:
        self._truth = truth
        self._asked = asked
        self._plate = truth.vehicles[asked.vehicle].plate
        self._read_of = {read.event_id: read for read in truth.reads if read.event_id is not None}
        # Passes of which at least one read has this plate, rightly or not.
        self._with_plate = {read.of_pass for read in truth.reads if read.text == self._plate}
        self._undecided = _undecided(truth)

    def result(self, pass_ids: list[uuid.UUID]) -> Agreement:
        kinds = {pass_id: self._kind(self._read_of.get(pass_id)) for pass_id in pass_ids}
        found = Counter(self._read_of[pass_id].of_pass for pass_id in pass_ids if pass_id in self._read_of)
        own = [self._read_of[pass_id] for pass_id in pass_ids if kinds[pass_id] in ("own", "mistaken")]
        must = expected(self._truth, self._asked)

        def of(kind: str) -> tuple[uuid.UUID, ...]:
            return tuple(pass_id for pass_id in pass_ids if kinds[pass_id] == kind)

        return Agreement(
            expected=len(must),
            answered=len(pass_ids),
            withheld=len(withheld(self._truth, self._asked)),
            missing=tuple(one.number for one in must if not any(_covers(read, one) for read in own)),
            foreign=of("foreign"),
            forbidden=of("forbidden"),
            outside=of("outside"),
            unknown=of("unknown"),
            other_text=of("other_text"),
            repeated=tuple(number for number, times in sorted(found.items()) if times > 1),
            mistaken=of("mistaken"),
            undecided=tuple(one for one in of("own") if self._read_of[one].of_pass in self._undecided),
        )

    def _kind(self, read: Read | None) -> str:
        if read is None:
            return "unknown"
        if read.owner not in self._asked.owners:
            return "forbidden"
        if not self._asked.in_window(read):
            return "outside"
        has_plate = read.of_pass in self._with_plate
        if read.vehicle == self._asked.vehicle:
            return "own" if has_plate else "other_text"
        return "mistaken" if has_plate else "foreign"


def _covers(read: Read, one: Pass) -> bool:
    """Return whether a point stands for a pass: by a read of it, or of a pass that no reader could part from it."""
    if read.of_pass == one.number:
        return True
    return read.camera_id == one.camera_id and abs(read.detection.captured_at - one.at) <= PASS_WINDOW


def choose_vehicle(truth: Truth, start: datetime, end: datetime, owners: frozenset[str], silent: str) -> Vehicle | None:
    """Return the best vehicle to ask for, or None if there is none.

    It has at least 8 passes that an answer must hold, in time zones of at least two UTC offsets, and one at least at
    a camera of `silent`, an owner that does not permit. Among those, one with up to 12 passes, and with a misread of
    another vehicle into its plate if there is such, comes first.
    """
    best: tuple[tuple[int, int, int], Vehicle] | None = None
    texts = Counter(read.text for read in truth.reads if not read.right)
    for vehicle, reads in zip(truth.vehicles, _by_vehicle(truth, start, end), strict=True):
        permitted = [read for read in reads if read.owner in owners]
        count = len({read.of_pass for read in permitted})
        zones = len({end.astimezone(ZoneInfo(read.timezone)).utcoffset() for read in permitted})
        if count < LEAST_PASSES or zones < LEAST_ZONES or all(read.owner != silent for read in reads):
            continue
        rank = (min(count, ENOUGH_PASSES), min(texts[vehicle.plate], 1), zones)
        if best is None or rank > best[0]:
            best = (rank, vehicle)
    return None if best is None else best[1]


def _by_vehicle(truth: Truth, start: datetime, end: datetime) -> list[list[Read]]:
    """Return, for each vehicle, its reads that were accepted with the plate right in the window, and not outvoted."""
    reads: list[list[Read]] = [[] for _ in truth.vehicles]
    undecided = _undecided(truth)
    for read in truth.reads:
        if _counts(read, undecided) and start <= read.detection.captured_at < end:
            reads[read.vehicle].append(read)
    return reads


def write_truth(truth: Truth, path: Path) -> None:
    """Write the truth as JSON Lines, readable for its owner alone, whole or not at all."""
    encode = msgspec.json.Encoder().encode
    header = _Header(seed=truth.seed, start=truth.start, now=truth.now)
    unfinished = path.with_name(path.name + ".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for line in (header, *truth.vehicles, *truth.passes, *truth.reads):
            file.write(encode(line) + b"\n")
    unfinished.replace(path)


def read_truth(path: Path) -> Truth:
    """Return the truth of a file.

    Raises msgspec.ValidationError if a line is none of ours, ValueError if the first is not the header.
    """
    decode = msgspec.json.Decoder(_Header | Vehicle | Pass | Read).decode
    with path.open("rb") as file:
        first, *rest = (decode(line) for line in file)
    if not isinstance(first, _Header):
        raise ValueError("the file does not begin with a simulation's header")
    return Truth(
        seed=first.seed,
        start=first.start.astimezone(UTC),
        now=first.now.astimezone(UTC),
        vehicles=tuple(line for line in rest if isinstance(line, Vehicle)),
        passes=tuple(line for line in rest if isinstance(line, Pass)),
        reads=tuple(line for line in rest if isinstance(line, Read)),
    )
