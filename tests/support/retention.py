"""How long the topics of a running broker keep their records, held against `schemas/topics`."""

from typing import Any, Final, NamedTuple

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.adapters.topics import deletion
from schemas import topics
from schemas.topics import Topic
from tests.support.topics import admin

STATED: Final = 1
"""Where a value comes from, as the broker says: the topic's own configuration (DYNAMIC_TOPIC_CONFIG)."""


class Found(NamedTuple):
    """A value of a topic's configuration, and whether the topic states it itself."""

    value: str
    stated: bool


async def faults(bootstrap: str) -> list[str]:
    """Return, in words, what is wrong with any topic that a broker has: [] if each is as its file says."""
    told = await deletion(bootstrap)
    wrong: list[str] = []
    for name, found in (await configurations(bootstrap)).items():
        topic = declared(name)
        if topic is None:
            wrong += [] if name in topics.INTERNAL else [f"{name}: no file names it"]
            continue
        wrong += [
            f"{name}: {option} is {found[option].value}, and its file says {value}"
            for option, value in topic.configs().items()
            if found[option].value != value
        ]
        wrong += [
            f"{name}: does not state {option}"
            for option in ("message.timestamp.type", "retention.ms", "segment.ms", "cleanup.policy")
            if not found[option].stated
        ]
        wrong += [f"{name}: {fault}" for fault in _kept(topic, found, told.check_interval_ms, told.cleaner_backoff_ms)]
    return wrong


def declared(name: str) -> Topic | None:
    """Return what a file says of a topic, as one of its own or as a member of a family."""
    family = name.partition(".")[0]
    return topics.load(name) if name in topics.ALL or (family in topics.FAMILIES and family != name) else None


def _kept(topic: Topic, found: dict[str, Found], check_ms: int, cleaner_ms: int) -> list[str]:
    """Add up what the broker says, and not what the file does."""
    policies = set(found["cleanup.policy"].value.split(","))
    if topic.at_most_ms < 0:
        return ["keeps for good what is no registry"] if topic.holds != "registry" else []
    if "delete" not in policies or int(found["retention.ms"].value) < 0:
        return ["keeps records for good, and has a rule"]
    parts = [int(found[option].value) for option in ("retention.ms", "segment.ms", "file.delete.delay.ms")]
    longest_ms = sum(parts) + (cleaner_ms if "compact" in policies else check_ms)
    return [f"keeps records {longest_ms} ms, and at most {topic.at_most_ms} are allowed"] * (
        longest_ms > topic.at_most_ms
    )


async def configurations(bootstrap: str) -> dict[str, dict[str, Found]]:
    """Return the configuration of every topic of a broker, its internal ones too, with what is stated nowhere."""
    async with admin(bootstrap) as client:
        names = sorted(await client.list_topics())
        responses = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    rows: list[Any] = [row for response in responses for row in response.resources]
    assert [row[0] for row in rows] == [0] * len(names)
    return {row[3]: {entry[0]: Found(entry[1], entry[3] == STATED) for entry in row[4]} for row in rows}
