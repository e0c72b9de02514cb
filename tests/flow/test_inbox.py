"""Camera networks that write into topics of their own, on a broker with access control lists."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType

from ingest.adapters.broker import Broker
from ingest.adapters.inboxes import Inboxes, group
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.principals import Principals, principal
from ingest.adapters.topics import ensure_topics
from ingest.alarm import Standing
from ingest.lookout import Lookout
from schemas import topics, traces, wire
from schemas.cameras import Camera
from schemas.detections import Detection
from schemas.health import CameraReport
from services.demo.places import ROOT
from services.inbox import Shown, measures_of
from services.settings import Settings
from tests.support.cameras import camera, new_id
from tests.support.collector import collecting
from tests.support.secured import Right, Secured, let, let_in, settings_of
from tests.support.stages import Worker
from tests.support.wait import until, until_async

MARK: Final = "planted-person"

RIGHTS: Final[tuple[Right, ...]] = (
    (ResourceType.TOPIC, "inbox.", AclOperation.READ),
    (ResourceType.TOPIC, "inbox.", AclOperation.CREATE),
    (ResourceType.TOPIC, "inbox.", AclOperation.ALTER_CONFIGS),
    (ResourceType.TOPIC, "inbox.", AclOperation.DESCRIBE_CONFIGS),
    (ResourceType.GROUP, "platetrail-inbox.", AclOperation.READ),
    (ResourceType.TOPIC, "cameras", AclOperation.READ),
    (ResourceType.TOPIC, "detections", AclOperation.WRITE),
    (ResourceType.TOPIC, "dead-letters", AclOperation.WRITE),
    (ResourceType.TOPIC, "camera-health", AclOperation.WRITE),
)
"""What the relay may do; docs/operating.md says the same."""


def new_network() -> str:
    """Return a name that no other test has."""
    return new_id().replace("cam-", "net-")


def read(**changes: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=1)
    return {"captured_at": at.isoformat(), "plate": "NBX0042", **changes}


async def write(broker: Broker, topic: str, *records: tuple[str, Any]) -> None:
    """Write as any client would. Raises KafkaError."""
    producer = AIOKafkaProducer(**broker.options(), request_timeout_ms=10_000)
    try:
        await producer.start()
        for key, value in records:
            await producer.send_and_wait(topic, json.dumps(value).encode(), key=key.encode())
    finally:
        await producer.stop()


async def everything(broker: Broker, topic: str) -> list[Any]:
    """Return the records of a topic, as the client has them."""
    consumer = AIOKafkaConsumer(**broker.options(), group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(topics.load(topic).partitions)]
        consumer.assign(parts)
        ends, found = await consumer.end_offsets(parts), []
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for some in (await consumer.getmany(timeout_ms=200)).values():
                found += some
        return found
    finally:
        await consumer.stop()


async def records(broker: Broker, topic: str) -> list[tuple[bytes, bytes]]:
    """Return everything in a topic."""
    return [(record.key, record.value) for record in await everything(broker, topic)]


async def detections_of(broker: Broker, *cameras: Camera) -> list[Detection]:
    ids = {one.camera_id.encode() for one in cameras}
    return [wire.decode(value, Detection) for key, value in await records(broker, topics.DETECTIONS) if key in ids]


async def put_cameras(secured: Secured, *cameras: Camera) -> None:
    await ensure_topics(secured.admin)
    async with KafkaPublisher(secured.admin, timeout_s=30) as publisher:
        given = [(one.camera_id.encode(), wire.encode(one)) for one in cameras]
        assert not any(await publisher.publish(topics.CAMERAS, given))


async def member(secured: Secured, network: str) -> Broker:
    """Return the broker as a network sees it that was let in as `platetrail network add` does."""
    await ensure_topics(secured.admin, [topics.inbox(network)])
    word = await asyncio.to_thread(Principals(secured.admin).add, network)
    return await let_in(secured.broker(principal(network), word))


def metric(worker: Worker, name: str, **labels: str) -> float | None:
    """Return a metric's value, from the worker's own listener."""
    port = worker.said("listening")[0]["port"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    start = name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "} "
    return next((float(line[len(start) :]) for line in text.splitlines() if line.startswith(start)), None)


def items(worker: Worker, network: str, status: str, reason: str = "") -> float | None:
    return metric(worker, "platetrail_inbox_items_total", network=network, status=status, reason=reason)


@contextmanager
def _stopping(worker: Worker) -> Any:
    try:
        yield worker
    finally:
        worker.stop()


@asynccontextmanager
async def relaying(
    secured: Secured, folder: Path, *networks: str, more: Mapping[str, str] | None = None, **changes: Any
) -> AsyncIterator[Worker]:
    """Run the relay as a process, under a user that may do what it needs and nothing else."""
    broker = await let_in(await asyncio.to_thread(let, secured, "inbox", *RIGHTS))
    of = Settings(**settings_of(broker, folder), networks=networks, session_timeout_s=6.0, **changes)
    with _stopping(Worker("inbox", of, folder, **(more or {}))) as worker:
        await asyncio.to_thread(worker.wait_until_ready)
        yield worker


async def test_a_network_writes_into_its_own_inbox_and_may_do_nothing_else(secured: Secured) -> None:
    await ensure_topics(secured.admin)
    north, south = new_network(), new_network()
    stranger = await let_in(await asyncio.to_thread(let, secured, "stranger"))
    broker, _ = await member(secured, north), await member(secured, south)
    with pytest.raises(TopicAuthorizationFailedError):
        await write(stranger, topics.inbox(north), ("cam-1", read()))
    await write(broker, topics.inbox(north), ("cam-1", read()))
    assert len(await records(secured.admin, topics.inbox(north))) == 1
    for topic in (topics.inbox(south), *topics.ALL):
        with pytest.raises(TopicAuthorizationFailedError):
            await write(broker, topic, ("cam-1", read()))
    for group_id, error in ((None, TopicAuthorizationFailedError), (group(north), GroupAuthorizationFailedError)):
        consumer = AIOKafkaConsumer(topics.inbox(north), **broker.options(), group_id=group_id)
        with pytest.raises(error):
            await _read_one(consumer)
        await consumer.stop()
    admin = AIOKafkaAdminClient(**broker.options())
    await admin.start()
    assert await admin.list_topics() == [topics.inbox(north)], "it is told of no other"
    keeping = ConfigResource(ConfigResourceType.TOPIC, topics.inbox(north), {"retention.ms": "999999999"})
    [response] = await admin.alter_configs([keeping])
    assert response.resources[0][0] != 0
    await admin.close()


async def _read_one(consumer: AIOKafkaConsumer) -> None:
    await consumer.start()
    await consumer.getone()


async def test_a_network_that_is_removed_is_shut_out(secured: Secured) -> None:
    network = new_network()
    broker = await member(secured, network)
    await write(broker, topics.inbox(network), ("cam-1", read()))
    principals = Principals(secured.admin)
    assert principal(network) in await asyncio.to_thread(principals.known)
    await asyncio.to_thread(principals.remove, network)
    assert principal(network) not in await asyncio.to_thread(principals.known)
    with pytest.raises(KafkaConnectionError):
        await write(broker, topics.inbox(network), ("cam-1", read()))


async def test_a_read_that_claims_another_networks_camera_is_refused_and_counted_and_never_a_detection(
    secured: Secured, tmp_path: Path
) -> None:
    north, south = new_network(), new_network()
    own, other = camera(network=north)[0], camera(network=south)[0]
    await put_cameras(secured, own, other)
    broker, _ = await member(secured, north), await member(secured, south)
    await write(
        broker,
        topics.inbox(north),
        (other.camera_id, read(plate="NBX0001")),
        (own.camera_id, read(plate="NBX0002", camera_id=other.camera_id)),
        ("never-registered", read(plate="NBX0003")),
        (own.camera_id, read(plate="NBX0004", driver={"name": MARK, "age": 40}, **{MARK: MARK})),
        (own.camera_id, [MARK]),
        (own.camera_id, read(captured_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat(), driver=MARK)),
    )
    async with relaying(secured, tmp_path, north, south) as worker:
        await asyncio.to_thread(until, lambda: items(worker, north, "accepted") == 1, "the read is taken")
        await asyncio.to_thread(until, lambda: items(worker, north, "rejected", "shape") == 1, "the last is rejected")
        await asyncio.to_thread(
            until, lambda: items(worker, north, "rejected", "clock_future") == 1, "what lies ahead is set aside"
        )
        assert items(worker, north, "refused", "other_network") == 1
        assert items(worker, north, "rejected", "other_camera") == 1
        of_all = {
            outcome: metric(worker, "platetrail_worker_records_total", stage=f"inbox.{north}", outcome=outcome)
            for outcome in ("fetched", "written", "dropped", "dead_letter")
        }
        assert of_all == {"fetched": 6, "written": 1, "dropped": 4, "dead_letter": 1}
        assert metric(worker, "platetrail_worker_commit_age_seconds", stage=f"inbox.{south}") is not None
        assert items(worker, north, "refused", "unknown_camera") == 1
        assert items(worker, south, "accepted") is None
    reports = [wire.decode(value, CameraReport) for _, value in await records(secured.admin, topics.CAMERA_HEALTH)]
    assert {one.camera_id for one in reports} & {own.camera_id, other.camera_id} == {own.camera_id}
    found = await detections_of(secured.admin, own, other)
    assert [(one.plate_raw, one.camera_id) for one in found] == [("NBX0004", own.camera_id)]
    elsewhere = {name: await records(secured.admin, name) for name in topics.ALL}
    text = worker.output() + repr(elsewhere)
    assert MARK not in text
    for plate in ("NBX0001", "NBX0002", "NBX0003"):
        assert plate not in text
    assert own.camera_id not in worker.output()
    assert MARK in repr(await records(secured.admin, topics.inbox(north))), "only the inbox stands outside the list"


async def headers(broker: Broker, camera_id: str) -> list[bytes]:
    """Return the headers of a camera's detections, one text each."""
    found = [one.headers for one in await everything(broker, topics.DETECTIONS) if one.key == camera_id.encode()]
    assert all([name for name, _ in one] == ["traceparent"] for one in found)
    return [value for one in found for _, value in one]


async def test_a_trace_begins_with_a_record_and_nobody_hears_what_the_network_says_of_one(
    secured: Secured, tmp_path: Path
) -> None:
    network, forced = new_network(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    own, _ = camera(network=network)
    await put_cameras(secured, own)
    broker = await member(secured, network)
    producer = AIOKafkaProducer(**broker.options())
    await producer.start()
    for value in (read(plate="NBX0101"), read(plate="NBX0102"), ["no read"]):
        said = [("traceparent", forced), ("tracestate", b"x=y")]
        await producer.send_and_wait(
            topics.inbox(network), json.dumps(value).encode(), key=own.camera_id.encode(), headers=said
        )
    await producer.stop()
    with collecting() as collector:
        async with relaying(
            secured, tmp_path, network, traces_endpoint=collector.endpoint, more={"TRACES_SAMPLE": "1"}
        ):
            await until_async(lambda: _worked_off(secured, network), "all is relayed")
    spans = {b"00-%b-%b-01" % (one.trace_id.hex().encode(), one.span_id.hex().encode()): one for one in collector.spans}
    assert [(one.name, one.parent_id) for one in spans.values()] == [(f"process {topics.inbox(network)}", b"")] * 3
    found = await headers(secured.admin, own.camera_id)
    assert len(set(found)) == 2, "each record has a trace of its own"
    assert set(found) < spans.keys()
    assert {name: spans[name].attributes.get(f"{traces.FATE}written") for name in found} == dict.fromkeys(found, 1)
    [other] = spans.keys() - set(found)
    assert spans[other].attributes[f"{traces.FATE}dropped"] == 1
    assert all(one.attributes.keys() <= traces.ATTRIBUTES for one in spans.values())
    sent = b"".join(collector.bodies)
    assert not [word for word in (b"NBX01", own.camera_id.encode(), bytes.fromhex("4bf92f3577b34da6")) if word in sent]


async def write_unreadable(broker: Broker, topic: str) -> None:
    """Write a record with a header whose name is no UTF-8, as a client may that does not look."""
    producer = AIOKafkaProducer(**broker.options())
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=b"cam", value=b"{}", timestamp=None, headers=[("planted", b"")])
        batch.close()
        written = bytearray(batch._build())
        at = written.index(b"planted")
        written[at : at + 7] = b"\xff" * 7
        written[17:21] = calc_crc32c(bytes(written[21:])).to_bytes(4, "big")
        batch._buffer = written
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


async def test_a_record_that_no_client_can_read_holds_up_its_own_network_alone(
    secured: Secured, tmp_path: Path
) -> None:
    north, south = new_network(), new_network()
    own, other = camera(network=north)[0], camera(network=south)[0]
    await put_cameras(secured, own, other)
    northern, southern = await member(secured, north), await member(secured, south)
    await write_unreadable(northern, topics.inbox(north))
    async with relaying(secured, tmp_path, north, south, stuck_after_s=1.0) as worker:
        await asyncio.to_thread(until, lambda: len(worker.said("unreadable")) >= 2, "it tries again")
        await write(southern, topics.inbox(south), (other.camera_id, read()))
        await asyncio.to_thread(until, lambda: items(worker, south, "accepted") == 1, "the other network is read")
        port = worker.said("listening")[0]["port"]
        status = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/readyz", trust_env=False)
        assert status.status_code == 503
        # What has expired is passed over: as if the ten minutes were up.
        await delete_records(secured, topics.inbox(north))
        await write(northern, topics.inbox(north), (own.camera_id, read()))
        await asyncio.to_thread(until, lambda: items(worker, north, "accepted") == 1, "it goes on")
    assert worker.returncode == 0
    assert [one.camera_id for one in await detections_of(secured.admin, own)] == [own.camera_id]


async def delete_records(secured: Secured, topic: str) -> None:
    """Let everything in a topic expire."""
    admin, consumer = AIOKafkaAdminClient(**secured.admin.options()), AIOKafkaConsumer(**secured.admin.options())
    await admin.start()
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(topics.load(topic).partitions)]
        ends = await consumer.end_offsets(parts)
        await admin.delete_records({part: RecordsToDelete(before_offset=end) for part, end in ends.items()})
    finally:
        await consumer.stop()
        await admin.close()


async def test_a_kill_between_publish_and_commit_loses_nothing_and_the_ids_are_the_same(
    secured: Secured, tmp_path: Path
) -> None:
    network, load = new_network(), 3000
    own, _ = camera(network=network)
    await put_cameras(secured, own)
    broker = await member(secured, network)
    start = datetime.now(UTC) - timedelta(hours=2)
    async with KafkaPublisher(broker, timeout_s=60) as publisher:
        given = [
            (own.camera_id.encode(), json.dumps(read(captured_at=(start + timedelta(seconds=at)).isoformat())).encode())
            for at in range(load)
        ]
        assert not any(await publisher.publish(topics.inbox(network), given))
    async with relaying(secured, tmp_path / "first", network, batch_records=20, log_level="debug") as worker:
        doubled = await killed_between_publish_and_commit(secured, worker, network, own)
    assert worker.returncode == -signal.SIGKILL
    async with relaying(secured, tmp_path / "second", network) as worker:
        await until_async(lambda: _worked_off(secured, network), "the rest is relayed")
    found = await detections_of(secured.admin, own)
    assert len({one.event_id for one in found}) == load, "none is lost, and none has a second id"
    assert len(found) >= load + doubled, "what was not committed was done again"
    assert len({wire.encode(one) for one in found}) == load, "to the byte, time of arrival too"


async def killed_between_publish_and_commit(secured: Secured, worker: Worker, network: str, own: Camera) -> int:
    """Kill the relay with -9 when more is published than committed; return how much more that is."""
    while True:
        await asyncio.sleep(0.05)
        os.kill(worker.pid, signal.SIGSTOP)
        published = len(await detections_of(secured.admin, own))
        standing = await looked(secured, network)
        assert standing.unread, "it was too quick: nothing is left to be killed for"
        committed = 3000 - standing.unread
        if published > committed > 0:
            worker.kill()
            standing = await looked(secured, network)
            return len(await detections_of(secured.admin, own)) - (3000 - standing.unread)
        os.kill(worker.pid, signal.SIGCONT)


async def looked(secured: Secured, network: str) -> Standing:
    inboxes = Inboxes(secured.admin, [network])
    await inboxes.start()
    try:
        return (await inboxes.look())[network]
    finally:
        await inboxes.stop()


async def _worked_off(secured: Secured, network: str) -> bool:
    return (await looked(secured, network)).unread == 0


async def test_what_expires_unread_is_counted_and_said(secured: Secured, tmp_path: Path) -> None:
    network = new_network()
    own, _ = camera(network=network)
    await put_cameras(secured, own)
    broker = await member(secured, network)
    await write(broker, topics.inbox(network), *[(own.camera_id, read(lane=lane)) for lane in range(3)])
    async with relaying(secured, tmp_path / "first", network) as worker:
        await asyncio.to_thread(until, lambda: items(worker, network, "accepted") == 3, "it reads")
        assert metric(worker, "platetrail_inbox_lost_records_total", network=network) == 0
    # The relay is down now, for longer than the topic keeps records.
    await write(broker, topics.inbox(network), *[(own.camera_id, read(lane=lane)) for lane in range(10, 17)])
    short = topics.load(topics.inbox(network)).configs() | {"retention.ms": "500", "segment.ms": "500"}
    await _set(secured, network, short)

    async def expired() -> bool:
        return not await records(secured.admin, topics.inbox(network))

    await until_async(expired, "the broker has let go of them")
    standing = await looked(secured, network)
    assert (standing.unread, standing.lost) == (0, 7)
    await _set(secured, network, topics.load(topics.inbox(network)).configs())
    await write(broker, topics.inbox(network), (own.camera_id, read(lane=20)))
    async with relaying(secured, tmp_path / "second", network) as worker:
        await asyncio.to_thread(until, lambda: items(worker, network, "accepted") == 1, "it goes on with what is left")
        assert metric(worker, "platetrail_inbox_lost_records_total", network=network) == 7
        assert sum(line["records"] for line in worker.said("reads_lost")) == 7
    lanes = [one.lane for one in await detections_of(secured.admin, own)]
    assert sorted(lane for lane in lanes if lane is not None) == [0, 1, 2, 20]


async def _set(secured: Secured, network: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**secured.admin.options())
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.inbox(network), configs)])
    finally:
        await admin.close()


async def test_three_minutes_unread_are_an_alarm(secured: Secured, capsys: pytest.CaptureFixture[str]) -> None:
    network = new_network()
    broker = await member(secured, network)
    now = datetime.now(UTC)
    clock: list[Callable[[], datetime]] = [lambda: now]
    measures = measures_of([network])
    shown, collected = Shown(measures, measures[network].collected), measures[network].collected
    inboxes = Inboxes(secured.admin, [network])
    lookout = Lookout(inboxes, shown.stands, clock=lambda: clock[0]())
    await inboxes.start()
    try:
        assert [lookout.well] == [False], "nobody has looked yet"
        await lookout.look()
        assert [lookout.well] == [True]
        await write(broker, topics.inbox(network), ("cam-1", read()), ("cam-2", read()))
        clock[0] = lambda: datetime.now(UTC) + timedelta(seconds=100)
        await lookout.look()
        assert [lookout.well] == [True]
        assert "inbox_late" not in capsys.readouterr().out
        clock[0] = lambda: datetime.now(UTC) + timedelta(seconds=181)
        for _ in range(2):
            await lookout.look()
            assert [lookout.well] == [False]
        said = capsys.readouterr().out
        assert said.count("inbox_late") == 1
        assert collected.get_sample_value("platetrail_inbox_unread_records", {"network": network}) == 2
        age = collected.get_sample_value("platetrail_inbox_oldest_unread_seconds", {"network": network})
        assert age is not None
        assert age >= 180
    finally:
        await inboxes.stop()


async def test_the_relay_tells_how_it_is_on_loopback_and_waits_for_nobody_without_networks(
    secured: Secured, tmp_path: Path
) -> None:
    network = new_network()
    async with relaying(secured, tmp_path, network) as worker:
        port = worker.said("listening")[0]["port"]

        def status(path: str) -> int:
            return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code

        await asyncio.to_thread(until, lambda: status("/readyz") == 200, "it is ready")
        assert [status(path) for path in ("/healthz", "/metrics", "/docs", "/openapi.json")] == [200, 200, 404, 404]
    assert worker.returncode == 0
    assert worker.lines()[-1]["event"] == "stopped"
    idle = Worker("inbox", Settings(**settings_of(secured.admin, tmp_path)), tmp_path / "idle")
    await asyncio.to_thread(until, lambda: idle.returncode is not None, "it has ended")
    assert idle.lines()[-1]["reason"] == "PLATETRAIL_NETWORKS is not set"


class Cli:
    """`platetrail network`, as an administrator of the broker runs it."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        given = settings_of(broker, folder)
        self._env = {f"PLATETRAIL_{name.upper()}": str(value) for name, value in given.items() if value is not None}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", "network", *arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **self._env}, capture_output=True, text=True)


async def test_an_administrator_lets_a_network_in_and_out(secured: Secured, tmp_path: Path) -> None:
    network, cli = new_network(), Cli(secured.admin_tls, tmp_path)
    file = tmp_path / "password"
    added = await asyncio.to_thread(cli.run, "add", network)
    assert added.returncode == 0, added.stderr
    word = added.stdout.strip()
    assert len(word) >= 40
    assert word not in added.stderr
    broker = await let_in(secured.broker(principal(network), word))
    await write(broker, topics.inbox(network), ("cam-1", read()))
    assert (await asyncio.to_thread(cli.run, "add", network)).returncode == 2, "it is there already"

    again = await asyncio.to_thread(cli.run, "add", network, "--new-password", "--password-file", str(file))
    assert (again.returncode, again.stdout) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    other = await let_in(secured.broker(principal(network), file.read_text().strip()))
    await write(other, topics.inbox(network), ("cam-1", read()))
    with pytest.raises(KafkaConnectionError):
        await write(broker, topics.inbox(network), ("cam-1", read()))

    listed = await asyncio.to_thread(cli.run, "list")
    assert listed.returncode == 0, listed.stderr
    assert network in listed.stdout, (listed.stdout, listed.stderr)
    [row] = [line.split() for line in listed.stdout.splitlines() if line.split()[:1] == [network]]
    assert (row[1], row[-1]) == ("2", "0")

    assert (await asyncio.to_thread(cli.run, "remove", network)).returncode == 0
    listed = await asyncio.to_thread(cli.run, "list")
    assert network not in listed.stdout


def test_what_an_administrator_gets_wrong_is_one_line(secured: Secured, tmp_path: Path) -> None:
    wrong = Cli(dataclasses.replace(secured.admin, password="planted-password"), tmp_path / "wrong").run("list")
    assert wrong.returncode == 4
    assert "a wrong user or password looks the same" in wrong.stderr
    assert "planted-password" not in wrong.stderr + wrong.stdout
    right = Cli(secured.admin, tmp_path / "right")
    assert right.run("add", "Front Range").returncode == 2
    assert right.run("add", new_network(), "--new-password").returncode == 2
    unwritable = right.run("add", new_network(), "--password-file", str(tmp_path / "nodir" / "password"))
    assert unwritable.returncode == 2
    assert "the password's file cannot be written" in unwritable.stderr
    assert all(one.stderr.count("\n") == 1 for one in (wrong, unwritable, right.run("add", "Front Range")))


async def test_batches_in_codecs_that_we_have_not_are_read_and_bombs_are_refused(
    secured: Secured, tmp_path: Path
) -> None:
    network = new_network()
    own, _ = camera(network=network)
    await put_cameras(secured, own)
    broker = await member(secured, network)
    options = {"bootstrap.servers": broker.bootstrap, "security.protocol": "SASL_PLAINTEXT"}
    options |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": broker.user, "sasl.password": broker.password}
    told: list[Any] = []

    def put(value: bytes) -> None:
        producer = Producer(
            {**options, "compression.codec": "zstd", "message.max.bytes": 100_000_000, "message.timeout.ms": 20_000}
        )
        producer.produce(
            topics.inbox(network), value, key=own.camera_id, on_delivery=lambda error, _: told.append(error)
        )
        producer.flush(30)

    await asyncio.to_thread(put, json.dumps(read(plate="NBX0050")).encode())
    await asyncio.to_thread(put, b" " * 50_000_000)
    assert told[0] is None
    assert told[1] is not None
    async with relaying(secured, tmp_path, network) as worker:
        await asyncio.to_thread(until, lambda: items(worker, network, "accepted") == 1, "it is read")
    assert [one.plate_raw for one in await detections_of(secured.admin, own)] == ["NBX0050"]
