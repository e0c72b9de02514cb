"""Topics are made as their files say, and corrected where somebody changed them by hand; on a broker of our own."""

from collections.abc import Iterator, Mapping

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.adapters.registry import KafkaRegistry
from ingest.adapters.topics import ensure_topics
from ingest.errors import Misconfigured, Unavailable
from schemas import topics
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from tests.support import retention
from tests.support.topics import admin, make_topics, set_configs
from tests.support.wait import until_async


@pytest.fixture(scope="module")
def empty_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    broker = kafka_starter.start(tmp_path_factory.mktemp("empty-kafka"))
    yield broker
    broker.stop()


async def _configs(kafka: Kafka, topic: str) -> dict[str, str]:
    async with admin(kafka.bootstrap) as client:
        [response] = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        [(_, _, _, _, entries)] = response.resources
        return {entry[0]: entry[1] for entry in entries}


async def test_from_nothing_to_files_to_hands_and_back(empty_kafka: Kafka) -> None:
    """One test, since each step begins where the last one ended."""
    bootstrap = empty_kafka.bootstrap
    registry = KafkaRegistry(bootstrap, timeout_s=30)
    with pytest.raises(Misconfigured, match="no topic cameras"):
        await registry.start()
    await registry.stop()

    assert await ensure_topics(bootstrap) == [f"made {name}" for name in topics.ALL]
    await make_topics(bootstrap)
    async with admin(bootstrap) as client:
        described = {one["topic"]: one for one in await client.describe_topics(list(topics.ALL))}
    for name in topics.ALL:
        assert len(described[name]["partitions"]) == topics.load(name).partitions
        assert topics.load(name).configs().items() <= (await _configs(empty_kafka, name)).items()
    assert await ensure_topics(bootstrap) == [], "what is right is left alone"

    assert await retention.faults(bootstrap) == []


async def _until_broker_has(kafka: Kafka, topic: str, configs: Mapping[str, str]) -> None:
    async def taken() -> bool:
        return configs.items() <= (await _configs(kafka, topic)).items()

    await until_async(taken, f"{topic} has these configurations")


@pytest.mark.parametrize(
    ("topic", "drift"),
    [
        (topics.DETECTIONS, {"retention.ms": "-1"}),
        (topics.SIGHTINGS, {"message.timestamp.type": "CreateTime"}),
        (topics.DEAD_LETTERS, {"segment.ms": "1814400000"}),
        (topics.EPHEMERAL, {"cleanup.policy": "compact"}),
    ],
)
async def test_what_was_changed_by_hand_is_found_and_corrected(
    empty_kafka: Kafka, topic: str, drift: dict[str, str]
) -> None:
    bootstrap, wanted = empty_kafka.bootstrap, topics.load(topic).configs()
    await make_topics(bootstrap)
    await set_configs(bootstrap, topic, wanted | drift)
    await _until_broker_has(empty_kafka, topic, drift)
    assert any(fault.startswith(f"{topic}: ") for fault in await retention.faults(bootstrap))

    assert await ensure_topics(bootstrap) == [f"set {name}={wanted[name]} on {topic}" for name in drift]
    await _until_broker_has(empty_kafka, topic, wanted)
    assert await retention.faults(bootstrap) == []


async def test_a_value_that_the_broker_only_happens_to_have_is_found(empty_kafka: Kafka) -> None:
    """Its default is LogAppendTime: another broker's is not."""
    await make_topics(empty_kafka.bootstrap)
    wanted = topics.load(topics.DETECTIONS).configs()
    stated = {name: value for name, value in wanted.items() if name != "message.timestamp.type"}
    await set_configs(empty_kafka.bootstrap, topics.DETECTIONS, stated)
    fault = f"{topics.DETECTIONS}: does not state message.timestamp.type"

    async def found() -> bool:
        return await retention.faults(empty_kafka.bootstrap) == [fault]

    await until_async(found, "it is found")
    await set_configs(empty_kafka.bootstrap, topics.DETECTIONS, wanted)


async def test_a_topic_that_no_file_names_is_found(empty_kafka: Kafka) -> None:
    await make_topics(empty_kafka.bootstrap)
    async with admin(empty_kafka.bootstrap) as client:
        await client.create_topics([NewTopic("platetrail-enricher-passes-changelog", 1, 1)])

        async def found() -> bool:
            faults = await retention.faults(empty_kafka.bootstrap)
            return faults == ["platetrail-enricher-passes-changelog: no file names it"]

        await until_async(found, "it is found")
        await client.delete_topics(["platetrail-enricher-passes-changelog"])


async def test_another_number_of_partitions_is_left_to_a_human(empty_kafka: Kafka) -> None:
    await make_topics(empty_kafka.bootstrap, [topics.CAMERAS])
    async with admin(empty_kafka.bootstrap) as client:
        if topics.SIGHTINGS in await client.list_topics():
            await client.delete_topics([topics.SIGHTINGS])

        async def gone() -> bool:
            return topics.SIGHTINGS not in await client.list_topics()

        await until_async(gone, "the topic is deleted")
        await client.create_topics([NewTopic(topics.SIGHTINGS, 3, 1)])

        async def there() -> bool:
            return topics.SIGHTINGS in await client.list_topics()

        await until_async(there, "the topic is made")
    with pytest.raises(Misconfigured, match="3 partitions"):
        await ensure_topics(empty_kafka.bootstrap)


async def test_without_a_broker_it_says_so() -> None:
    with pytest.raises(Unavailable):
        await ensure_topics("127.0.0.1:9")
