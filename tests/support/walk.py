"""Samples full of markers on their way through every process: pushed, relayed, indexed, or set aside."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from ingest.envelopes import MAX_MESSAGES
from ingest.formats.read import Read
from schemas.cameras import Camera
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child
from tests.support import samples
from tests.support.allow_list import LISTED, Marker, changed, dotted, places
from tests.support.cameras import camera
from tests.support.database import Database
from tests.unit.ingest.formats.expected import EXPECTED

AROUND: Final = ("User-Agent", "Cookie", "Referer", "X-Forwarded-For", "From", "X-Request-Id", "Accept-Language", "Via")
JSON: Final = "application/json"
OF_SAMPLES: Final = ("leaves", "wholes", "future", "past", "retired", "poisoned", "ephemeral")
OTHERS: Final = ("listed", "native", "rubbish", "leaky")
"""The ways of pushing. What became of a read tells which way it came: each has cameras of its own.

Each sample has one too, so that no two samples are votes of one pass.
"""

PLATES: Final[dict[str, tuple[Any, ...]]] = {
    "openalpr/alpr_group.json": ("best_plate_number",),
    "platerecognizer/stream_webhook.json": ("data", "results", 0, "plate"),
    "dahua/TrafficJunction_car.json": ("params", "eventList", 0, "Data", "Object", "Text"),
    "dahua_itsapi/TollgateInfo.json": ("Picture", "Plate", "PlateNumber"),
    "axis/event.json": ("plateUTF8",),
    "ngsi/AnprFlowObserved.json": ("observedVehicle", "licensePlate", "identifier"),
    "genetec/read.json": ("Plate",),
    "verkada/webhook.json": ("data", "license_plate_number"),
    "frigate/lpr.json": ("plate",),
}
"""Where the plate stands in one sample a format."""


class Pushed(NamedTuple):
    """One request: the way it was meant to go, the sample or what else it held, and all of its answer."""

    way: str
    name: str
    status: int
    answer: bytes


class Walk:
    """The processes of the whole path, a camera for each way of pushing, and what was answered."""

    def __init__(self, kafka: Kafka, database: Database, folder: Path, make: Callable[[], str]) -> None:
        """Know the servers, where logs go, and what makes markers; nothing runs yet."""
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.pushed: list[Pushed] = []
        self.logs: list[Path] = []
        self.children: list[Child] = []
        self.cameras = {
            place: camera(handling="ephemeral" if place.startswith("ephemeral") else "standard") for place in _places()
        }
        self._kafka, self._database, self._folder, self.make = kafka, database, folder, make
        self.traces_endpoint = ""
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[int]:
        """Run the gateway as a process of its own, and yield its port."""
        child = await self.process("gateway", ["-m", "services.gateway"])
        [port] = [json.loads(line)["port"] for line in child.output().splitlines() if '"ready"' in line]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            self._client = client
            yield port

    async def process(self, name: str, argv: list[str], role: str = "platetrail_ingest") -> Child:
        """Start a Python process with a role of the database, and wait until it is ready."""
        log = self._folder / f"{name}.log"
        env = {
            "PLATETRAIL_KAFKA_BOOTSTRAP": self._kafka.bootstrap,
            "PLATETRAIL_DATABASE_URL": self._database.url(role),
            "PLATETRAIL_LISTEN_PORT": "0",
            "PLATETRAIL_HEALTH_REPORT_S": "0.5",
            "PLATETRAIL_SESSION_TIMEOUT_S": "6",
            "PLATETRAIL_LOG_LEVEL": "debug",
            "PLATETRAIL_TRACES_ENDPOINT": self.traces_endpoint,
            "PLATETRAIL_TRACES_SAMPLE": "1",
        }
        child = Child(name, [sys.executable, *argv], log_file=log, env=env, cwd=ROOT)
        self.children.append(child)
        self.logs.append(log)
        await asyncio.to_thread(child.wait_ready, lambda: '"ready"' in child.output(), 60)
        return child

    async def watch(self) -> None:
        """Ask each worker that runs what whoever watches over it asks, and note all of its answer."""
        for child in self.children:
            ports = [json.loads(line)["port"] for line in child.output().splitlines() if '"listening"' in line]
            if child.returncode is None and ports:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", trust_env=False) as client:
                    for way, path in (("metrics", "/metrics"), ("ready", "/readyz"), ("alive", "/healthz")):
                        answer = await client.get(f"{path}?{self.make()}", headers=self.around())
                        said = repr(answer.headers.raw).encode() + answer.content
                        self.pushed.append(Pushed(way, child.name, answer.status_code, said))

    def of(self, way: str) -> list[Camera]:
        """Return the cameras of a way."""
        return [one for place, (one, _) in self.cameras.items() if place.partition(" ")[0] == way]

    async def samples(self, way: str, age: timedelta, *, whole: bool = False, plate: str | None = None) -> None:
        """Push every sample, `age` old, with markers in what is not listed; with another plate where one is given."""
        for name in samples.NAMES:
            marker = Marker(LISTED[name.partition("/")[0]], whole=whole, make=self.make)
            data = self.body(name, age)
            if plate is not None and name in PLATES:
                data = json.dumps(changed(json.loads(data), PLATES[name], plate)).encode()
            await self.push(way, name, samples.path_of(name), *marked(name, data, marker))

    async def listed(self, way: str, other: Callable[[], Any]) -> None:
        """Push every sample with another value in each listed field in turn, many in one body."""
        for name in samples.NAMES:
            if name.endswith("multipart"):
                continue
            payload = samples.message(name, self.body(name, timedelta(minutes=5)))
            each = list(each_listed(name, payload, other))
            for start in range(0, len(each), MAX_MESSAGES):
                content = json.dumps(each[start : start + MAX_MESSAGES]).encode()
                await self.push(way, name, samples.path_of(name), content, JSON)

    async def push(self, way: str, name: str, path: str, content: bytes, content_type: str) -> None:
        """Push as the camera of a way, with headers and a query that nobody asked for."""
        _, key = self.cameras[f"{way} {name}" if way in OF_SAMPLES else way]
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {key}", **self.around()}
        await self.send(way, name, "POST", f"{path}?{self.make()}={self.make()}", headers, content)

    async def send(
        self, way: str, name: str, method: str, path: str, headers: dict[str, str], content: bytes = b""
    ) -> None:
        """Send a request, and note all of its answer."""
        assert self._client is not None, "the gateway runs"
        answer = await self._client.request(method, path, content=content, headers=headers)
        self.pushed.append(Pushed(way, name, answer.status_code, repr(answer.headers.raw).encode() + answer.content))

    def body(self, name: str, age: timedelta) -> bytes:
        """Return a sample with its times moved by one amount, so that its first read is about `age` old.

        Each is a second later than the one before: some are of one object, which would be one event otherwise.
        """
        claimed = [outcome.claimed_at for outcome in EXPECTED[name] if isinstance(outcome, Read)]
        at = self.now - age + timedelta(seconds=samples.NAMES.index(name))
        return samples.moved(name, at - (claimed[0] if claimed else self.now).replace(microsecond=0))

    def around(self) -> dict[str, str]:
        """Return headers that nobody asked for."""
        own = {f"X-{self.make()}": self.make(), "Traceparent": f"00-{self.make()}-{self.make()}-01"}
        return {name: self.make() for name in AROUND} | own


def _places() -> list[str]:
    return [*OTHERS, *(f"{way} {name}" for way in OF_SAMPLES for name in samples.NAMES)]


def marked(name: str, data: bytes, marker: Marker) -> tuple[bytes, str]:
    """Return a sample's body and Content-Type with markers in everything that is not listed."""
    kind = samples.content_type(name)
    if kind.startswith("multipart"):
        return marker.mark_form(data, kind)
    content = marker.mark_xml(data) if kind.endswith("xml") else json.dumps(marker.mark(json.loads(data))).encode()
    return content, f"{kind}; {marker.marker()}={marker.marker()}"


def each_listed(name: str, payload: Any, other: Callable[[], Any]) -> Iterator[Any]:
    """Yield a payload again and again, each time with another value in another listed field."""
    seen = set()
    for place in places(payload):
        path = dotted(place)
        if path in LISTED[name.partition("/")[0]] and path not in seen:
            seen.add(path)
            yield changed(payload, place, other())
