"""How long records stay in Apache Kafka: what a running system's broker says of it, and what it does."""

import json
from collections.abc import Iterator
from typing import Final

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.adapters.broker import Broker
from ingest.adapters.topics import deletion, ensure_topics
from ingest.adapters.upkeep import see_to
from schemas import topics
from schemas.owners import Grant, OwnerRules
from schemas.topics import Cleanup, Topic
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from tests.support import retention
from tests.support.demo import DemoRun
from tests.support.topics import write
from tests.support.wait import until, until_async

MARKER: Final = b"RET0042"
LOOK_MS: Final = 500


async def test_every_topic_of_a_running_system_has_a_file_and_forgets_in_time(running: DemoRun) -> None:
    """The services' own, those of Faust's apps and the broker's internal ones: whatever there is after all has run."""
    bootstrap = running.service("gateway").environ()["PLATETRAIL_KAFKA_BOOTSTRAP"]
    there = set(await retention.configurations(bootstrap))
    assert there >= set(topics.ALL)
    assert there - set(topics.ALL) <= topics.INTERNAL.keys(), "Faust or a library made a topic that nobody declared"
    assert await retention.faults(bootstrap) == []


def test_the_relay_of_a_running_system_warns_of_nothing(running: DemoRun) -> None:
    log = (running.home / "logs" / "relay.log").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert "ready" in events
    assert {"kept_too_long", "topics"}.isdisjoint(events), "all is as the files say, and may be"


@pytest.fixture(scope="module")
def quick_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    extra = {
        "log.retention.check.interval.ms": str(LOOK_MS),
        "log.initial.task.delay.ms": "100",
        "log.cleaner.backoff.ms": str(LOOK_MS),
        "log.segment.delete.delay.ms": "100",
    }
    broker = kafka_starter.start(tmp_path_factory.mktemp("quick-kafka"), extra=extra)
    yield broker
    broker.stop()


def short(name: str, cleanup: Cleanup) -> Topic:
    """Return a topic of this test's own, which keeps a record for a second."""
    values = {"topic": name, "partitions": 1, "cleanup": cleanup, "retention_ms": 1000, "segment_ms": 500}
    return msgspec.structs.replace(topics.load(topics.SIGHTINGS), **values)


def on_disk(kafka: Kafka, topic: str) -> list[str]:
    """Return the broker's files of a topic that hold the marker. Files come and go meanwhile."""
    found = []
    for path in (kafka.folder / "data").glob(f"{topic}-*/*"):
        try:
            found += [path.name] if path.is_file() and MARKER in path.read_bytes() else []
        except FileNotFoundError:
            continue
    return sorted(found)


async def start_of(kafka: Kafka, topic: str) -> int:
    """Return the offset of the oldest record that can be read."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None)
    await consumer.start()
    try:
        part = TopicPartition(topic, 0)
        consumer.assign([part])
        starts: dict[TopicPartition, int] = await consumer.beginning_offsets([part])
        return starts[part]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("cleanup", ["delete", "compact,delete"])
async def test_a_record_past_its_time_can_be_read_no_more_and_leaves_the_disk(
    quick_kafka: Kafka, cleanup: Cleanup
) -> None:
    """As state that holds plates would be kept, too, if there were any: each key's newest record, for its time."""
    topic = short(f"short-{cleanup.replace(',', '-')}", cleanup)
    assert await ensure_topics(quick_kafka.bootstrap, [topic]) == [f"made {topic.topic}"]
    await write(quick_kafka.bootstrap, topic.topic, (b"key", MARKER))
    assert on_disk(quick_kafka, topic.topic) != [], "what is looked for can be found"

    async def gone() -> bool:
        return await start_of(quick_kafka, topic.topic) == 1

    await until_async(gone, "the record cannot be read any more")
    until(lambda: on_disk(quick_kafka, topic.topic) == [], "no file of the broker holds the record")


async def test_a_compacted_topic_without_delete_would_keep_it(quick_kafka: Kafka) -> None:
    """The yardstick: another topic's record goes meanwhile, and this one stays."""
    for_good, other = short("short-for-good", "compact"), short("short-other", "delete")
    await ensure_topics(quick_kafka.bootstrap, [for_good, other])
    for topic in (for_good, other):
        await write(quick_kafka.bootstrap, topic.topic, (b"key", MARKER))
    until(lambda: on_disk(quick_kafka, other.topic) == [], "the other topic's record is gone")
    assert on_disk(quick_kafka, for_good.topic) != []


async def test_an_owner_whose_rule_is_shorter_than_a_topic_keeps_reads_is_warned_of(
    quick_kafka: Kafka, capsys: pytest.CaptureFixture[str]
) -> None:
    broker, brief = Broker.of(quick_kafka.bootstrap), OwnerRules(owners={"brief": Grant(days=8)})
    assert await deletion(broker) == (LOOK_MS, LOOK_MS, 100)
    await see_to(broker, topics.ALL, OwnerRules())
    assert "kept_too_long" not in capsys.readouterr().out
    await see_to(broker, topics.ALL, brief)
    [warned] = [line for line in capsys.readouterr().out.splitlines() if "kept_too_long" in line]
    assert topics.DEAD_LETTERS in warned
