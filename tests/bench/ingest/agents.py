"""The yardstick of those who take Faust as its manual says: an agent a stage, one event at a time, each its own insert.

Run as `python -m tests.bench.ingest.agents`, which is told a Do (`children`); its `kind` says which of the two stages.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import faust

from ingest.enrich import enrich
from ingest.rows import COLUMNS, rows
from schemas import wire
from schemas.detections import Detection
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from tests.bench.ingest import load
from tests.bench.ingest.bare import Do
from tests.bench.ingest.children import Gate, run

INSERT: Final = (
    f"insert into reads.sighting ({', '.join(COLUMNS)}) "
    f"values ({', '.join(f'${at}' for at in range(1, len(COLUMNS) + 1))}) on conflict do nothing"
)

Each = Callable[[bytes], Awaitable[Any]]


async def work(do: Do, gate: Gate) -> None:
    """Run the agent until it has had all events; the clock runs from the first."""
    await gate.opens()
    app = faust.App(
        f"{do.source}-{do.kind}", broker=f"kafka://{do.bootstrap}", web_enabled=False, worker_redirect_stdouts=False
    )
    if do.kind == "enrich":
        each, source = _enriching(app.topic(do.target, value_serializer="raw", key_serializer="raw")), do.source
    else:
        each, source = await _indexing(do.url), do.target
    done = asyncio.Event()

    @app.agent(app.topic(source, value_serializer="raw", key_serializer="raw"))
    async def take(stream: Any) -> None:
        met = 0
        async for value in stream:
            if met == 0:
                gate.begun = time.monotonic()
            await each(value)
            met += 1
            if met == do.reads:
                gate.closes()
                done.set()

    await app.start()
    await done.wait()


def _enriching(target: Any) -> Each:
    known = {one.camera_id: one for one in load.cameras()}
    rules = OwnerRules()

    async def each(value: bytes) -> None:
        [sighting] = enrich(known, rules, datetime.now(UTC), [wire.decode(value, Detection)])
        assert isinstance(sighting, Sighting)
        await target.send(key=sighting.plate_key.encode(), value=wire.encode(sighting))

    return each


async def _indexing(url: str) -> Each:
    connection = await asyncpg.connect(url)
    insert = await connection.prepare(INSERT)

    async def each(value: bytes) -> None:
        await insert.fetch(*rows([wire.decode(value, Sighting)])[0].values)

    return each


if __name__ == "__main__":
    run(Do, work)
