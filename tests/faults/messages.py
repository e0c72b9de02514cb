"""Messages that nobody can use among good ones: each is set aside once, with its reason, and the good ones go on."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.adapters.topics import ensure_topics
from schemas import topics, wire
from schemas.detections import Candidate, Detection, event_id
from tests.faults.load import Load
from tests.faults.system import OWNER, System
from tests.support.detections import detection
from tests.support.topics import admin, set_configs
from tests.support.wait import until_async

OF_EACH: Final = 5
SMALL_BYTES: Final = 20_000
GARBAGE: Final = b"\xff\x00 no message of ours"


async def poisoned(system: System, load: Load, rng: Random) -> None:
    """Write bytes that are nothing, cameras that nobody knows, owners that are wrong, and what makes a stage raise."""
    camera_id = "faults-0"
    naive = datetime.now(UTC).replace(tzinfo=None)
    bad = [
        *((topics.DETECTIONS, camera_id, GARBAGE + bytes([number])) for number in range(OF_EACH)),
        *((topics.SIGHTINGS, camera_id, GARBAGE + bytes([number])) for number in range(OF_EACH)),
        *(_written(rng, camera_id="faults-nobody") for _ in range(OF_EACH)),
        *(_written(rng, camera_id=camera_id, owner="south") for _ in range(OF_EACH)),
        # A time without a zone cannot be compared with one that has it: the pure function raises.
        *(_written(rng, camera_id=camera_id, captured_at=naive) for _ in range(OF_EACH)),
    ]  # fmt: skip
    rng.shuffle(bad)
    load.bad.update(
        {"undecodable": 2 * OF_EACH, "unknown_camera": OF_EACH, "wrong_owner": OF_EACH, "poisoned": OF_EACH}
    )
    await _send(system, bad, lambda: rng.uniform(0, 0.1))


async def too_large(system: System, load: Load, rng: Random) -> None:
    """Let the broker take small sightings only, and send reads whose sightings are large."""
    whole = {**topics.load(topics.SIGHTINGS).configs(), "max.message.bytes": str(SMALL_BYTES)}
    await set_configs(system.kafka.bootstrap, topics.SIGHTINGS, whole)
    try:
        await _takes_at_most(system, topics.SIGHTINGS, SMALL_BYTES)
        candidates = tuple(Candidate(plate="X" * SMALL_BYTES, confidence=0.1) for _ in range(2))
        large = [_written(rng, camera_id="faults-0", candidates=candidates) for _ in range(OF_EACH)]
        load.bad["too_large"] += OF_EACH
        await _send(system, large, lambda: rng.uniform(0, 0.2))
        await _set_aside(system)
    finally:
        await ensure_topics(system.kafka.bootstrap)


async def _send(system: System, messages: Iterable[tuple[str, str, bytes]], pause_s: Callable[[], float]) -> None:
    """Write messages (topic, key, value) one after another, with pauses between them."""
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka.bootstrap)
    await producer.start()
    try:
        for topic, key, value in messages:
            await producer.send_and_wait(topic, value, key=key.encode())
            await asyncio.sleep(pause_s())
    finally:
        await producer.stop()


async def _set_aside(system: System) -> None:
    """Wait until the enricher has said that it met them: the broker takes large ones again after that."""
    enricher = system.processes["enricher"]

    async def said() -> bool:
        one = system.processes["enricher"]
        one.listen()
        return one.said["too_large"] > 0

    enricher.listen()
    await until_async(said, "the enricher sets aside what the broker refuses", 60)
    await asyncio.sleep(2)


async def _takes_at_most(system: System, topic: str, size: int) -> None:
    async with admin(system.kafka.bootstrap) as client:

        async def set_() -> bool:
            found = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            told: dict[str, str] = {}
            for response in found:
                for _, _, _, _, entries in response.resources:
                    told.update({entry[0]: entry[1] for entry in entries})
            return told.get("max.message.bytes") == str(size)

        await until_async(set_, f"{topic} takes at most {size} bytes")


def _written(rng: Random, **changes: Any) -> tuple[str, str, bytes]:
    """Return a record of `detections` with a read that nobody else made."""
    now = datetime.now(UTC)
    camera_id: str = changes["camera_id"]
    number = rng.getrandbits(64)
    values: dict[str, Any] = {
        "owner": OWNER,
        "event_id": event_id(camera_id, str(number)),
        "claimed_at": now,
        "captured_at": now,
        "received_at": now,
        "plate_raw": f"PSN{number % 10**9:09}",
        **changes,
    }
    made: Detection = detection(**values)
    return topics.DETECTIONS, camera_id, wire.encode(made)
