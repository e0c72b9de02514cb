"""Workers that are told to end, or cannot go on: within a stated time, with a clear last line and exit code."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from ingest.adapters.kafka import KafkaPublisher
from schemas import topics
from services.demo.kafka import Kafka
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database, index_locked
from tests.support.detections import detection
from tests.support.flow import ENRICHER, Flow, lately
from tests.support.topics import make_topics
from tests.support.wait import until, until_async

DRAIN_S = 2.0
GONE_S = 4 * (DRAIN_S + 15)
"""Four times what docs/operating.md promises."""

READ = b'{"event_id":"%d","captured_at":"2026-01-01T00:00:00Z","plate":"XQ7O41"}'


async def ended(worker: stages.Worker) -> None:
    await asyncio.to_thread(until, lambda: worker.returncode is not None, "the worker has ended", GONE_S)


async def ended_in_the_middle(worker: stages.Worker, kafka: Kafka) -> None:
    """Tell a worker to end that has fetched what a broker that says nothing lets it not finish."""
    await asyncio.to_thread(until, lambda: bool(worker.said("fetched")), "it is in the middle")
    os.kill(kafka.pid, signal.SIGSTOP)
    os.kill(worker.pid, signal.SIGTERM)
    await ended(worker)
    os.kill(kafka.pid, signal.SIGCONT)


async def test_a_worker_that_cannot_finish_its_batch_says_so_and_ends(flow: Flow, tmp_path: Path) -> None:
    settings = flow.settings.model_copy(update={"drain_s": DRAIN_S, "log_level": "debug"})
    worker = stages.Worker("indexer", settings, tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        async with index_locked(flow.database):
            await stages.put_sightings(flow.publisher, [flow.sighting(0)])
            await asyncio.to_thread(until, lambda: bool(worker.said("fetched")), "it has a batch")
            os.kill(worker.pid, signal.SIGTERM)
            await ended(worker)
    finally:
        worker.kill()
    error, why = worker.failure()
    assert error == "Unavailable"
    assert "could not be finished in 2 s" in why
    assert len(await flow.indexed()) == 1, "it is done again"


async def test_a_worker_finishes_what_it_has_and_ends(flow: Flow, tmp_path: Path) -> None:
    worker = stages.Worker("enricher", flow.settings.model_copy(update={"batch_records": 50}), tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        await stages.put_detections(flow.publisher, [flow.detection(number) for number in range(500)])
        os.kill(worker.pid, signal.SIGTERM)
        await ended(worker)
    finally:
        worker.kill()
    assert worker.returncode == 0
    assert worker.lines()[-1]["event"] == "stopped"
    written = len(await flow.sightings.records())
    done = sum((await stages.committed(flow.kafka.bootstrap, ENRICHER)).values())
    await flow.enriched()
    assert len(await flow.sightings.records()) == 500, "nothing was written that was not committed"
    assert sum((await stages.committed(flow.kafka.bootstrap, ENRICHER)).values()) - done == 500 - written


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["enricher", "indexer", "counting", "matcher", "gateway"])
async def test_a_process_that_is_told_again_and_again_ends_as_well_as_if_it_were_told_once(
    flow: Flow, tmp_path: Path, name: str, signalled: signal.Signals
) -> None:
    """As by a supervisor that has no patience, and a terminal: to the very end no signal changes how it ends."""
    worker = stages.Worker(name, flow.settings, tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)

        def told_and_over() -> bool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signalled)
            return worker.returncode is not None

        await asyncio.to_thread(until, told_and_over, "it has ended", GONE_S)
    finally:
        worker.kill()
    assert worker.returncode == 0
    assert worker.lines()[-1]["event"] == "stopped"


async def test_an_inbox_that_cannot_finish_its_batch_has_no_more_time_than_others(
    own_kafka: Kafka, tmp_path: Path
) -> None:
    settings = stages.settings(
        own_kafka.bootstrap, drain_s=DRAIN_S, log_level="debug", networks=["frozen"], batch_records=20
    )
    await make_topics(own_kafka.bootstrap)
    worker = stages.Worker("inbox", settings, tmp_path)
    try:
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=60) as publisher:
            own, _ = camera("frozen", network="frozen")
            await stages.put_cameras(publisher, own)
            await asyncio.to_thread(worker.wait_until_ready)
            reads = [(b"frozen", READ % number) for number in range(2000)]
            await publisher.publish(topics.inbox("frozen"), reads)
            await ended_in_the_middle(worker, own_kafka)
    finally:
        worker.kill()
    assert "could not be finished in 2 s" in worker.failure()[1]


@pytest.mark.parametrize("name", ["enricher", "indexer", "counting"])
async def test_a_worker_that_waits_for_a_broker_that_says_nothing_ends_when_it_is_told_to(
    own_kafka: Kafka, database: Database, tmp_path: Path, name: str
) -> None:
    """A connection to one is open at once, and its client waits on for longer than anybody may."""
    os.kill(own_kafka.pid, signal.SIGSTOP)
    worker = stages.Worker(name, stages.settings(own_kafka.bootstrap, database), tmp_path)
    try:
        await asyncio.to_thread(until, lambda: bool(worker.said("listening")), "it has begun")
        await asyncio.sleep(1)  # so that it has got as far as to ask
        os.kill(worker.pid, signal.SIGTERM)
        await ended(worker)
    finally:
        worker.kill()
    assert (worker.returncode, worker.lines()[-1]["event"]) == (0, "stopped")


@pytest.mark.parametrize("name", ["enricher", "gateway", "relay"])
async def test_a_process_that_has_nothing_in_hand_ends_well_without_a_broker(
    own_kafka: Kafka, database: Database, tmp_path: Path, name: str
) -> None:
    """Its clients, which look for the broker again and again, raise what they like as they are let go of."""
    settings = stages.settings(own_kafka.bootstrap).model_copy(
        update={"database_url": database.url("platetrail_relay")}
    )
    await make_topics(own_kafka.bootstrap)
    worker = stages.Worker(name, settings, tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        own_kafka.kill()
        await asyncio.to_thread(until, lambda: "aiokafka.consumer.fetcher" in worker.output(), "it finds no broker")
        os.kill(worker.pid, signal.SIGTERM)
        await ended(worker)
    finally:
        worker.kill()
    assert (worker.returncode, worker.lines()[-1]["event"]) == (0, "stopped")
    assert worker.output().splitlines()[-1].startswith("{"), "nothing comes after it"


@pytest.mark.parametrize("transactions", [False, True])
async def test_a_broker_that_says_nothing_keeps_no_worker_from_ending(
    own_kafka: Kafka, tmp_path: Path, transactions: bool
) -> None:
    settings = stages.settings(
        own_kafka.bootstrap, drain_s=DRAIN_S, log_level="debug", batch_records=20, enricher_transactions=transactions
    )
    await make_topics(own_kafka.bootstrap)
    worker = stages.Worker("enricher", settings, tmp_path)
    try:
        async with KafkaPublisher(own_kafka.bootstrap, timeout_s=60) as publisher:
            await stages.put_cameras(publisher, camera("frozen")[0])
            await asyncio.to_thread(worker.wait_until_ready)
            items = [detection(number, **lately(number), camera_id="frozen") for number in range(2000)]
            await stages.put_detections(publisher, items)
            await ended_in_the_middle(worker, own_kafka)
    finally:
        worker.kill()
    assert "could not be finished in 2 s" in worker.failure()[1]


async def test_a_worker_that_is_killed_and_started_again_is_back_at_once(flow: Flow, tmp_path: Path) -> None:
    """Static membership: it does not wait for its own session to end (30 s here, and 20 s are four times 5 s)."""
    settings = flow.settings.model_copy(update={"session_timeout_s": 30.0})
    first = stages.Worker("enricher", settings, tmp_path / "first")
    await asyncio.to_thread(first.wait_until_ready)
    await stages.put_detections(flow.publisher, [flow.detection(0)])
    await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
    first.kill()
    await stages.put_detections(flow.publisher, [flow.detection(number) for number in range(1, 20)])
    second = stages.Worker("enricher", settings, tmp_path / "second")
    try:

        async def back() -> bool:
            return await stages.lag(flow.kafka.bootstrap, ENRICHER) == 0

        await until_async(back, "it has committed its first batch", 20)
    finally:
        second.stop()
    assert second.returncode == 0


async def test_of_two_workers_of_one_name_one_ends_and_says_why(flow: Flow, tmp_path: Path) -> None:
    settings = flow.settings.model_copy(update={"batch_records": 5})
    workers = [stages.Worker("enricher", settings, tmp_path / str(number)) for number in range(2)]
    try:
        numbers = iter(range(10**6))

        async def one_has_ended() -> bool:
            await stages.put_detections(flow.publisher, [flow.detection(next(numbers)) for _ in range(50)])
            return any(worker.returncode is not None for worker in workers)

        await until_async(one_has_ended, "one has ended", 120)
        over = [worker for worker in workers if worker.returncode is not None]
        assert len(over) == 1
        error, why = over[0].failure()
        assert error == "Misconfigured"
        assert "PLATETRAIL_INSTANCE" in why
        await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
    finally:
        for worker in workers:
            worker.stop()


@pytest.mark.parametrize("name", ["enricher", "counting"])
async def test_two_workers_of_one_name_do_not_fight_for_ever_where_there_is_nothing_to_read(
    flow: Flow, tmp_path: Path, name: str
) -> None:
    """Neither commits anything that could be refused, and each is ready again after every time."""
    workers = [stages.Worker(name, flow.settings, tmp_path / str(number)) for number in range(2)]
    try:
        one = "one has ended"
        await asyncio.to_thread(until, lambda: any(worker.returncode is not None for worker in workers), one, 240)
        over = [worker for worker in workers if worker.returncode is not None]
        assert all("PLATETRAIL_INSTANCE" in worker.failure()[1] for worker in over)
    finally:
        for worker in workers:
            worker.stop()


async def test_a_session_that_the_broker_does_not_allow_ends_a_worker_that_says_so(flow: Flow, tmp_path: Path) -> None:
    worker = stages.Worker("enricher", flow.settings.model_copy(update={"session_timeout_s": 0.5}), tmp_path)
    try:
        await ended(worker)
    finally:
        worker.kill()
    assert "PLATETRAIL_SESSION_TIMEOUT_S" in worker.failure()[1]
