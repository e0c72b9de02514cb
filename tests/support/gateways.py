"""A gateway in memory, as one camera sees it."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
from starlette.applications import Starlette

from ingest.adapters.memory import InMemory, MemoryPublisher, MemoryRegistry
from ingest.budget import Budget
from ingest.gateway import Gateway, Limits
from ingest.identify import Identify
from ingest.receive import Receiver
from ingest.tally import Tallies
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from schemas.owners import OwnerRules
from tests.support.cameras import camera


class Pushing(NamedTuple):
    """A camera's client, and what is behind the gateway: the publisher, and (format, status, reason) of each item."""

    client: httpx.AsyncClient
    camera: Camera
    publisher: MemoryPublisher
    counted: list[tuple[str, str, str]]
    key: str
    tallies: Tallies

    async def push(self, path: str, body: bytes, content_type: str, **headers: str) -> httpx.Response:
        return await self.client.post(path, content=body, headers={"Content-Type": content_type, **headers})

    def detections(self) -> list[Detection]:
        return [wire.decode(value, Detection) for _, value in self.publisher.records.get(topics.DETECTIONS, [])]


@asynccontextmanager
async def pushing(now: datetime | None = None, *, body_bytes: int = 1_000_000) -> AsyncIterator[Pushing]:
    """Yield a new gateway with one registered camera, whose clock always says `now`. Bodies may have `body_bytes`."""
    one, key = camera("cam-1")
    counted: list[tuple[str, str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InMemory)
        publisher, registry = MemoryPublisher(), MemoryRegistry([one])
    tallies = Tallies()
    gateway = Gateway(
        Receiver(publisher, OwnerRules(), future_limit_s=300, tallies=tallies),
        Identify(registry, new_key_s=0, tell=tallies.refused),
        Budget(10 * body_bytes),
        Limits(body_bytes=body_bytes, items=5000),
        tallies=tallies,
        count=lambda format_, status, reason, number: counted.extend([(format_, status, reason)] * number),
        clock=lambda: now or datetime.now(UTC),
    )
    transport = httpx.ASGITransport(Starlette(routes=gateway.routes()))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield Pushing(client, one, publisher, counted, key, tallies)
