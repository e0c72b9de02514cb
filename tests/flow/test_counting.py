"""Dead letters are counted by an agent of Faust's, in a process of its own, on an Apache Kafka of this module's own.

A counter begins at nought when its process does. What was committed before is not counted again; what was counted and
not committed is.
"""

import asyncio
import re
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AclOperation, ResourceType

from ingest import processors
from ingest.adapters.topics import ensure_topics, partitions_of
from schemas import topics, wire
from schemas.deadletters import DeadLetter, Reason
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import retention, stages
from tests.support.detections import detection
from tests.support.secured import Right, Secured, let, let_in, settings_of, take_back
from tests.support.topics import delete, make_topics, write
from tests.support.wait import until, until_async

PLATE: Final = "CNT0042"
GROUP: Final = "platetrail-counting"
IN_GROUP: Final[Right] = (ResourceType.GROUP, GROUP, AclOperation.READ)
OF_LETTERS: Final[Right] = (ResourceType.TOPIC, topics.DEAD_LETTERS, AclOperation.READ)
AGAIN: Final = "; what was not committed will be done again"
"""Said by one that has joined."""
BACK_S: Final = 4 * 5.0
"""Back at work within five seconds is the promise."""


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    broker = kafka_starter.start(tmp_path_factory.mktemp("counting-kafka"))
    yield broker
    broker.stop()


def letter(reason: Reason = "unknown_camera", **changes: Any) -> bytes:
    now = datetime.now(UTC)
    values = {"letter_id": uuid.uuid4(), "stage": "enricher", "reason": reason, "at": now, "camera_id": "c-1"}
    return wire.encode(DeadLetter(**{**values, "detection": detection(plate_raw=PLATE), **changes}))


class Counting:
    """Workers of this test, and the topic that they count."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self._folder = folder
        self.workers: list[stages.Worker] = []

    def start(self, instance: str = "1", **changes: Any) -> stages.Worker:
        """Start a worker, without waiting for it."""
        own = self._folder / f"{instance}-{len(self.workers)}"
        # The session is the one that is used in earnest: a restart must not depend on a short one.
        settings = stages.settings(self.kafka.bootstrap, instance=instance, **{"session_timeout_s": 30.0, **changes})
        self.workers.append(stages.Worker("counting", settings, own))
        return self.workers[-1]

    async def put(self, *values: bytes | None) -> None:
        """Append records, by turns to both partitions."""
        await write(self.kafka.bootstrap, topics.DEAD_LETTERS, *((f"{n}".encode(), v) for n, v in enumerate(values)))

    async def committed(self) -> bool:
        return await stages.lag(self.kafka.bootstrap, GROUP) == 0


async def counts(worker: stages.Worker) -> dict[str, int]:
    """Return what a worker shows, as `stage/reason`; {} if it shows nothing yet."""
    if not worker.said("listening"):
        return {}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{worker.said('listening')[0]['port']}/metrics")
    shown = re.findall(r"^platetrail_deadletters(_unusable)?_total\{(.*)\} (\d+)", answer.text, re.MULTILINE)
    return {_named(unusable, labels): int(number) for unusable, labels, number in shown}


def _named(unusable: str, labels: str) -> str:
    values = dict(re.findall(r'(\w+)="(\w+)"', labels))
    return f"unusable/{values['reason']}" if unusable else f"{values['stage']}/{values['reason']}"


def shows(worker: stages.Worker, wanted: dict[str, int]) -> Callable[[], Any]:
    async def probe() -> bool:
        assert worker.returncode is None, worker.output()
        return await counts(worker) == wanted

    return probe


@pytest_asyncio.fixture
async def counting(own_kafka: Kafka, tmp_path: Path) -> AsyncIterator[Counting]:
    await make_topics(own_kafka.bootstrap)
    await stages.move(own_kafka.bootstrap, GROUP, topic=topics.DEAD_LETTERS)
    own = Counting(own_kafka, tmp_path)
    yield own
    for worker in own.workers:
        worker.stop()


async def test_each_letter_is_counted_once_by_stage_and_reason_and_nothing_of_it_is_told(counting: Counting) -> None:
    worker = counting.start()
    await counting.put(*(letter() for _ in range(30)), letter("poisoned"), letter("poisoned", stage="indexer"))
    await counting.put(letter(replayed_as=datetime.now(UTC), detection=None))
    wanted = {"enricher/unknown_camera": 30, "enricher/poisoned": 1, "indexer/poisoned": 1}
    await until_async(shows(worker, wanted), "all are counted")
    await until_async(counting.committed, "all is committed")
    worker.stop()
    assert worker.returncode == 0
    assert worker.said("dead_letters")[-1]["counts"] == {**dict(sorted(wanted.items())), "replays": 1}
    assert worker.lines()[-1]["event"] == "stopped"
    assert PLATE not in worker.output()
    assert "c-1" not in worker.output()


async def test_a_record_that_is_no_letter_is_counted_once_and_stops_or_loses_no_other(counting: Counting) -> None:
    worker = counting.start()
    poison = [f'{{"v":1,"stage":"{PLATE}"}}'.encode(), b"\xff" + PLATE.encode(), b"[" * 10_000, b"", None]
    await counting.put(*(value for one in poison for value in (letter(), one, letter())))
    wanted = {"enricher/unknown_camera": 10, "unusable/undecodable": 5}
    await until_async(shows(worker, wanted), "letters before and after each are counted")
    await until_async(counting.committed, "none is left to be read again")
    assert await stages.ends(counting.kafka.bootstrap, topics.DEAD_LETTERS) == sum(
        (await stages.committed(counting.kafka.bootstrap, GROUP)).values()
    ), "no letter was written about a letter"
    worker.stop()
    assert worker.said("unusable dead letters")[-1]["records"] == 5
    assert PLATE not in worker.output()


async def test_after_a_kill_it_is_back_at_once_and_counts_on_from_what_was_committed(counting: Counting) -> None:
    first = counting.start()
    await counting.put(*(letter() for _ in range(20)))
    await until_async(shows(first, {"enricher/unknown_camera": 20}), "the first has counted")
    await until_async(counting.committed, "and committed")
    first.kill()
    await counting.put(*(letter("clock_future") for _ in range(7)))
    second = counting.start()
    until(lambda: bool(second.said("ready")), "it is back long before its former session ends", BACK_S)
    await until_async(shows(second, {"enricher/clock_future": 7}), "what came meanwhile is counted, and nothing twice")


async def test_what_a_kill_leaves_uncommitted_is_counted_again_and_none_is_missed(counting: Counting) -> None:
    first = counting.start()
    first.wait_until_ready()
    await counting.put(*(letter() for _ in range(500)))

    async def some() -> bool:
        return bool(await counts(first))

    await until_async(some, "the first counts")
    seen = (await counts(first))["enricher/unknown_camera"]
    first.kill()
    behind = await stages.lag(counting.kafka.bootstrap, GROUP)
    second = counting.start()
    await until_async(shows(second, {"enricher/unknown_camera": behind} if behind else {}), "it counts what was left")
    assert seen + behind >= 500, "each was counted by one of them, and the last second's by both"


async def test_two_share_the_partitions_and_a_third_waits_without_harm(counting: Counting) -> None:
    workers = [counting.start(str(number)) for number in range(1, 4)]
    for worker in workers:
        worker.wait_until_ready()

    def shared() -> bool:
        have = [worker.said("assigned")[-1]["partitions"] for worker in workers]
        return sorted(have, key=len) == [[], *sorted(have, key=len)[1:]] and sorted(
            number for some in have for number in some
        ) == [0, 1]

    until(shared, "two have a partition each, and the third has none")
    await counting.put(*(letter() for _ in range(40)))

    async def all_counted() -> bool:
        return sum([(await counts(worker)).get("enricher/unknown_camera", 0) for worker in workers]) == 40

    await until_async(all_counted, "together they have counted each once")
    for worker in workers:
        worker.stop()
    assert [worker.returncode for worker in workers] == [0, 0, 0]


async def written_in_transactions(kafka: Kafka, key: bytes, *ends: tuple[str, int]) -> None:
    """Write so many letters in a transaction each, and `commit` or `abort` it."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="counting-test")
    await producer.start()
    try:
        for end, number in ends:
            await producer.begin_transaction()
            for _ in range(number):
                await producer.send_and_wait(topics.DEAD_LETTERS, letter("poisoned"), key=key)
            await (producer.commit_transaction if end == "commit" else producer.abort_transaction)()
    finally:
        await producer.stop()


async def test_letters_of_a_transaction_count_once_it_is_committed_and_those_that_are_undone_never(
    counting: Counting,
) -> None:
    """An enricher that is killed in a transaction leaves letters behind; the next one undoes them, and writes them."""
    worker = counting.start()
    worker.wait_until_ready()
    await written_in_transactions(counting.kafka, b"1", ("abort", 5), ("commit", 3), ("abort", 2), ("commit", 3))
    await counting.put(*(letter() for _ in range(4)))
    await until_async(shows(worker, {"enricher/poisoned": 6, "enricher/unknown_camera": 4}), "what is committed counts")
    await until_async(counting.committed, "and none is left to be read again")
    worker.kill()
    await counting.put(*(letter() for _ in range(3)))
    again = counting.start()
    await until_async(shows(again, {"enricher/unknown_camera": 3}), "it goes on behind what was undone")


async def test_a_commit_goes_past_any_number_of_transactions(counting: Counting) -> None:
    """Each leaves a place without a record. With one of them a commit, a kill would have a minute's counted again."""
    worker = counting.start()
    worker.wait_until_ready()
    await written_in_transactions(counting.kafka, b"1", *[("commit", 1)] * 120)
    await counting.put(letter(), letter())
    await until_async(shows(worker, {"enricher/poisoned": 120, "enricher/unknown_camera": 2}), "all are counted")
    await until_async(counting.committed, "and committed, in a few commits of one second each")


async def test_a_commit_goes_past_what_was_undone_behind_the_very_first_letters(counting: Counting) -> None:
    await delete(counting.kafka.bootstrap, topics.DEAD_LETTERS)
    await make_topics(counting.kafka.bootstrap)
    worker = counting.start()
    worker.wait_until_ready()
    await counting.put(letter(), letter())
    await until_async(shows(worker, {"enricher/unknown_camera": 2}), "the first are counted")
    await until_async(counting.committed, "and committed")
    for key in (b"0", b"1"):
        await written_in_transactions(counting.kafka, key, ("abort", 5), ("commit", 1))
    await counting.put(letter(), letter())
    await until_async(shows(worker, {"enricher/poisoned": 2, "enricher/unknown_camera": 4}), "all are counted")
    await until_async(counting.committed, "and committed")


async def test_no_topic_appears_that_nobody_declared(counting: Counting) -> None:
    worker = counting.start()
    worker.wait_until_ready()
    await counting.put(letter())
    await until_async(shows(worker, {"enricher/unknown_camera": 1}), "it works")
    worker.stop()
    assert await retention.faults(counting.kafka.bootstrap) == []
    assert not list(Path.cwd().glob("platetrail-*-data")), "Faust makes a folder for tables that we do not have"


async def test_an_event_that_could_not_even_be_set_aside_ends_the_worker_and_is_taken_again(counting: Counting) -> None:
    """What agents of hits and reviews rely on: nothing after it was done, and it itself is not passed over."""
    await counting.put(*(f"{number}".encode() for number in range(8)))
    taken: list[bytes | None] = []

    async def take(value: bytes | None) -> None:
        taken.append(value)
        raise ValueError

    async def refuse(_: bytes | None, error: Exception) -> None:
        raise RuntimeError("no broker to write a letter to") from error

    stop = asyncio.Event()
    run = processors.run_agent(
        "counting",
        counting.kafka.bootstrap,
        topics.DEAD_LETTERS,
        take,
        refuse,
        stop,
        instance="1",
        session_timeout_s=6.0,
    )
    with pytest.raises(RuntimeError, match="no broker"):
        await asyncio.wait_for(run, 120)
    assert len(taken) == 1
    assert await stages.lag(counting.kafka.bootstrap, GROUP) == 8

    async def keep(value: bytes | None) -> None:
        taken.append(value)
        if len(taken) == 9:
            stop.set()

    await asyncio.wait_for(
        processors.run_agent(
            "counting",
            counting.kafka.bootstrap,
            topics.DEAD_LETTERS,
            keep,
            refuse,
            stop,
            instance="1",
            session_timeout_s=6.0,
        ),
        120,
    )
    assert sorted(value or b"" for value in taken[1:]) == [f"{number}".encode() for number in range(8)]
    assert await stages.lag(counting.kafka.bootstrap, GROUP) == 0


async def test_without_a_broker_it_says_so(tmp_path: Path) -> None:
    settings = stages.settings("127.0.0.1:9", outage_limit_s=1.0)
    worker = stages.Worker("counting", settings, tmp_path)
    try:
        until(lambda: worker.returncode is not None, "it has ended")
    finally:
        worker.kill()
    assert worker.failure() == (
        "Unavailable",
        "no broker at 127.0.0.1:9: KafkaConnectionError: the relay makes the topics",
    )


@pytest.mark.parametrize(
    ("right", "refused"), [(IN_GROUP, "GroupAuthorizationFailedError"), (OF_LETTERS, "TopicAuthorizationFailedError")]
)
async def test_a_worker_that_may_no_longer_read_ends_and_says_why(
    secured: Secured, tmp_path: Path, right: Right, refused: str
) -> None:
    """With nothing to read or to commit, it would wait for good, ready."""
    await ensure_topics(secured.admin)
    broker = await let_in(await asyncio.to_thread(let, secured, "counting", OF_LETTERS, IN_GROUP))
    settings = Settings(**settings_of(broker, tmp_path), session_timeout_s=6.0)
    worker = stages.Worker("counting", settings, tmp_path)
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        await asyncio.to_thread(take_back, secured, "counting", right)
        await asyncio.to_thread(until, lambda: worker.returncode is not None, "it has ended")
    finally:
        worker.kill()
    assert worker.failure() == ("Misconfigured", f"the broker lets this worker not read: {refused}")


async def test_a_topic_that_stays_away_ends_it(counting: Counting) -> None:
    worker = counting.start(session_timeout_s=6.0, outage_limit_s=5.0)
    await asyncio.to_thread(worker.wait_until_ready)
    await delete(counting.kafka.bootstrap, topics.DEAD_LETTERS)
    try:
        await asyncio.to_thread(until, lambda: worker.returncode is not None, "it has ended")
    finally:
        await make_topics(counting.kafka.bootstrap)
    error, why = worker.failure()
    assert (error, why.removesuffix(AGAIN)) == ("Misconfigured", f"there is no topic {topics.DEAD_LETTERS}")


async def test_a_broker_that_stays_away_ends_it(counting: Counting, own_kafka: Kafka) -> None:
    worker = counting.start(session_timeout_s=6.0, outage_limit_s=5.0)
    await asyncio.to_thread(worker.wait_until_ready)
    own_kafka.kill()
    try:
        await asyncio.to_thread(until, lambda: worker.returncode is not None, "it has ended")
    finally:
        own_kafka.restart()
    error, why = worker.failure()
    assert error == "Unavailable"
    assert re.fullmatch(rf"no broker at {own_kafka.bootstrap}: \w+", why.removesuffix(AGAIN))


async def test_a_broker_that_goes_is_waited_for_and_a_stop_without_one_is_bounded(
    counting: Counting, own_kafka: Kafka
) -> None:
    """Faust begins again at what it had committed, within this life or the next."""
    worker = counting.start(session_timeout_s=6.0)
    await counting.put(letter())
    await until_async(shows(worker, {"enricher/unknown_camera": 1}), "it works")
    await until_async(counting.committed, "and has committed")
    await until_async(lambda: is_ready(worker), "it says that it is ready")
    own_kafka.kill()
    try:
        await until_async(lambda: is_not_ready(worker), "it says that it is not ready")
    finally:
        own_kafka.restart()
    await until_async(lambda: _there(own_kafka), "the broker is back")
    await counting.put(*(letter() for _ in range(5)))
    again = worker

    async def counted() -> bool:
        nonlocal again
        if again.returncode is not None:
            again = counting.start(session_timeout_s=6.0)
        return (await counts(again)).get("enricher/unknown_camera") == (6 if again is worker else 5)

    await until_async(counted, "it has counted, in this run or in one that a supervisor has started", 120)
    await until_async(lambda: is_ready(again), "and says that it is ready")
    own_kafka.kill()
    try:
        again._process.send_signal(signal.SIGTERM)
        until(lambda: again.returncode is not None, "it has ended", 4 * (processors.LET_GO_S + 2.0))
    finally:
        own_kafka.restart()


async def readiness(worker: stages.Worker) -> int:
    """Return the status with which a worker says whether it is ready; 0 if it has ended."""
    port = worker.said("listening")[0]["port"]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code
        except httpx.TransportError:
            return 0


async def is_ready(worker: stages.Worker) -> bool:
    return await readiness(worker) == 200


async def is_not_ready(worker: stages.Worker) -> bool:
    return await readiness(worker) in (0, 503)


async def _there(kafka: Kafka) -> bool:
    return len(await partitions_of(kafka.bootstrap, topics.DEAD_LETTERS)) == 2
