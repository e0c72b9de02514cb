"""What the camera registry is to its readers, in memory and on Apache Kafka."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.memory import MemoryPublisher, MemoryRegistry
from ingest.adapters.registry import KafkaRegistry
from ingest.errors import Unavailable
from ingest.ports import Registry
from schemas import topics, wire
from schemas.cameras import Camera
from services.demo.kafka import Kafka
from tests.support.cameras import camera, new_id
from tests.support.topics import make_topics, write
from tests.support.wait import until_async

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")


class Subject(NamedTuple):
    registry: Registry
    put: Callable[[Camera], Awaitable[None]]


@pytest.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryPublisher()
        yield Subject(MemoryRegistry(publisher=memory), _put(memory.publish))
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    await make_topics(kafka.bootstrap)
    async with (
        KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher,
        KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry,
    ):
        yield Subject(registry, _put(publisher.publish))


@pytest.fixture
def ids() -> list[str]:
    return [new_id() for _ in range(3)]


def _put(publish: Callable[..., Awaitable[object]]) -> Callable[[Camera], Awaitable[None]]:
    async def put(one: Camera) -> None:
        await publish(topics.CAMERAS, [(one.camera_id.encode(), wire.encode(one))])

    return put


async def test_an_empty_registry_is_caught_up_and_knows_nobody(subject: Subject, ids: list[str]) -> None:
    await subject.registry.caught_up()
    assert subject.registry.get(ids[0]) is None
    assert subject.registry.by_prefix("abcdefgh") is None


async def test_what_was_written_is_known_once_it_has_caught_up(subject: Subject, ids: list[str]) -> None:
    one, _ = camera(ids[0])
    two, _ = camera(ids[1], owner="south", active=False)
    await subject.put(one)
    await subject.put(two)
    await subject.registry.caught_up()
    assert subject.registry.get(ids[0]) == subject.registry.by_prefix(one.key_prefix) == one
    assert subject.registry.get(ids[1]) == subject.registry.by_prefix(two.key_prefix) == two


async def test_the_higher_revision_wins_whatever_the_order(subject: Subject, ids: list[str]) -> None:
    old, _ = camera(ids[0], revision=1)
    new, _ = camera(ids[0], revision=2, name="Bridge, lane 2")
    for one in (old, new, old):
        await subject.put(one)
    await subject.registry.caught_up()
    assert subject.registry.get(ids[0]) == new
    assert subject.registry.by_prefix(new.key_prefix) == new
    assert subject.registry.by_prefix(old.key_prefix) is None, "a replaced key opens nothing"


async def test_it_follows_without_being_asked(kafka: Kafka, ids: list[str]) -> None:
    await make_topics(kafka.bootstrap)
    one, _ = camera(ids[0])
    async with KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry:
        await write(kafka.bootstrap, topics.CAMERAS, (ids[0].encode(), wire.encode(one)))

        async def known() -> bool:
            return registry.get(ids[0]) == one

        await until_async(known, "the camera is known")


async def test_at_the_start_it_reads_everything_first(kafka: Kafka, ids: list[str]) -> None:
    await make_topics(kafka.bootstrap)
    many = [camera(f"{ids[0]}-{number}")[0] for number in range(2000)]
    async with KafkaPublisher(kafka.bootstrap, timeout_s=30) as publisher:
        await publisher.publish(topics.CAMERAS, [(one.camera_id.encode(), wire.encode(one)) for one in many])
    async with KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry:
        assert all(registry.get(one.camera_id) == one for one in many)


async def test_a_record_that_nobody_can_read_shuts_its_camera_out_and_no_other(kafka: Kafka, ids: list[str]) -> None:
    await make_topics(kafka.bootstrap)
    one, two, three = (camera(camera_id)[0] for camera_id in ids)
    await write(
        kafka.bootstrap,
        topics.CAMERAS,
        *((some.camera_id.encode(), wire.encode(some)) for some in (one, two, three)),
        (ids[0].encode(), b'{"v":99}'),
        (ids[1].encode(), wire.encode(three)),
    )
    async with KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry:
        assert registry.get(ids[0]) is None
        assert registry.by_prefix(one.key_prefix) is None
        assert registry.get(ids[1]) is None
        assert registry.get(ids[2]) == three


async def test_a_tombstone_removes_a_camera(kafka: Kafka, ids: list[str]) -> None:
    await make_topics(kafka.bootstrap)
    one, _ = camera(ids[0])
    await write(kafka.bootstrap, topics.CAMERAS, (ids[0].encode(), wire.encode(one)), (ids[0].encode(), None))
    async with KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry:
        assert registry.get(ids[0]) is None


async def test_without_a_broker_it_does_not_start() -> None:
    with pytest.raises(Unavailable):
        await KafkaRegistry("127.0.0.1:9", timeout_s=5).start()


async def test_in_memory_it_can_be_switched_off() -> None:
    memory = MemoryPublisher()
    memory.available = False
    with pytest.raises(Unavailable):
        await MemoryRegistry(publisher=memory).caught_up()
