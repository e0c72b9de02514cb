"""The gateway behind a proxy that ends mutual TLS: the proxy's word counts on the Unix socket, nobody's elsewhere."""

import json
import stat
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from schemas import topics, wire
from schemas.detections import Detection
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child
from services.observe.http import unix_socket
from tests.support.cameras import camera
from tests.support.topics import make_topics, tail, write

SECRET = "what only the proxy and the gateway know"
SHOWN = {"X-Client-Certificate-SHA256": "6e" * 32}


class Running(NamedTuple):
    """A gateway's process, and clients of its port and of its socket."""

    child: Child
    socket: Path
    port: httpx.AsyncClient
    proxy: httpx.AsyncClient


@pytest.fixture
async def running(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Running]:
    await make_topics(kafka.bootstrap)
    one, _ = camera("behind-a-proxy", proof="certificate", certificate_sha256="6e" * 32)
    await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    (tmp_path / "secret").write_text(SECRET)
    socket = tmp_path / "gateway.sock"
    env = {
        "PLATETRAIL_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "PLATETRAIL_LISTEN_SOCKET": str(socket),
        "PLATETRAIL_PROXY_SECRET_FILE": str(tmp_path / "secret"),
    }
    child = Child("gateway", [sys.executable, "-m", "services.gateway"], log_file=tmp_path / "log", env=env, cwd=ROOT)
    try:
        child.wait_ready(lambda: '"ready"' in child.output(), 60)
        told = [json.loads(line) for line in child.output().splitlines() if '"ready"' in line]
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{told[0]['port']}", trust_env=False) as port,
            httpx.AsyncClient(
                base_url="http://gateway", transport=httpx.AsyncHTTPTransport(uds=str(socket)), trust_env=False
            ) as proxy,
        ):
            yield Running(child, socket, port, proxy)
    finally:
        child.stop()


async def test_a_certificate_counts_on_the_socket_or_with_the_secret(running: Running, kafka: Kafka) -> None:
    read = {"captured_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), "plate": "UDS0042"}

    async def push(client: httpx.AsyncClient, **headers: str) -> int:
        return (await client.post("/v1/detections", json=read, headers=SHOWN | headers)).status_code

    async with tail(kafka.bootstrap, topics.DETECTIONS) as detections:
        assert await push(running.proxy) == 202
        assert await push(running.port, **{"X-Proxy-Secret": SECRET}) == 202
        stored = [wire.decode(value, Detection).camera_id for _, value in await detections.records()]
        assert stored == ["behind-a-proxy"] * 2
        assert await push(running.port) == 401
        assert await push(running.port, **{"X-Proxy-Secret": "a guess that is as long as the secret is"}) == 401
        # Whoever reaches the port may claim what he likes of where he came from.
        claims = {"Host": str(running.socket), "X-Forwarded-For": str(running.socket), "X-Forwarded-Host": "unix"}
        assert await push(running.port, **claims) == 401
        assert len(await detections.records()) == 2
    assert (await running.proxy.get("/readyz")).status_code == 200
    metrics = (await running.port.get("/metrics")).text
    assert 'platetrail_gateway_refused_total{reason="untrusted_proxy"} 3.0' in metrics


async def test_the_socket_is_its_owners_and_groups_alone(running: Running) -> None:
    mode = running.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_a_socket_that_was_left_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    for _ in range(2):
        unix_socket(path).close()
    other = tmp_path / "somebody's file"
    other.write_text("kept")
    with pytest.raises(OSError, match="in use"):
        unix_socket(other)
    assert other.read_text() == "kept"
