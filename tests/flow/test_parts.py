"""The two servers that the project starts itself: they serve, stop, survive a kill, keep secrets, leave no orphans."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.postgres import Postgres
from services.demo.process import Child, ChildError, free_port, port_answers
from tests.support.wait import until

PLANTED = "ZZ9PLATE"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Postgres]:
    own = postgres_starter.start(tmp_path / "postgres")
    yield own
    own.stop()


async def test_kafka_keeps_its_records_through_a_kill_and_a_second_start(tmp_path: Path) -> None:
    broker = kafka_starter.start(tmp_path / "kafka")
    try:
        await _create_topic(broker, "kept")
        await _produce(broker, "kept", b"before")
        broker.kill()
        assert not port_answers(broker.port)

        broker.restart()
        await _produce(broker, "kept", b"after")
        broker.stop()
        assert not port_answers(broker.port)

        broker = kafka_starter.start(tmp_path / "kafka")
        assert await _consume(broker, "kept", 2) == [b"before", b"after"]
    finally:
        broker.stop()


async def test_kafka_makes_no_topic_by_itself(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.describe_topics(["nobody-declared-this"])
        assert "nobody-declared-this" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_kafka_listens_on_loopback_alone(kafka: Kafka) -> None:
    assert _listening(kafka.pid) == {("127.0.0.1", kafka.port), ("127.0.0.1", kafka.controller_port)}


def test_kafka_is_started_with_what_an_earlier_start_has_loaded(kafka: Kafka) -> None:
    assert [one for one in psutil.Process(kafka.pid).memory_maps() if one.path.endswith(".aot")] != []


async def test_postgres_keeps_its_rows_through_a_kill_and_a_second_start(tmp_path: Path) -> None:
    cluster = postgres_starter.start(tmp_path / "postgres")
    try:
        cluster.create_database("kept")
        await _run(cluster, "create table t (n int)", "insert into t values (1)")
        children = psutil.Process(cluster.pid).children()
        assert children
        cluster.kill()
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)

        cluster.restart()
        await _run(cluster, "insert into t values (2)")
        cluster.stop()
        assert not port_answers(cluster.port)

        cluster = postgres_starter.start(tmp_path / "postgres")
        assert await _fetch(cluster, "select array_agg(n order by n) from t") == [1, 2]
    finally:
        cluster.stop()


async def test_postgres_trusts_nobody(cluster: Postgres) -> None:
    url = cluster.superuser_url()
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'") == 0
    assert await connection.fetchval("select count(*) from pg_hba_file_rules") == 1
    await connection.close()
    right = url.split(":")[2].split("@")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(right, "wrong"))
    assert _listening(cluster.pid) == {("127.0.0.1", cluster.port)}


async def test_postgres_promises_what_it_acknowledges(cluster: Postgres) -> None:
    connection = await asyncpg.connect(cluster.superuser_url())
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval("select current_setting($1)", setting) == "on"
    await connection.close()


async def test_the_servers_log_hides_what_was_searched_for(cluster: Postgres) -> None:
    cluster.create_database("kept")
    await _run(cluster, "create table t (plate text check (length(plate) < 3), day date)")
    await _provoke(cluster)
    assert PLANTED not in cluster.log_file.read_text()

    # The same errors, logged as PostgreSQL would by default: the text does come through, in this very file.
    await _provoke(cluster, "set log_min_messages = warning", "set log_error_verbosity = default")
    assert PLANTED in cluster.log_file.read_text()


def test_an_administered_password_stands_in_no_file(cluster: Postgres) -> None:
    cluster.administer(["create role someone login password 'planted-password'"])
    with pytest.raises(ChildError):
        cluster.administer(["create role someone login password 'planted-password'"])
    files = [path for path in cluster.folder.rglob("*") if path.is_file() and "data" not in path.parts]
    assert cluster.log_file in files
    assert not [path for path in files if b"planted-password" in path.read_bytes()]


def test_a_kill_of_the_parent_leaves_no_orphans(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from services.demo import kafka, postgres\n"
        "k = kafka.start(Path(sys.argv[1]) / 'k'); p = postgres.start(Path(sys.argv[1]) / 'p')\n"
        "print(k.pid, p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    with parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert line, "the parent did not start both"
        servers = [psutil.Process(int(pid)) for pid in line.split()]
        family = [*servers, *(child for server in servers for child in server.children(recursive=True))]
        assert len(family) > 4
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not [process for process in family if _lives(process)], "no child of the killed parent is left")


def test_a_child_that_dies_at_its_start_shows_its_last_lines(tmp_path: Path) -> None:
    child = Child("thing", ["sh", "-c", "echo the reason; exit 3"], log_file=tmp_path / "thing.log")
    with pytest.raises(ChildError, match=r"(?s)thing ended with 3.*the reason"):
        child.wait_ready(lambda: False, 30)


def test_a_child_that_does_not_listen_to_stop_is_ended(tmp_path: Path) -> None:
    child = Child("deaf", ["sh", "-c", "trap '' TERM; echo ready; sleep 600 & wait"], log_file=tmp_path / "deaf.log")
    child.wait_ready(lambda: "ready" in child.output(), 30)
    grandchildren = psutil.Process(child.pid).children()
    child.stop(timeout_s=0.2)
    assert child.returncode == -signal.SIGKILL
    until(lambda: not any(_lives(process) for process in grandchildren), "its own children ended with it")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _listening(pid: int) -> set[tuple[str, int]]:
    """Return what a process and its children listen on, Unix sockets included (as `(path, 0)`)."""
    process = psutil.Process(pid)
    found: list[Any] = []
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a server's children come and go
            found += one.net_connections(kind="all")
    tcp = {(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN}
    return {(ip.removeprefix("::ffff:"), port) for ip, port in tcp} | {
        (str(c.laddr), 0) for c in found if c.family == socket.AF_UNIX and c.laddr
    }


async def _run(cluster: Postgres, *statements: str) -> None:
    connection = await asyncpg.connect(cluster.superuser_url("kept"))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def _fetch(cluster: Postgres, query: str) -> object:
    connection = await asyncpg.connect(cluster.superuser_url("kept"))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _provoke(cluster: Postgres, *settings: str) -> None:
    """Fail in the ways whose messages repeat values: a CHECK, a COPY, a bad literal, a parameter, a statement."""
    connection = await asyncpg.connect(cluster.superuser_url("kept"))
    for setting in settings:
        await connection.execute(setting)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("insert into t (plate) values ($1)", PLANTED)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.copy_records_to_table("t", records=[(PLANTED, None)])
    with pytest.raises(asyncpg.InvalidDatetimeFormatError):
        await connection.execute(f"insert into t (day) values ('{PLANTED}')")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.execute(f"select {PLANTED}")
    await connection.close()


async def _create_topic(broker: Kafka, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _produce(broker: Kafka, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def _consume(broker: Kafka, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_no_port_is_given_twice() -> None:
    """Servers that are started together listen only later."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)
