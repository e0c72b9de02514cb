"""Looks for markers everywhere that a message may have left something: topics, tables, files, and pieces of bytes.

A marker is upper case letters and digits. It is found in any of three spellings, and in what a table shows as hex.
"""

import mmap
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.demo.kafka import Kafka
from tests.support.database import Database
from tests.support.topics import admin

LONGEST: Final = 200
"""Characters of a marker, or a run of them, that are shown when it is found."""

_HEX: Final = re.compile(rb"\\+x((?:[0-9a-f]{2})+)")

_TABLES: Final = """
    select oid::regclass::text as name from pg_class
    where relkind in ('r', 'm') and relpersistence <> 't' order by 1
"""
"""Values of a table that are kept apart (TOAST) come with its rows."""


class Found(NamedTuple):
    """A marker, and the place where it stands."""

    place: str
    marker: str


class Everywhere:
    """What is in a broker since a moment, in a database, in the files of both, and in logs."""

    def __init__(self, kafka: Kafka, database: Database, logs: Collection[Path], marks: Mapping[TopicPartition, int]):
        """Know the parts, and where each partition ended at that moment."""
        self._kafka, self._database, self._logs, self._marks = kafka, database, logs, marks

    async def look(self, *prefixes: str) -> dict[str, set[Found]]:
        """Return the markers of each prefix that are found, and where, after the planner has sampled every table."""
        connection = await asyncpg.connect(self._database.superuser_url)
        try:
            await connection.execute("analyze")  # the server does it by itself, now and then
        finally:
            await connection.close()
        found: dict[str, set[Found]] = {prefix: set() for prefix in prefixes}
        async for place, content in self._pieces():
            for prefix in prefixes:
                found[prefix].update(in_bytes(place, content, prefix))
        for place, path in await self._files():
            for prefix in prefixes:
                found[prefix].update(in_file(place, path, prefix))
        return found

    async def _pieces(self) -> AsyncIterator[tuple[str, bytes]]:
        async for place, content in self.records():
            yield place, content
        async for place, content in rows(self._database):
            yield place, content

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield key, value and headers of every record since, of every topic that the broker has."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka.bootstrap, group_id=None, enable_auto_commit=False)
        await consumer.start()
        try:
            parts = await partitions(self._kafka.bootstrap)
            ends = await consumer.end_offsets(parts)
            consumer.assign(parts)
            for part in parts:
                consumer.seek(part, self._marks.get(part, 0))
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for part, records in (await consumer.getmany(timeout_ms=200)).items():
                    for one in records:
                        yield (
                            f"topic {part.topic}",
                            b"\0".join((one.key or b"", one.value or b"", repr(one.headers).encode())),
                        )
        finally:
            await consumer.stop()

    async def _files(self) -> list[tuple[str, Path]]:
        """Return logs, the broker's log of records, and the database's files with its write-ahead log."""
        connection = await asyncpg.connect(self._database.superuser_url)
        await connection.execute("checkpoint")
        number = await connection.fetchval("select oid from pg_database where datname = current_database()")
        await connection.close()
        cluster = self._database.postgres
        records, data = self._kafka.folder / "data", cluster.folder / "data"
        folders = [("kafka's data", records), ("postgres' data", data / "base" / str(number))]
        folders += [("postgres' wal", data / "pg_wal"), ("postgres' data", data / "global")]
        files = [(place, path) for place, folder in folders for path in sorted(folder.rglob("*"))]
        logs = [*self._logs, self._kafka.log_file, cluster.log_file, cluster.folder / "clients.log"]
        return [*files, *((f"log {path.name}", path) for path in logs)]


async def from_now_on(kafka: Kafka, database: Database, logs: list[Path]) -> Everywhere:
    """Begin to look: what other tests have written is passed over. `logs` may grow."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None)
    await consumer.start()
    try:
        marks = await consumer.end_offsets(await partitions(kafka.bootstrap))
    finally:
        await consumer.stop()
    return Everywhere(kafka, database, logs, marks)


async def partitions(bootstrap: str) -> list[TopicPartition]:
    """Return every partition of every topic that a broker has, its internal ones too."""
    async with admin(bootstrap) as client:
        described = await client.describe_topics(list(await client.list_topics()))
    return [TopicPartition(one["topic"], part["partition"]) for one in described for part in one["partitions"]]


async def rows(database: Database) -> AsyncIterator[tuple[str, bytes]]:
    """Yield every row of every table of every schema, the server's own too, as text and as the bytes in it."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        names = await connection.fetch(_TABLES)
        for name in (row["name"] for row in names):
            for row in await connection.fetch(f"select t::text as whole from only {name} t"):
                whole = row["whole"].encode()
                yield (
                    f"table {name}",
                    b"\0".join((whole, *(bytes.fromhex(one.decode()) for one in _HEX.findall(whole)))),
                )
    finally:
        await connection.close()


def in_bytes(place: str, content: bytes | mmap.mmap, prefix: str) -> Iterator[Found]:
    """Yield the markers of a prefix in some bytes."""
    for spelling in {prefix, prefix.lower(), prefix.capitalize()}:
        at = content.find(spelling.encode())
        while at >= 0:
            run = re.match(rb"[A-Za-z0-9]+", content[at : at + LONGEST])
            yield Found(place, run[0].decode().upper() if run else prefix)
            at = content.find(spelling.encode(), at + len(prefix))


def in_file(place: str, path: Path, prefix: str) -> list[Found]:
    """Return the markers of a prefix in a file; none in one that is no file, or is gone."""
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return []
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return list(in_bytes(place, content, prefix))
    except FileNotFoundError:
        return []
