"""The relay between PostgreSQL and Apache Kafka: what the registry's readers know in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from ingest.adapters import sql
from ingest.adapters.registry import KafkaRegistry
from ingest.errors import Unavailable
from schemas import topics, wire
from schemas.cameras import Camera
from services import relay
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.topics import delete, make_topics, tail, write
from tests.support.wait import until_async

INTO_CAMERA = """
insert into registry.camera select * from jsonb_populate_record(null::registry.camera, $1::jsonb)
on conflict (camera_id) do update set revision = excluded.revision, name = excluded.name
"""
INTO_OUTBOX = "insert into registry.outbox (topic, key, value) values ($1, $2, $3)"


@asynccontextmanager
async def changing(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.url("platetrail_search"))
    try:
        yield connection
    finally:
        await connection.close()


async def change(database: Database, *cameras: Camera, told: bool = True) -> None:
    """Put cameras into the table as `act` does; `told=False` forgets the outbox."""
    async with changing(database) as connection, connection.transaction():
        for one in cameras:
            await connection.execute(INTO_CAMERA, msgspec.json.encode(one).decode())
            if told:
                await connection.execute(INTO_OUTBOX, topics.CAMERAS, one.camera_id.encode(), wire.encode(one))


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


async def waiting(database: Database) -> int:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return int(await connection.fetchval("select count(*) from registry.outbox"))
    finally:
        await connection.close()


async def known(registry: KafkaRegistry, one: Camera) -> None:
    async def there() -> bool:
        await registry.caught_up()
        return registry.get(one.camera_id) == one

    await until_async(there, "the stream knows the camera")


async def test_every_prepared_statement_is_permitted_to_its_role(database: Database) -> None:
    connection = await asyncpg.connect(database.url("platetrail_relay"))
    try:
        for name in sql.RELAYING:
            await connection.prepare(getattr(sql, name))
    finally:
        await connection.close()


async def test_changes_reach_the_stream_in_order_and_leave_the_outbox(kafka: Kafka, database: Database) -> None:
    await make_topics(kafka.bootstrap)
    first, _ = camera()
    second = msgspec.structs.replace(first, revision=1, name="Bridge, lane 2")
    before, _ = camera()
    await change(database, before)
    async with (
        relaying(kafka, database),
        KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry,
        tail(kafka.bootstrap, topics.CAMERAS) as written,
    ):
        await known(registry, before)
        await change(database, first)
        await change(database, second)
        await known(registry, second)

        async def empty() -> bool:
            return await waiting(database) == 0

        await until_async(empty, "the outbox is empty")
        own = [wire.decode(value, Camera) for key, value in await written.records() if key == first.camera_id.encode()]
    # What a start brings up to date may come before or between; the changes themselves come in their order.
    assert own[-1] == second
    assert list({one.revision: one for one in own[own.index(first) :]}.values()) == [first, second]
    assert set(own[:-2]) <= {first, second}


async def test_a_start_brings_the_stream_up_to_the_table(
    kafka: Kafka, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    await make_topics(kafka.bootstrap)
    lost, _ = camera()
    older, _ = camera()
    newer = msgspec.structs.replace(older, revision=3)
    ahead, _ = camera(revision=7)
    behind = msgspec.structs.replace(ahead, revision=6)
    same, _ = camera()
    await change(database, lost, newer, behind, same, told=False)
    for one in (older, ahead, same):
        await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
    async with (
        KafkaRegistry(kafka.bootstrap, timeout_s=30) as registry,
        tail(kafka.bootstrap, topics.CAMERAS) as written,
    ):
        async with relaying(kafka, database):
            await known(registry, lost)
            await known(registry, newer)
        assert registry.get(ahead.camera_id) == ahead, "an older table does not undo a newer stream"
        keys = [key.decode() for key, _ in await written.records()]
    assert sorted(set(keys) & {lost.camera_id, older.camera_id, ahead.camera_id, same.camera_id}) == sorted(
        [lost.camera_id, older.camera_id]
    )
    assert "the stream is ahead of the table" in "".join(capfd.readouterr())


async def test_a_stream_that_is_made_anew_ends_a_relay_and_its_next_life_fills_it(
    own_kafka: Kafka, database: Database
) -> None:
    await make_topics(own_kafka.bootstrap)
    one, _ = camera()
    await change(database, one)
    settings = Settings(kafka_bootstrap=own_kafka.bootstrap, database_url=database.url("platetrail_relay"))
    task = asyncio.create_task(relay.work(settings, asyncio.Event()))
    async with KafkaRegistry(own_kafka.bootstrap, timeout_s=30) as registry:
        await known(registry, one)
    await delete(own_kafka.bootstrap, topics.CAMERAS)
    await make_topics(own_kafka.bootstrap, [topics.CAMERAS])
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="made anew"):
            await task
    async with relaying(own_kafka, database), KafkaRegistry(own_kafka.bootstrap, timeout_s=30) as registry:
        await known(registry, one)
