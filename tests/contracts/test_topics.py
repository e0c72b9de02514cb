"""Every topic's file, its golden messages, and the codec hold together; a breaking change of a shape fails here."""

import importlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import schemas
from ingest.adapters.upkeep import too_long
from schemas import ephemeral, topics, wire
from schemas.topics import Deletion
from services.cli.serve import SERVICES
from services.demo.places import DEPLOY

ROOT = Path(schemas.__file__).parent
EXAMPLES = sorted((ROOT / "examples").glob("*/v*/*.json"))
SHORTEST_RULE_MS = 21 * 86_400_000  # several states: at most 21 days
DEMO = Deletion(check_interval_ms=10_000, cleaner_backoff_ms=15_000, delete_delay_ms=10_000)
DEFAULTS = Deletion(check_interval_ms=300_000, cleaner_backoff_ms=15_000, delete_delay_ms=60_000)


def shape(name: str) -> type[Any]:
    module, _, attribute = topics.load(name).value.rpartition(".")
    value: type[Any] = getattr(importlib.import_module(module), attribute)
    return value


def test_every_file_is_named_and_every_name_has_a_file() -> None:
    assert sorted(path.stem for path in (ROOT / "topics").glob("*.yaml")) == sorted((*topics.ALL, *topics.FAMILIES))
    assert all(topics.load(name).topic == name for name in topics.ALL)


@pytest.mark.parametrize("name", topics.ALL)
def test_every_version_of_a_topic_has_golden_messages(name: str) -> None:
    kept = {path.parent.name for path in EXAMPLES if path.parent.parent.name == name}
    assert kept == {f"v{version}" for version in topics.load(name).versions}
    assert topics.load(name).versions[-1] == wire.VERSIONS[shape(name)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_a_golden_message_decodes_and_encodes_to_the_same(path: Path) -> None:
    """One from before a field was added comes back with that field at its default, and else as it was."""
    golden = path.read_bytes().rstrip(b"\n")
    value = wire.decode(golden, shape(path.parent.parent.name))
    if path.parent.name != f"v{wire.VERSIONS[type(value)]}":
        return
    assert _without_added(msgspec.json.decode(wire.encode(value)), msgspec.json.decode(golden), value) == (
        msgspec.json.decode(golden)
    )


def _without_added(encoded: Any, golden: Any, value: Any) -> Any:
    """Return a message without the fields that the golden one does not have; they must be at their defaults."""
    if not isinstance(value, msgspec.Struct) or not isinstance(golden, dict):
        return encoded
    for field in msgspec.structs.fields(value):
        if field.name not in golden:
            assert getattr(value, field.name) == field.default
            del encoded[field.name]
        else:
            inner = getattr(value, field.name)
            encoded[field.name] = _without_added(encoded[field.name], golden[field.name], inner)
    return encoded


def test_a_golden_message_of_now_encodes_to_the_same_bytes() -> None:
    same = 0
    for path in EXAMPLES:
        golden = path.read_bytes().rstrip(b"\n")
        same += wire.encode(wire.decode(golden, shape(path.parent.parent.name))) == golden
    assert same >= len(topics.ALL), "one of each topic at least has every field of now"


@pytest.mark.parametrize("name", topics.ALL)
def test_a_golden_message_has_every_field(name: str) -> None:
    fields = {field.name for field in msgspec.structs.fields(shape(name))} | {"v"}
    folder = ROOT / "examples" / name / f"v{topics.load(name).versions[-1]}"
    assert any(msgspec.json.decode(path.read_bytes()).keys() == fields for path in folder.glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_a_later_version_and_other_shapes_are_refused_without_quoting_them(path: Path) -> None:
    golden, expected = path.read_bytes(), shape(path.parent.parent.name)
    for broken in (golden.replace(b'"v":1', b'"v":99'), golden.replace(b"Z", b"XQ7O41"), golden[:-9], b"[" * 10_000):
        with pytest.raises(wire.Undecodable) as caught:
            wire.decode(broken, expected)
        assert "XQ7O41" not in str(caught.value)


def test_a_field_that_a_reader_does_not_know_is_ignored() -> None:
    golden = (ROOT / "examples/cameras/v1/retired.json").read_bytes()
    later = b'{"v":1,"colour_of_the_mast":"grey",' + golden[len(b'{"v":1,') :]
    assert wire.decode(later, shape("cameras")) == wire.decode(golden, shape("cameras"))


@pytest.mark.parametrize("name", [*topics.ALL, topics.inbox("front-range")])
def test_every_topic_forgets_before_its_rule_or_is_the_registry(name: str) -> None:
    topic = topics.load(name)
    assert topic.configs()["message.timestamp.type"] == "LogAppendTime"
    if topic.holds == "registry":
        assert (topic.cleanup, topic.at_most_ms, topic.longest_ms(DEMO)) == ("compact", -1, None)
        return
    longest_ms = topic.longest_ms(DEMO)
    assert longest_ms is not None
    assert 0 < longest_ms <= topic.at_most_ms <= SHORTEST_RULE_MS


@pytest.mark.parametrize("name", [name for name in topics.ALL if topics.load(name).at_most_ms == SHORTEST_RULE_MS])
def test_what_has_days_forgets_in_time_by_kafkas_own_defaults(name: str) -> None:
    assert (topics.load(name).longest_ms(DEFAULTS) or SHORTEST_RULE_MS + 1) <= SHORTEST_RULE_MS


def test_the_sum_is_of_four_parts_and_compacted_topics_are_looked_at_by_the_cleaner() -> None:
    topic = msgspec.structs.replace(topics.load(topics.DETECTIONS), retention_ms=1000, segment_ms=200)
    told = Deletion(check_interval_ms=30, cleaner_backoff_ms=50, delete_delay_ms=4)
    change = msgspec.structs.replace
    assert topic.longest_ms(told) == 1234
    assert change(topic, delete_delay_ms=1).longest_ms(told) == 1231
    assert change(topic, cleanup="compact,delete").longest_ms(told) == 1254
    assert change(topic, cleanup="compact").longest_ms(told) is None
    assert change(topic, retention_ms=-1).longest_ms(told) is None


def test_an_owners_shorter_rule_applies_to_plates_alone() -> None:
    day, holding = timedelta(days=1), [topics.load(name) for name in topics.ALL]
    limits = {topic.topic: topic.limit_ms(day // timedelta(milliseconds=1)) for topic in holding}
    assert limits[topics.DETECTIONS] == 86_400_000
    assert limits[topics.EPHEMERAL] == 110_000
    assert limits[topics.CAMERA_HEALTH] == SHORTEST_RULE_MS
    assert limits[topics.CAMERAS] is None
    assert [topic.topic for topic, *_ in too_long(holding, DEMO, timedelta(days=21))] == []
    short = [topic.topic for topic, *_ in too_long(holding, DEMO, day)]
    assert short == [topics.DETECTIONS, topics.SIGHTINGS, topics.DEAD_LETTERS]
    seldom = [topic.topic for topic, *_ in too_long(holding, DEFAULTS, timedelta(days=21))]
    assert seldom == [topics.EPHEMERAL], "Kafka's own default is too long"
    for_good = msgspec.structs.replace(topics.load(topics.SIGHTINGS), cleanup="compact")
    assert list(too_long([for_good], DEMO, day)) == [(for_good, None, 86_400_000)]


def test_reads_that_may_not_be_kept_are_gone_within_three_minutes_of_their_capture() -> None:
    """Taken within 30 s, up to 40 s with the producer, 60 s in the topic, with the last of a segment of 10 s, found by
    the broker's next look within 10 s, off the disk 1 s later."""
    lines = (DEPLOY / "kafka/server.properties").read_text().splitlines()
    broker = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    interval_ms = int(broker["log.retention.check.interval.ms"])
    topic = topics.load(topics.EPHEMERAL)
    assert ephemeral.longest_s(interval_ms) == 30 + 40 + 60 + 10 + 10 + 1
    assert ephemeral.longest_s(interval_ms) < ephemeral.LIMIT_S == 3 * 60
    assert ephemeral.longest_s(300_000) > ephemeral.LIMIT_S, "Kafka's own default is too long"
    assert topic.retention_ms >= ephemeral.MATCHED_WITHIN_S * 1000
    before_it_s = ephemeral.TAKEN_WITHIN_S + ephemeral.WAITING_S
    assert topic.at_most_ms == 1000 * (ephemeral.LIMIT_S - before_it_s)
    assert topic.configs()["file.delete.delay.ms"] == "1000"
    assert (topic.producers, topic.consumers) == (("gateway",), ("matcher",))


def test_what_a_network_writes_is_gone_within_a_quarter_of_an_hour_and_read_by_the_relay_alone() -> None:
    inbox = topics.load(topics.inbox("front-range"))
    assert inbox.topic == "inbox.front-range"
    assert inbox.retention_ms == 600_000
    assert inbox.at_most_ms == 15 * 60_000
    assert inbox.configs()["compression.type"] == "uncompressed"
    assert (inbox.producers, inbox.consumers) == ((), ("inbox",))


def test_only_a_family_has_members() -> None:
    with pytest.raises(FileNotFoundError):
        topics.load("nothing.front-range")
    assert topics.load("detections.front-range").topic == "detections"


def test_a_mistyped_topic_file_is_refused() -> None:
    text = (ROOT / "topics/detections.yaml").read_bytes().replace(b"retention_ms", b"retension_ms")
    with pytest.raises(msgspec.ValidationError):
        msgspec.yaml.decode(text, type=topics.Topic)


@pytest.mark.parametrize("name", topics.ALL)
def test_who_writes_and_reads_a_topic_are_services(name: str) -> None:
    topic = topics.load(name)
    assert topic.producers
    assert {*topic.producers, *topic.consumers} <= SERVICES.keys()
