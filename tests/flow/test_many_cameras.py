"""Ten thousand cameras, registered by table, and a hundred of their keys taken back while the gateway runs."""

import asyncio
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from schemas.owners import OwnerRules
from services import relay
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child
from services.settings import Settings
from tests.support.database import Database
from tests.support.searching import Keys, in_process
from tests.support.topics import make_topics
from tests.support.wait import until_async

CAMERAS, ROWS, REVOKED, OTHERS = 10_000, 1000, 100, 500
REFUSED_WITHIN_S = 5.0
AT_ONCE = 20


def table(first: int) -> str:
    """Return the table of some cameras."""
    rows = [f"many-{n:05},Mast {n},39.{n:05},-105.5,America/Denver,native" for n in range(first, first + ROWS)]
    return "\n".join(("camera_id,name,latitude,longitude,timezone,format", *rows))


@asynccontextmanager
async def relaying(kafka: Kafka, database: Database) -> AsyncIterator[None]:
    stop = asyncio.Event()
    settings = Settings(kafka_bootstrap=kafka.bootstrap, database_url=database.url("platetrail_relay"))
    task = asyncio.create_task(relay.work(settings, stop))
    try:
        yield
        assert not task.done(), "the relay has ended"
    finally:
        stop.set()
        await task


@asynccontextmanager
async def gateway(kafka: Kafka, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the gateway as a process of its own; yield a client."""
    env = {"PLATETRAIL_KAFKA_BOOTSTRAP": kafka.bootstrap}
    child = Child("gateway", [sys.executable, "-m", "services.gateway"], log_file=folder / "log", env=env, cwd=ROOT)
    try:
        child.wait_ready(lambda: '"ready"' in child.output(), 60)
        port = next(json.loads(line)["port"] for line in child.output().splitlines() if '"ready"' in line)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client
        assert child.returncode is None
    finally:
        child.stop()


async def statuses(client: httpx.AsyncClient, keys: Iterable[str]) -> Counter[int]:
    """Push a read with each key; return how often each status came."""
    body = {"captured_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), "plate": "MNY0042"}
    places = asyncio.Semaphore(AT_ONCE)

    async def push(key: str) -> int:
        async with places:
            headers = {"Authorization": f"Bearer {key}"}
            return (await client.post("/v1/detections", json=body, headers=headers)).status_code

    return Counter(await asyncio.gather(*(push(key) for key in keys)))


async def test_a_hundred_keys_of_ten_thousand_are_refused_at_once_without_a_restart(
    kafka: Kafka, database: Database, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap)
    people = Keys(tmp_path, OwnerRules())
    operator = people.bearer("olga", role="camera_operator")
    async with in_process(people.settings(database)) as search, relaying(kafka, database):
        keys: dict[str, str] = {}
        async with gateway(kafka, tmp_path) as client:
            for first in range(0, CAMERAS, ROWS):
                content, header = table(first), operator | {"Content-Type": "text/csv"}
                answer = await search.post("/v1/cameras/import", content=content, headers=header)
                assert answer.status_code == 201, answer.text
                keys |= {row["camera_id"]: row["key"] for row in csv.DictReader(io.StringIO(answer.text))}
            assert len(keys) == CAMERAS
            chosen = list(keys)[:: CAMERAS // REVOKED]
            others = [key for camera_id, key in keys.items() if camera_id not in chosen][:: CAMERAS // OTHERS]
            revoked = [keys[camera_id] for camera_id in chosen]

            async def known() -> bool:
                return (await statuses(client, [keys["many-09999"]])).keys() == {202}

            await until_async(known, "the last camera is known")
            assert await statuses(client, revoked) == {202: REVOKED}

            for number, camera_id in enumerate(chosen):
                how = "retire" if number % 2 else "keys"
                answer = await search.post(f"/v1/cameras/{camera_id}/{how}", headers=operator)
                assert answer.is_success, answer.text

            async def refused() -> bool:
                found = await statuses(client, revoked)
                assert found.keys() <= {202, 401, 403}
                return found[202] == 0

            await until_async(refused, "every one of them is refused", 4 * REFUSED_WITHIN_S)
            assert await statuses(client, revoked) == {401: REVOKED // 2, 403: REVOKED // 2}
            assert await statuses(client, others) == {202: len(others)}
            assert len(others) >= OTHERS - 10
