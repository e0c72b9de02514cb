"""How many detections the gateway takes a second, against its own producer and against its own web server alone.

`make bench-gateway`. Everything runs on this machine and takes turns; figures of two machines are not to be compared,
the ratios are.
"""

import argparse
import asyncio
import base64
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ingest.formats.native import parse
from ingest.formats.read import Read
from ingest.intake import decide
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from schemas.owners import OwnerRules
from services.demo import kafka as kafka_starter
from services.demo.places import ROOT
from services.demo.process import Child
from tests.bench import load, producer
from tests.bench.report import Case, case, lines, table
from tests.support.cameras import camera
from tests.support.topics import make_topics, write

BENCH: Final = "gateway"
UNIT: Final = "detections/s"
CAMERAS: Final = 16
BATCH: Final = 100
PLAIN: Final = {"single": 1, "batch_100": BATCH}
CONNECTIONS: Final = {"single": 32, "batch_100": 8}
UNLIMITED: Final = {
    f"PLATETRAIL_CAMERA_{name}": str(10**9)
    for name in ("REQUESTS_PER_S", "REQUESTS_BURST", "ITEMS_PER_S", "ITEMS_BURST")
}
"""The load comes from fewer cameras than such a load would in earnest."""

Result = TypeVar("Result")


def item(number: int, at: datetime) -> dict[str, Any]:
    """Return a read with all that cameras usually send."""
    return {
        "captured_at": (at + timedelta(milliseconds=number)).isoformat(),
        "plate": f"BEN{number % 10_000:04}",
        "plate_confidence": 0.93,
        "candidates": [{"plate": f"8EN{number % 10_000:04}", "confidence": 0.31}],
        "region": "us-co",
        "make": {"value": "chevrolet", "confidence": 0.97},
        "colour": {"value": "silver", "confidence": 0.88},
        "body": {"value": "suv"},
        "lane": number % 4,
    }


def request(key: str, items: Sequence[dict[str, Any]]) -> bytes:
    """Return a whole request as it goes over the connection."""
    body = msgspec.json.encode(items if len(items) > 1 else items[0])
    head = (
        f"POST /v1/detections HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def record(one: Camera, raw: dict[str, Any], at: datetime) -> tuple[bytes, bytes]:
    """Return the record that the gateway writes of a read."""
    (read,) = parse(raw)
    assert isinstance(read, Read)
    detection = decide(read, format_="native", camera=one, received_at=at, rules=OwnerRules(), future_limit_s=300)
    assert isinstance(detection, Detection)
    return one.camera_id.encode(), wire.encode(detection)


class Rig:
    """What is measured: files of requests and records, and the ports of the two servers."""

    def __init__(self, folder: Path, bootstrap: str, ports: dict[str, int], cameras: list[tuple[Camera, str]]) -> None:
        """Write the files."""
        self.folder = folder
        self.bootstrap = bootstrap
        self.ports = ports
        at = datetime.now(UTC) - timedelta(minutes=5)
        items = [item(number, at) for number in range(CAMERAS * BATCH)]
        of_camera = [(*who, items[n * BATCH : (n + 1) * BATCH]) for n, who in enumerate(cameras)]
        self._write("single", [request(key, [one]) for _, key, some in of_camera for one in some])
        self._write("batch_100", [request(key, some) for _, key, some in of_camera])
        records = [record(one, raw, at) for one, _, some in of_camera for raw in some]
        self._write("records", [[_text(key), _text(value)] for key, value in records])

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_bytes(msgspec.json.encode(content))

    def of_server(self, server: str, name: str, warm_s: float, measure_s: float) -> float:
        """Return the detections a second that a server answered with 202."""
        served = _child(
            "load",
            load.Load(
                port=self.ports[server],
                file=str(self.folder / name),
                connections=CONNECTIONS[name],
                warm_s=warm_s,
                measure_s=measure_s,
            ),
            load.Served,
        )
        if served.other or not served.accepted:
            raise SystemExit(f"{server}, {name}: {served.other} answers were no 202, {served.accepted} were")
        return served.accepted * PLAIN[name] / served.seconds

    def of_producer(self, warm_s: float, measure_s: float) -> float:
        """Return the detections a second that the producer alone has acknowledged."""
        what = producer.Load(
            bootstrap=self.bootstrap, file=str(self.folder / "records"), warm_s=warm_s, measure_s=measure_s
        )
        sent = _child("producer", what, producer.Sent)
        return sent.records / sent.seconds


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _child(module: str, what: Any, result: type[Result]) -> Result:
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}"],
        input=msgspec.json.encode(what),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    return msgspec.json.decode(ran.stdout, type=result)


def measure(rig: Rig, repetitions: int, warm_s: float, measure_s: float) -> list[Case]:
    """Measure every case in turn, as often as that, each beside its yardsticks."""
    found: dict[str, list[float]] = {}
    for _ in range(repetitions):
        for name in PLAIN:
            found.setdefault("producer " + name, []).append(rig.of_producer(warm_s, measure_s))
            found.setdefault(name, []).append(rig.of_server("gateway", name, warm_s, measure_s))
            found.setdefault("idle " + name, []).append(rig.of_server("idle", name, warm_s, measure_s))
    against_producer = [case(BENCH, name, UNIT, found[name], found["producer " + name]) for name in PLAIN]
    against_server = [case(BENCH, name + "_uvicorn", UNIT, found[name], found["idle " + name]) for name in PLAIN]
    return against_producer + against_server


@contextmanager
def rig(folder: Path, bootstrap: str) -> Iterator[Rig]:
    """Start the two servers on a broker that runs; yield what is measured."""
    cameras = [camera() for _ in range(CAMERAS)]
    asyncio.run(_prepare(bootstrap, [one for one, _ in cameras]))
    env = {"PLATETRAIL_KAFKA_BOOTSTRAP": bootstrap, "PLATETRAIL_LISTEN_PORT": "0", **UNLIMITED}
    modules = {"gateway": "services.gateway", "idle": "tests.bench.idle"}
    children = {
        name: Child(name, [sys.executable, "-m", module], log_file=folder / f"{name}.log", env=env, cwd=ROOT)
        for name, module in modules.items()
    }
    try:
        yield Rig(folder, bootstrap, {name: _port(child) for name, child in children.items()}, cameras)
    finally:
        for child in children.values():
            child.stop()


async def _prepare(bootstrap: str, cameras: list[Camera]) -> None:
    await make_topics(bootstrap)
    await write(bootstrap, topics.CAMERAS, *((one.camera_id.encode(), wire.encode(one)) for one in cameras))


def _port(child: Child) -> int:
    def ready() -> list[int]:
        told = [msgspec.json.decode(line) for line in child.output().splitlines() if line.startswith("{")]
        return [line["port"] for line in told if line["event"] == "ready"]

    child.wait_ready(lambda: bool(ready()), 60)
    return ready()[0]


def main() -> None:
    """Start a broker and the servers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured, each time")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="platetrail-bench-") as name:
        folder = Path(name)
        broker = kafka_starter.start(folder / "kafka", for_long=True)
        try:
            with rig(folder, broker.bootstrap) as made:
                begun = time.monotonic()
                cases = measure(made, told.repetitions, min(1.0, told.seconds), told.seconds)
        finally:
            broker.stop()
    sys.stdout.write(f"{table(cases)}\nmeasured for {time.monotonic() - begun:.0f} s\n{lines(cases)}\n")


if __name__ == "__main__":
    main()
