"""The services that listen, each a process of its own on real parts, and who may talk to each."""

import asyncio
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from ingest.adapters.kafka import KafkaPublisher
from schemas.cameras import Camera
from schemas.owners import OwnerRules
from services.demo.fleet import ROLES
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child, free_port, stop_all
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.reads import register
from tests.support.searching import Keys
from tests.support.topics import make_topics

LISTENING: Final = ("gateway", "search", "auditing", "deadletters")


class Service(NamedTuple):
    """Where a service listens, what opens it, and its log."""

    url: str
    authorization: str
    log: Path


@contextmanager
def running(kafka: Kafka, database: Database, folder: Path) -> Iterator[dict[str, Service]]:
    """Run the services while the block runs; yield them by name."""
    keys = Keys(folder, OwnerRules())
    own, key = camera()
    asyncio.run(_prepare(kafka, database, own))
    both = keys.token(roles=["investigator", "camera_operator"])
    opens = {"gateway": key, "search": both, "auditing": keys.token(role="auditor"), "deadletters": both}
    children: list[Child] = []
    try:
        found = {}
        for name in LISTENING:
            port, log = free_port(), folder / f"{name}.log"
            env = keys.environment(database, port) | {
                "PLATETRAIL_KAFKA_BOOTSTRAP": kafka.bootstrap,
                "PLATETRAIL_CAMERA_REQUESTS_PER_S": "100000",  # one camera stands for many here
                "PLATETRAIL_AUDIT_PRIVATE_KEY_FILE": str(folder / "audit.key"),
                "PLATETRAIL_DATABASE_URL": database.url(ROLES.get(name, "platetrail_search")),
            }
            child = Child(name, [sys.executable, "-m", f"services.{name}"], log_file=log, env=env, cwd=ROOT)
            children.append(child)
            found[name] = Service(f"http://127.0.0.1:{port}", f"Bearer {opens[name]}", log)
        for child, service in zip(children, found.values(), strict=True):
            child.wait_ready(functools.partial(_is_ready, service.url), 60)
        yield found
    finally:
        stop_all(children)


async def _prepare(kafka: Kafka, database: Database, own: Camera) -> None:
    await make_topics(kafka.bootstrap)
    await register(database, "north")
    async with KafkaPublisher(Settings(kafka_bootstrap=kafka.bootstrap).broker(), timeout_s=30) as publisher:
        await stages.put_cameras(publisher, own)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False).is_success
    except httpx.TransportError:
        return False
