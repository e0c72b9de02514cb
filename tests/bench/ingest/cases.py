"""The cases of throughput: each a number of reads, and how long they took from one place to the next."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from services.demo.process import Child
from tests.bench.ingest import bare, load
from tests.bench.ingest.bare import Do
from tests.bench.ingest.children import Bare, Failed
from tests.bench.ingest.rig import Rig, Usage
from tests.bench.ingest.steady import Seen, Steady
from tests.bench.ingest.watch import ENRICHER, INDEXER, Topics, begin_at
from tests.support.stages import Worker

BATCH: Final = 5000
"""Of the stages (`batch_records`), and so of the yardsticks."""

AGENTS_SHARE: Final = 100
"""Faust's agents are given one read of so many."""

Until = Callable[[Sequence[Child]], Awaitable[None]]


class Run(NamedTuple):
    """One repetition of a case or of a yardstick: reads, seconds, and what each part used of CPU and memory."""

    name: str
    reads: int
    seconds: float
    used: Usage

    @property
    def rate(self) -> float:
        """Reads a second."""
        return self.reads / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a read, of all parts together."""
        return sum(self.used.cpu_s.values()) / self.reads * 1e6

    def __str__(self) -> str:
        """Say it in a line."""
        cpu = ", ".join(f"{name} {s / self.reads * 1e6:.1f}" for name, s in self.used.cpu_s.items())
        peak = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in self.used.peak.items())
        took = f"{self.name:<16}{self.rate:>9,.0f}/s in {self.seconds:6.1f} s"
        return f"{took} | CPU us a read: {cpu}, all {self.cpu_us:.1f} | peak MiB: {peak}"


class Bench:
    """A load that lies in the topic of detections, and all that can be done with it."""

    def __init__(self, rig: Rig, looks: Topics) -> None:
        """Know the rig."""
        self.rig = rig
        self.looks = looks
        self.made = load.Made(0, datetime.now(UTC), 0, 0)
        self.begin: Mapping[int, int] = {}
        self._rows = rig.folder / "rows"
        self._rounds = 0
        self._vehicles = 0

    async def fill(self, reads: int) -> None:
        """Append a load of so many reads; what follows begins there."""
        await self.looks.make(bare.TOPIC, topics.load(topics.DETECTIONS).partitions)
        self.begin = await self.looks.ends(topics.DETECTIONS)
        first = self.next_vehicles(reads)
        self.made = await load.append(self.rig.bootstrap, self.rig.cameras, reads, datetime.now(UTC), first)

    def keep_rows(self) -> None:
        """Make the rows of the load's reads, for the yardsticks that have them ready."""
        bare.write_rows(self._rows, load.row_batches(self.rig.cameras, self.made, BATCH))

    async def enricher(self) -> tuple[Run, Mapping[int, int]]:
        """Detections in Kafka -> sightings acknowledged. Returns where those begin, too."""
        await begin_at(self.rig.bootstrap, ENRICHER, self.begin)
        begin = await self.looks.ends(topics.SIGHTINGS)
        run = await self._worked("enricher", ("enricher",), lambda who: self.looks.until_done(ENRICHER, who))
        return run, begin

    async def indexer(self, begin: Mapping[int, int]) -> Run:
        """Sightings in Kafka -> rows that all can see."""
        await begin_at(self.rig.bootstrap, INDEXER, begin)
        await self.rig.empty()
        run = await self._worked("indexer", ("indexer",), lambda who: self.looks.until_done(INDEXER, who))
        await self._all_there(0)
        return run

    async def end_to_end(self, name: str = "end_to_end", *, beside: bool = False) -> Run:
        """Detections in Kafka -> passes that all can see; into an empty index, or `beside` what is there."""
        await begin_at(self.rig.bootstrap, INDEXER, await self.looks.ends(topics.SIGHTINGS))
        await begin_at(self.rig.bootstrap, ENRICHER, self.begin)
        await (self.rig.rest() if beside else self.rig.empty())
        stored = await self.rig.visible() if beside else 0

        async def both(who: Sequence[Child]) -> None:
            await self.looks.until_done(ENRICHER, who)
            await self.looks.until_done(INDEXER, who)

        run = await self._worked(name, ("indexer", "enricher"), both)
        await self._all_there(stored)
        return run

    async def steady(self, name: str, what: Steady) -> tuple[Run, Seen]:
        """Both stages under a load that comes as they run."""
        for group, topic in ((INDEXER, topics.SIGHTINGS), (ENRICHER, topics.DETECTIONS)):
            await begin_at(self.rig.bootstrap, group, await self.looks.ends(topic))
        await self.rig.empty()
        async with self._workers(("indexer", "enricher")) as workers, Bare.start("steady", what) as bare:
            pids = {worker.name: worker.pid for worker in workers} | {"load": bare.pid}
            before = self.rig.usage(pids)
            seen = msgspec.json.decode(await bare.answer(), type=Seen)
            used = self.rig.usage(pids).since(before)
        return Run(name, seen.published, seen.seconds, used), seen

    def next_vehicles(self, number: int) -> int:
        """Return the number of the first of so many vehicles that nobody has met."""
        first, self._vehicles = self._vehicles, self._vehicles + number
        return first

    async def decode(self) -> Run:
        """The yardstick of the enricher."""
        return await self._bare("bare_decode", self._do("decode"))

    async def forward(self) -> Run:
        """The yardstick's own: how much of the loop that writes nothing is left, is known."""
        return await self._bare("bare_forward", self._do("forward"))

    async def pair(self) -> Run:
        """The yardstick of both stages together."""
        begin = await self.looks.ends(bare.TOPIC)
        await self.rig.empty()
        run = await self._bare("bare_pair", self._do("forward"), self._do("index", begin=dict(begin)))
        await self._rows_there()
        return run

    async def agents(self) -> Run:
        """The yardstick of those who take Faust as its manual says: fewer reads, since each takes so long."""
        self._rounds += 1
        reads = max(50, self.made.reads // AGENTS_SHARE)
        source, target = (f"bench-agents-{self._rounds}-{name}" for name in ("detections", "sightings"))
        for topic in (source, target):
            await self.looks.make(topic, len(self.begin))
        await load.append_some(self.rig.bootstrap, self.rig.cameras, self.made, reads, source)
        await self.rig.empty()
        dos = [
            msgspec.structs.replace(self._do(kind), reads=reads, source=source, target=target)
            for kind in ("enrich", "index")
        ]
        return await self._bare("agents", *dos, module="agents", reads=reads)

    async def upsert(self) -> Run:
        """The yardstick of the indexer."""
        return await self._into_the_index("bare_upsert", "upsert")

    async def write(self) -> Run:
        """What the indexer's own way of writing takes by itself."""
        return await self._into_the_index("bare_write", "write")

    async def copy(self) -> Run:
        """What no write into the index can go below."""
        return await self._into_the_index("bare_copy", "copy")

    async def _into_the_index(self, name: str, kind: bare.Kind) -> Run:
        await self.rig.empty()
        run = await self._bare(name, self._do(kind))
        await self._rows_there()
        return run

    def _do(self, kind: bare.Kind, begin: Mapping[int, int] | None = None) -> Do:
        return Do(
            kind=kind,
            bootstrap=self.rig.bootstrap,
            # COPY into the index is not the indexer's right.
            url=self.rig.database.superuser_url if kind == "copy" else self.rig.database.url("platetrail_ingest"),
            begin=dict(self.begin if begin is None else begin),
            reads=self.made.reads,
            batch=BATCH,
            file=str(self._rows),
        )

    async def _bare(self, name: str, *dos: Do, module: str = "bare", reads: int = 0) -> Run:
        async with AsyncExitStack() as stack:
            bares = {do.kind: await stack.enter_async_context(Bare.start(module, do)) for do in dos}
            pids = {f"{module}_{kind}": one.pid for kind, one in bares.items()}
            before = self.rig.usage(pids)
            told = await asyncio.gather(*(one.go() for one in bares.values()))
            seconds = max(one.ended for one in told) - min(one.begun for one in told)
            return Run(name, reads or self.made.reads, seconds, self.rig.usage(pids).since(before))

    async def _worked(self, name: str, stages: Sequence[str], until: Until) -> Run:
        """Run stages until their work is done; the clock runs from the last one's word that it is ready."""
        async with self._workers(stages) as workers:
            pids = {worker.name: worker.pid for worker in workers}
            begun, before = _ready_at(workers[-1]), self.rig.usage(pids)
            await until(workers)
            seconds = (datetime.now(UTC) - begun).total_seconds()
            used = self.rig.usage(pids).since(before)
        return Run(name, self.made.reads, seconds, used)

    @asynccontextmanager
    async def _workers(self, stages: Sequence[str]) -> AsyncIterator[list[Worker]]:
        """Start stages, one after the other; stop them at the end of the block."""
        workers: list[Worker] = []
        try:
            for stage in stages:
                workers.append(self.rig.worker(stage))
                await asyncio.to_thread(workers[-1].wait_until_ready)
            yield workers
        finally:
            for worker in workers:
                await asyncio.to_thread(worker.stop)

    async def _all_there(self, stored: int) -> None:
        there = await self.rig.visible() - stored
        if there != self.made.passes:
            raise Failed(f"{there} passes are in the index, and there were {self.made.passes}")

    async def _rows_there(self) -> None:
        there = await self.rig.visible()
        if there != self.made.reads:
            raise Failed(f"a yardstick has written {there} rows of {self.made.reads}")


def _ready_at(worker: Worker) -> datetime:
    """Return when a worker said that it was ready."""
    return datetime.fromisoformat(worker.said("ready")[0]["at"])
