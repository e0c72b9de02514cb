"""The whole simulation: a world, its vehicles, their passes and reads, pushed to a gateway."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import msgspec

from services.simulate.errors import ErrorModel, load_errors
from services.simulate.misreads import make_reads
from services.simulate.push import BATCH, CAMERAS_AT_ONCE, Progress, Pusher
from services.simulate.trips import make_passes
from services.simulate.truth import Truth, write_truth
from services.simulate.vehicles import make_vehicles
from services.simulate.world import World

VEHICLES: Final = 600
DAYS: Final = 3.0


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation holds, and what became of its reads at the gateway (`statuses`; empty before the push)."""

    vehicles: int
    passes: int
    reads: int
    right: int
    misread: int
    without_plate: int
    passes_unseen: int
    second_reads: int
    into_other_plates: int
    statuses: dict[str, int]


def generate(
    world: World,
    now: datetime,
    *,
    vehicles: int = VEHICLES,
    days: float = DAYS,
    errors: ErrorModel | None = None,
    traffic_seed: int | None = None,
) -> Truth:
    """Return what happens in a world in the `days` before `now` (aware). The same for the same arguments.

    `traffic_seed` puts other vehicles on the world's roads than its own seed does. Raises ValueError if `now` has no
    time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    if traffic_seed is not None:
        world = msgspec.structs.replace(world, seed=traffic_seed)  # roads and cameras stay as they are
    start = now - timedelta(days=days)
    driven = make_vehicles(world, vehicles)
    passes = make_passes(world, driven, start, now)
    reads = make_reads(world, driven, passes, errors if errors is not None else load_errors())
    return Truth(seed=world.seed, start=start, now=now, vehicles=driven, passes=passes, reads=reads)


async def run(
    truth: Truth,
    gateway_url: str,
    keys: Mapping[str, str],
    *,
    batch: int = BATCH,
    cameras_at_once: int = CAMERAS_AT_ONCE,
    progress: Callable[[Progress], None] | None = None,
    truth_file: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Truth:
    """Push all reads of a simulation to a gateway and return the truth with what it said of each.

    `keys` maps camera ids to their keys. With `truth_file` the result is also written there. Raises what
    `Pusher.push` raises. `transport` replaces the network.
    """
    async with httpx.AsyncClient(base_url=gateway_url, transport=transport, trust_env=False) as client:
        pusher = Pusher(client, keys, batch=batch, at_once=cameras_at_once, progress=progress)
        answered = truth.with_answers(await pusher.push(truth.reads))
    if truth_file is not None:
        write_truth(answered, truth_file)
    return answered


def count(truth: Truth) -> Counts:
    """Return the numbers of a simulation."""
    plates = {vehicle.plate for vehicle in truth.vehicles}
    seen = Counter(read.of_pass for read in truth.reads)
    wrong = [read for read in truth.reads if read.text is not None and not read.right]
    return Counts(
        vehicles=len(truth.vehicles),
        passes=len(truth.passes),
        reads=len(truth.reads),
        right=sum(read.right for read in truth.reads),
        misread=len(wrong),
        without_plate=sum(read.text is None for read in truth.reads),
        passes_unseen=len(truth.passes) - len(seen),
        second_reads=len(truth.reads) - len(seen),
        into_other_plates=sum(read.text in plates for read in wrong),
        statuses=dict(Counter(read.status for read in truth.reads if read.status is not None)),
    )
