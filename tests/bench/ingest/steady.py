"""A steady load, and how long its reads take until others can see them.

Run as `python -m tests.bench.ingest.steady`, which is told a Steady (`children`) and answers with a Seen.

Reads are published at times that were fixed beforehand, whatever became of those before: a system that stalls gets no
fewer of them. One read of each publication is looked for in the index, again and again, over a connection of its own,
as somebody would who searches; it counts as seen when the answer that holds it has arrived. So what is measured is
never less than the truth, and more by half the time between two looks.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics, wire
from schemas.detections import Detection
from tests.bench.ingest import load
from tests.bench.ingest.children import Failed, Gate, run

TICK_S: Final = 0.01
"""Between two publications."""

TOGETHER: Final = 5
"""Reads that a camera sends at a time."""

PAUSE_S: Final = 0.003
"""Between two looks."""

AT_ONCE: Final = 500
"""Reads that one look asks for, the oldest first."""

PATIENCE_S: Final = 120.0
LOOK: Final = "select pass_id from reads.sighting where pass_id = any($1::uuid[]) and captured_at >= $2"


class Steady(msgspec.Struct, kw_only=True):
    """Where, how many reads a second, for how long; those of the first seconds are not looked for."""

    bootstrap: str
    url: str
    rate: int
    warm_s: float
    measure_s: float
    first: int


class Seen(msgspec.Struct, kw_only=True):
    """Seconds from the acknowledgement, and from the time at which it should have been sent, until a read was seen.

    `published` counts all reads, `seconds` is how long it took to publish them.
    """

    since_accepted: list[float]
    since_due: list[float]
    published: int
    seconds: float


class _Waiting(NamedTuple):
    due: float
    accepted: float
    captured: datetime


class _Run:
    def __init__(self, what: Steady, publisher: KafkaPublisher, connection: Any, look: Any) -> None:
        self.what = what
        self.seen = Seen(since_accepted=[], since_due=[], published=0, seconds=0.0)
        self._publisher = publisher
        self._connection = connection
        self._look = look
        self._cameras = load.cameras()
        self._dice = random.Random(what.first)
        self._waiting: dict[uuid.UUID, _Waiting] = {}
        self._over = False

    async def publish(self) -> None:
        """Publish all reads, each batch at its time."""
        share = max(1, round(self.what.rate * TICK_S))
        every_s = share / self.what.rate
        begun = time.monotonic()
        sending = set()
        for tick in range(int((self.what.warm_s + self.what.measure_s) / every_s)):
            due = begun + tick * every_s
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._send(due, self._reads(tick * share, share), due - begun))
            sending.add(task)
            task.add_done_callback(sending.discard)
        while sending:
            await asyncio.wait(sending)
        self.seen.seconds = time.monotonic() - begun
        self._over = True

    def _reads(self, number: int, share: int) -> list[Detection]:
        now = datetime.now(UTC)
        return [
            load.one(camera, self.what.first + number + at, now, self._dice)
            for begin in range(0, share, TOGETHER)
            for camera in [self._dice.choice(self._cameras)]
            for at in range(begin, min(begin + TOGETHER, share))
        ]

    async def _send(self, due: float, reads: Sequence[Detection], at_s: float) -> None:
        records = [(read.camera_id.encode(), wire.encode(read)) for read in reads]
        refused = [result for result in await self._publisher.publish(topics.DETECTIONS, records) if result]
        if refused:
            raise Failed(f"the broker refuses {len(refused)} detections: {refused[0]}")
        self.seen.published += len(reads)
        if at_s >= self.what.warm_s:
            one = self._dice.choice(reads)
            self._waiting[one.event_id] = _Waiting(due, time.monotonic(), one.captured_at)

    async def look(self) -> None:
        """Look for reads until all were published and seen."""
        progress = time.monotonic()
        while self._waiting or not self._over:
            ids = list(self._waiting)[:AT_ONCE]
            if ids:
                since = min(self._waiting[one].captured for one in ids) - timedelta(seconds=1)
                found = await self._look.fetch(ids, since)
                now = time.monotonic()
                for row in found:
                    self._note(row["pass_id"], now)
                    progress = now
                if now - progress > PATIENCE_S:
                    raise Failed(f"{len(self._waiting)} reads were not seen within {PATIENCE_S:.0f} s")
            await asyncio.sleep(PAUSE_S)

    def _note(self, pass_id: uuid.UUID, now: float) -> None:
        was = self._waiting.pop(pass_id, None)
        if was is not None:
            self.seen.since_accepted.append(now - was.accepted)
            self.seen.since_due.append(now - was.due)


async def work(what: Steady, gate: Gate) -> Seen:
    """Publish and look."""
    connection = await asyncpg.connect(what.url, server_settings={"timezone": "UTC"})
    async with KafkaPublisher(what.bootstrap, timeout_s=30) as publisher:
        one = _Run(what, publisher, connection, await connection.prepare(LOOK))
        await gate.opens()
        async with asyncio.TaskGroup() as group:
            group.create_task(one.publish())
            group.create_task(one.look())
    await connection.close()
    return one.seen


if __name__ == "__main__":
    run(Steady, work)
