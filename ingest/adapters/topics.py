"""Topics as their files in `schemas/topics/` state them: made where they are missing, corrected where they differ."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from ingest.adapters.broker import Broker
from ingest.errors import Misconfigured, Unavailable
from schemas import topics
from schemas.topics import Deletion, Topic

COPIES: Final = 3
"""Replicas of a new topic, or as many as there are brokers."""


async def ensure_topics(broker: Broker | str, names: Sequence[str | Topic] = topics.ALL) -> list[str]:
    """Make and correct topics; return what was changed, in words. Safe to run from several processes at once.

    Raises Unavailable if no broker answers, Misconfigured if a topic can't be made or has another number of partitions
    than its file says: a change of that moves keys to other partitions, so it is left to a human.
    """
    async with administering(broker) as admin:
        return await _ensure(admin, [topics.load(one) if isinstance(one, str) else one for one in names])


async def partitions_of(broker: Broker | str, topic: str) -> list[int]:
    """Return the numbers of a topic's partitions.

    Raises Misconfigured if there is no such topic, Unavailable if no broker answers. (A consumer's own look-up waits
    for a missing topic until its time is up.)
    """
    async with administering(broker) as admin:
        return await partitions_known_to(admin, topic)


async def partitions_known_to(admin: AIOKafkaAdminClient, topic: str) -> list[int]:
    """See `partitions_of`. Raises KafkaError if no broker answers."""
    if topic not in await admin.list_topics():
        raise Misconfigured(f"there is no topic {topic}")
    [described] = await admin.describe_topics([topic])
    return sorted(part["partition"] for part in described["partitions"])


async def check_interval_ms(broker: Broker | str) -> int:
    """Return how often the brokers look for records that are past their retention; of several, the longest.

    Raises Unavailable if no broker answers, or none may be asked.
    """
    return (await deletion(broker)).check_interval_ms


async def deletion(broker: Broker | str) -> Deletion:
    """Return when the brokers delete what is past its retention.

    Raises Unavailable if no broker answers, or one does not tell.
    """
    names = ("log.retention.check.interval.ms", "log.cleaner.backoff.ms", "log.segment.delete.delay.ms")
    async with administering(broker) as admin:
        brokers = (await admin.describe_cluster())["brokers"]
        asked = [
            ConfigResource(ConfigResourceType.BROKER, str(one["node_id"]), dict.fromkeys(names, "")) for one in brokers
        ]
        found = [row for response in await admin.describe_configs(asked) for row in response.resources]
    told = [{entry[0]: entry[1] for entry in entries} for code, _, _, _, entries in found if code == 0]
    if len(told) != len(brokers) or any(name not in one for one in told for name in names):
        raise Unavailable(f"the brokers do not tell {names[0]}")
    return Deletion(*(max(int(one[name]) for one in told) for name in names))


@asynccontextmanager
async def administering(broker: Broker | str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an admin client. Raises Unavailable if no broker answers."""
    broker = Broker.of(broker)
    admin = AIOKafkaAdminClient(**broker.options())
    try:
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    except KafkaError as error:
        raise Unavailable(f"not permitted, or the broker does not do it: {type(error).__name__}") from None


async def _ensure(admin: AIOKafkaAdminClient, wanted: Sequence[Topic]) -> list[str]:
    there = set(await admin.list_topics())
    missing = [topic for topic in wanted if topic.topic not in there]
    changes = [f"made {topic.topic}" for topic in missing]
    if missing:
        await _make(admin, missing)
    # Those that were just made have their configuration; asking about them at once may find them unknown.
    standing = [topic for topic in wanted if topic not in missing]
    return changes + (await _correct(admin, standing) if standing else [])


async def _make(admin: AIOKafkaAdminClient, missing: Sequence[Topic]) -> None:
    cluster = await admin.describe_cluster()
    copies = min(COPIES, len(cluster["brokers"]))
    new = [NewTopic(topic.topic, topic.partitions, copies, topic_configs=_configs(topic, copies)) for topic in missing]
    response = await admin.create_topics(new)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise Misconfigured(f"topic {name} can't be made: {error.__name__}")


async def _correct(admin: AIOKafkaAdminClient, standing: Sequence[Topic]) -> list[str]:
    described = {one["topic"]: one for one in await admin.describe_topics([topic.topic for topic in standing])}
    present = await _present_configs(admin, standing)
    changes: list[str] = []
    for topic in standing:
        partitions = described[topic.topic]["partitions"]
        if len(partitions) != topic.partitions:
            raise Misconfigured(
                f"topic {topic.topic} has {len(partitions)} partitions; its file says {topic.partitions}"
            )
        want = _configs(topic, len(partitions[0]["replicas"]))
        wrong = {name: value for name, value in want.items() if present[topic.topic].get(name) != value}
        if wrong:
            # All of them: this call sets what it names and forgets the rest.
            await _alter(admin, topic.topic, want)
            changes += [f"set {name}={value} on {topic.topic}" for name, value in wrong.items()]
    return changes


async def _alter(admin: AIOKafkaAdminClient, name: str, configs: Mapping[str, str]) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, name, dict(configs))
    for response in await admin.alter_configs([resource]):
        for code, *_ in response.resources:
            if code != 0:
                raise Misconfigured(f"topic {name} can't be corrected: {for_code(code).__name__}")


async def _present_configs(admin: AIOKafkaAdminClient, standing: Sequence[Topic]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.topic) for topic in standing]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        rows: Sequence[Any] = response.resources
        for code, _, _, name, entries in rows:
            if code != 0:
                raise Misconfigured(f"topic {name} can't be looked at: {for_code(code).__name__}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _configs(topic: Topic, copies: int) -> dict[str, str]:
    return topic.configs() | {"min.insync.replicas": str(max(1, copies - 1))}
