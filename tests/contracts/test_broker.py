"""Every client of ours on a broker that asks who we are: by password over plain text, and over TLS."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ingest.adapters.batches import GroupSource
from ingest.adapters.broker import Broker
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.topics import ensure_topics, partitions_of
from ingest.errors import Unavailable
from schemas import topics, wire
from services.settings import Settings
from tests.support.cameras import camera
from tests.support.secured import Secured, settings_of
from tests.support.stages import Worker
from tests.support.wait import until


@pytest.fixture(params=["password", "password over TLS"])
def broker(request: pytest.FixtureRequest, secured: Secured) -> Broker:
    return secured.admin if request.param == "password" else secured.admin_tls


def source(broker: Broker, group: str) -> GroupSource:
    return GroupSource(broker, topics.CAMERAS, group=group, instance="1", max_records=100, session_timeout_s=6.0)


async def test_topics_publisher_registry_and_source(broker: Broker) -> None:
    await ensure_topics(broker)
    one, _ = camera()
    record = (one.camera_id.encode(), wire.encode(one))
    async with KafkaPublisher(broker, timeout_s=30) as publisher, KafkaRegistry(broker, timeout_s=30) as registry:
        assert await publisher.publish(topics.CAMERAS, [record]) == [None]
        await registry.caught_up()
        assert registry.get(one.camera_id) == one
    reading = source(broker, f"broker-{broker.security}")
    await reading.start()
    values: list[bytes | None] = []
    try:
        async with asyncio.timeout(60):
            while record[1] not in values:
                values += [message.value for message in (await reading.fetch()).messages]
    finally:
        await reading.stop()


async def test_a_worker_in_its_faust_app(broker: Broker, tmp_path: Path) -> None:
    await ensure_topics(broker)
    worker = Worker("enricher", Settings(**settings_of(broker, tmp_path), session_timeout_s=6.0), tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
    finally:
        worker.stop()
    assert worker.returncode == 0


def test_a_worker_with_a_wrong_password_ends_and_says_what_it_may_mean(secured: Secured, tmp_path: Path) -> None:
    wrong = dataclasses.replace(secured.admin, password="planted-password")
    worker = Worker("enricher", Settings(**settings_of(wrong, tmp_path)), tmp_path)
    until(lambda: worker.returncode is not None, "it has ended")
    assert "a wrong user or password looks the same" in worker.failure()[1]
    assert "planted-password" not in worker.output()


CLIENTS: dict[str, Callable[[Broker], Awaitable[object]]] = {
    "topics": lambda broker: partitions_of(broker, topics.CAMERAS),
    "publisher": lambda broker: KafkaPublisher(broker, timeout_s=20).start(),
    "registry": lambda broker: KafkaRegistry(broker, timeout_s=20).start(),
    "source": lambda broker: source(broker, "nobody").start(),
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_wrong_password_says_what_it_may_mean(client: str, secured: Secured) -> None:
    wrong = dataclasses.replace(secured.admin, password="planted-password")
    with pytest.raises(Unavailable, match="a wrong user or password looks the same") as caught:
        await CLIENTS[client](wrong)
    assert "planted-password" not in str(caught.value)


async def test_a_certificate_that_nobody_vouches_for_says_what_it_may_mean(secured: Secured) -> None:
    with pytest.raises(Unavailable, match="a certificate that the CA file does not vouch for"):
        await partitions_of(dataclasses.replace(secured.admin_tls, ca_file=None), topics.CAMERAS)


async def test_a_ca_file_that_is_not_there_is_told_apart(secured: Secured, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await partitions_of(dataclasses.replace(secured.admin_tls, ca_file=tmp_path / "none.pem"), topics.CAMERAS)
