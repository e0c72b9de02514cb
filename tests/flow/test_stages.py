"""From a detection in the stream to a row of the index, on Apache Kafka and PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest.adapters.registry import KafkaRegistry
from ingest.errors import Misconfigured
from ingest.failures import TooManyFailures
from schemas import topics, wire
from schemas.deadletters import DeadLetter
from schemas.detections import Attribute, Candidate, event_id
from schemas.sightings import Sighting, Trait
from services import enricher, indexer
from tests.support import stages
from tests.support.cameras import camera
from tests.support.detections import detection
from tests.support.flow import ENRICHER, INDEXER, Flow, lately
from tests.support.topics import make_topics, set_configs, write
from tests.support.wait import until, until_async

RED = Attribute(value="red", confidence=0.9)
FAINT: dict[str, Any] = {"candidates": (Candidate(plate="XYC3477", confidence=0.55),), "colour": RED}


async def test_a_detection_becomes_a_row(flow: Flow) -> None:
    item = flow.detection(
        plate_raw="2xx-042",
        candidates=(Candidate(plate="2XX042", confidence=0.93),),
        region="us-ma",
        make=Attribute(value="BMW", confidence=0.5),
        colour=Attribute(value="White"),
    )
    await stages.put_detections(flow.publisher, [item])
    await flow.enriched()
    [row] = await flow.indexed()
    assert (row["pass_id"], row["captured_at"], row["revision"]) == (item.event_id, item.captured_at, 0)
    assert (row["plate"], row["plate_key"], row["plate_raw"]) == ("2XX042", "2XX042", "2xx-042")
    assert (row["region"], row["make"], row["make_confidence"], row["colour"]) == ("US-MA", "bmw", 0.5, "white")
    assert (row["owner"], row["latitude"], row["timezone"]) == ("north", 42.3601, "America/New_York")
    assert row["candidates"] == b'[{"plate":"2XX042","confidence":0.93}]'
    assert row["received_at"] == item.received_at
    assert row["doubts"] is None


async def test_workers_of_their_own_do_the_same(flow: Flow, tmp_path: Path) -> None:
    workers = [stages.Worker(name, flow.settings, tmp_path) for name in ("enricher", "indexer")]
    try:
        for worker in workers:
            worker.wait_until_ready()
        await stages.put_detections(flow.publisher, [flow.detection(number) for number in range(300)])

        async def there() -> bool:
            return len(await flow.rows()) == 300

        await until_async(there, "300 rows are there")
    finally:
        for worker in workers:
            worker.stop()
    assert [worker.returncode for worker in workers] == [0, 0]
    assert [worker.lines()[-1]["event"] for worker in workers] == ["stopped", "stopped"]
    assert await stages.lag(flow.kafka.bootstrap, INDEXER) == 0
    logged = "".join(worker.output() for worker in workers)
    assert "ABC" not in logged
    assert not list(Path.cwd().glob("platetrail-*-data")), "Faust makes a folder for tables that we do not have"


async def test_what_is_pushed_twice_is_indexed_once(flow: Flow) -> None:
    items = [flow.detection(number) for number in range(20)]
    await stages.put_detections(flow.publisher, items + items)
    await flow.enriched()
    assert len(await flow.indexed()) == 20
    await stages.put_detections(flow.publisher, items)
    await flow.enriched()
    assert len(await flow.indexed()) == 20


async def test_of_two_revisions_in_one_batch_the_higher_is_kept(flow: Flow) -> None:
    both = [flow.sighting(0, skew_s=1.0), flow.sighting(0, revision=1, skew_s=2.0)]
    await stages.put_sightings(flow.publisher, [*both, both[0]])
    [row] = await flow.indexed()
    assert (row["revision"], row["skew_s"]) == (1, 2.0)


async def test_a_revision_that_comes_late_does_not_win(flow: Flow) -> None:
    for revision in (1, 0, 2, 1):
        item = flow.sighting(0, revision=revision, skew_s=float(revision), make=Trait(value=f"make {revision}"))
        await stages.put_sightings(flow.publisher, [item])
        await flow.indexed()
    [row] = await flow.rows()
    assert (row["revision"], row["skew_s"], row["make"]) == (2, 2.0, "make 2")


async def test_what_cannot_be_used_is_a_dead_letter(flow: Flow) -> None:
    stranger = camera("nobody-registered-this")[0]
    own = flow.camera.camera_id
    await write(flow.kafka.bootstrap, topics.DETECTIONS, (own.encode(), b'{"v":1,"driver":"planted"}'))
    await write(flow.kafka.bootstrap, topics.SIGHTINGS, (b"ABC", b"\xffplanted"))
    wrong = flow.detection(1, owner="west")
    unknown = detection(2, **lately(2), camera_id=stranger.camera_id)
    expired = flow.detection(3, captured_at=datetime.now(UTC) - timedelta(days=31))
    await stages.put_detections(flow.publisher, [flow.detection(0), wrong, unknown, expired])
    poison = flow.sighting(7, plate_raw="x" * 33)
    await stages.put_sightings(flow.publisher, [poison])
    await flow.enriched()
    rows = await flow.indexed()

    assert [row["pass_id"] for row in rows] == [flow.detection(0).event_id]
    enrichers = await stages.letters(flow.dead_letters, "enricher")
    assert sorted(letter.reason for letter in enrichers) == ["undecodable", "unknown_camera", "wrong_owner"]
    assert {letter.detection for letter in enrichers} == {None, wrong, unknown}
    undecodable, poisoned = sorted(await stages.letters(flow.dead_letters, "indexer"), key=lambda one: one.reason)[::-1]
    assert (poisoned.reason, poisoned.camera_id, poisoned.detection) == ("poisoned", own, None)
    assert (undecodable.reason, undecodable.size_bytes) == ("undecodable", 8)
    letters, sightings = await flow.dead_letters.records(), await flow.sightings.records()
    written = b"".join(value for key, value in letters + sightings if key != b"ABC")
    assert b"planted" not in written
    assert str(expired.event_id).encode() not in written


async def test_what_the_index_could_not_hold_is_a_dead_letter_and_costs_no_other(flow: Flow) -> None:
    no_text = [flow.sighting(number, **{name: "A\0"}) for number, name in enumerate(("region", "owner", "timezone"))]
    no_number = [flow.sighting(3, normaliser_version=2**15), flow.sighting(4, clock_uncertainty_s=1e39)]
    no_time = [flow.sighting(5, captured_at=datetime.now(UTC) + timedelta(days=9))]
    good = [flow.sighting(number) for number in (6, 7)]
    await stages.put_sightings(flow.publisher, [good[0], *no_text, *no_number, *no_time, good[1]])
    assert {row["pass_id"] for row in await flow.indexed()} == {one.pass_id for one in good}
    found = await stages.letters(flow.dead_letters, "indexer")
    assert Counter(letter.reason for letter in found) == {"undecodable": 3, "poisoned": 3}


async def test_a_camera_that_is_registered_late_is_waited_for(flow: Flow) -> None:
    """The registry's record is written after the enricher has started, and before the detection."""
    late, _ = camera(f"{flow.camera.camera_id}-late")
    async with (
        KafkaRegistry(flow.kafka.bootstrap, timeout_s=30) as registry,
        stages.running(enricher.build(flow.settings, registry)),
    ):
        await stages.put_cameras(flow.publisher, late)
        await stages.put_detections(flow.publisher, [flow.detection(0, camera_id=late.camera_id)])
        await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
    await flow.indexed()
    assert len(await stages.rows_of(flow.database, late.camera_id)) == 1


async def test_a_registry_of_thousands_is_read_whole_before_the_first_read_is_taken(flow: Flow, tmp_path: Path) -> None:
    """The read waits already, and its camera is the last of the registry."""
    many = [camera(f"{flow.camera.camera_id}-{number}")[0] for number in range(3000)]
    await stages.put_cameras(flow.publisher, *many)
    item = flow.detection(0, camera_id=many[-1].camera_id)
    await stages.put_detections(flow.publisher, [item])
    worker = stages.Worker("enricher", flow.settings, tmp_path)
    try:
        worker.wait_until_ready()
        await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
    finally:
        worker.stop()
    assert await flow.dead_letters.records() == []
    assert [wire.decode(value, Sighting).pass_id for _, value in await flow.sightings.records()] == [item.event_id]


async def test_offsets_move_only_after_the_transaction(flow: Flow) -> None:
    await stages.put_sightings(flow.publisher, [flow.sighting(number) for number in range(50)])
    stage = indexer.build(flow.settings)
    source = stage._source
    seen: list[int] = []

    async def killed(fetched: object, kept: object) -> bool:
        seen.append(len(await flow.rows()))
        raise asyncio.CancelledError

    source.commit = killed  # type: ignore[method-assign]
    before = await stages.committed(flow.kafka.bootstrap, INDEXER)
    with pytest.raises(asyncio.CancelledError):
        await stage.run(asyncio.Event())
    assert seen[0] > 0, "at the commit of the offsets the rows are visible to everybody"
    assert await stages.committed(flow.kafka.bootstrap, INDEXER) == before
    rows = await flow.indexed()
    assert len(rows) == len({row["pass_id"] for row in rows}) == 50


async def test_a_read_without_a_day_stops_the_worker_and_nothing_of_its_batch_is_passed_over(
    flow: Flow, tmp_path: Path
) -> None:
    day = datetime.now(UTC) - timedelta(days=17)
    items = [flow.sighting(0), flow.sighting(1, captured_at=day)]
    await stages.put_sightings(flow.publisher, items)
    worker = stages.Worker("indexer", flow.settings, tmp_path)
    try:
        until(lambda: worker.returncode is not None, "the worker has ended")
    finally:
        worker.kill()
    error, why = worker.failure()
    assert error == "Misconfigured"
    assert "no day" in why
    assert "ABC" not in worker.output()
    assert await stages.lag(flow.kafka.bootstrap, INDEXER) > 0

    await stages.make_days(flow.database, [day.date()])
    assert len(await flow.indexed()) == 2


@asynccontextmanager
async def refusing(flow: Flow, condition: str) -> AsyncIterator[None]:
    """Let the index take only what fulfils a condition while the block runs, as no rule of ours says."""
    connection = await asyncpg.connect(flow.database.superuser_url)
    await connection.execute(f"alter table reads.sighting add constraint odd check ({condition}) not valid")
    try:
        yield
    finally:
        await connection.execute("alter table reads.sighting drop constraint odd")
        await connection.close()


async def test_rows_that_the_index_refuses_all_the_same_are_dead_letters_and_cost_no_other(flow: Flow) -> None:
    odd = {3: 0, 40: 1, 41: 0, 99: 2}
    for number in range(100):
        changes = {"region": "XX-ODD", "revision": odd[number]} if number in odd else {"revision": number % 2}
        await stages.put_sightings(flow.publisher, [flow.sighting(number, **changes)])
    async with refusing(flow, "region <> 'XX-ODD'"):
        assert len(await flow.indexed()) == 100 - len(odd)
    found = [wire.decode(value, DeadLetter) for _, value in await flow.dead_letters.records()]
    own = [one for one in found if one.camera_id == flow.camera.camera_id]
    assert [(one.stage, one.reason) for one in own] == [("indexer", "poisoned")] * len(odd)


async def test_an_index_that_refuses_every_row_ends_the_worker_with_nothing_passed_over(flow: Flow) -> None:
    await stages.put_sightings(flow.publisher, [flow.sighting(number) for number in range(300)])
    before = await stages.committed(flow.kafka.bootstrap, INDEXER)
    async with refusing(flow, f"camera_id <> '{flow.camera.camera_id}'"):
        settings = stages.settings(flow.kafka.bootstrap, flow.database, failure_limit=20)
        with pytest.raises(TooManyFailures):
            await asyncio.wait_for(indexer.build(settings).run(asyncio.Event()), 60)
    assert await stages.committed(flow.kafka.bootstrap, INDEXER) == before
    assert not await flow.dead_letters.records()
    assert len(await flow.indexed()) == 300


async def test_a_late_read_lies_in_its_own_day(flow: Flow) -> None:
    days = [datetime.now(UTC) - timedelta(days=back) for back in (0, 25, 9)]
    await stages.make_days(flow.database, [day.date() for day in days])
    await stages.put_sightings(
        flow.publisher, [flow.sighting(number, captured_at=day) for number, day in enumerate(days)]
    )
    await flow.indexed()
    looking = await asyncpg.connect(flow.database.superuser_url)
    found = await looking.fetch(
        "select captured_at, tableoid::regclass::text as day from reads.sighting where camera_id = $1",
        flow.camera.camera_id,
    )
    await looking.close()
    assert {(row["captured_at"], row["day"]) for row in found} == {
        (day, f"reads.sighting_{day:%Y%m%d}") for day in days
    }


async def test_what_became_too_old_while_it_waited_is_dropped_and_counted_though_its_day_is_gone(flow: Flow) -> None:
    old = datetime.now(UTC) - timedelta(days=34)
    items = [flow.sighting(0), flow.sighting(1, captured_at=old), flow.sighting(2)]
    stage = indexer.build(flow.settings)
    async with stages.running(stage):
        await stages.put_sightings(flow.publisher, items)
        await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
    assert (stage.counts.written, stage.counts.dropped, stage.counts.dead_letters) == (2, 1, 0)
    assert [row["pass_id"] for row in await flow.rows()] == [items[0].pass_id, items[2].pass_id]


async def test_a_database_that_refuses_us_stops_the_worker(flow: Flow) -> None:
    url = flow.database.url("platetrail_relay")
    await stages.put_sightings(flow.publisher, [flow.sighting(0)])
    stage = indexer.build(stages.settings(flow.kafka.bootstrap, database_url=url))
    with pytest.raises(Misconfigured, match="SQLSTATE 42501") as refusal:
        await stage.run(asyncio.Event())
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None
    assert len(await flow.indexed()) == 1


async def test_a_database_that_stays_read_only_is_waited_for_and_then_ends_the_worker_with_one_line(
    flow: Flow, tmp_path: Path
) -> None:
    superuser = await asyncpg.connect(flow.database.superuser_url)
    await stages.put_sightings(flow.publisher, [flow.sighting(0), flow.sighting(1)])
    await superuser.execute(f"alter database {flow.database.name} set default_transaction_read_only = on")
    worker = stages.Worker("indexer", flow.settings.model_copy(update={"outage_limit_s": 2.0}), tmp_path)
    try:
        until(lambda: worker.returncode is not None, "the worker has ended")
    finally:
        worker.kill()
        await superuser.execute("set default_transaction_read_only = off")
        await superuser.execute(f"alter database {flow.database.name} reset default_transaction_read_only")
        await superuser.close()
    assert worker.failure() == ("Unavailable", "the database cannot serve: SQLSTATE 25006")
    assert len(worker.said("waiting")) == 1
    assert "ABC" not in worker.output()
    assert len(await flow.indexed()) == 2


async def test_messages_that_expired_unread_are_counted_aloud(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    await stages.put_sightings(flow.publisher, [flow.sighting(0)])
    await stages.move(flow.kafka.bootstrap, INDEXER, beyond=1000)
    rows = await flow.indexed()
    assert len(rows) == 1
    assert "expired_unread" in capsys.readouterr().out


async def test_two_indexers_share_the_work_and_lose_none_of_it(flow: Flow) -> None:
    items = [flow.sighting(number) for number in range(3000)]
    first = indexer.build(stages.settings(flow.kafka.bootstrap, flow.database, batch_records=50))
    second = indexer.build(stages.settings(flow.kafka.bootstrap, flow.database, batch_records=50, instance="2"))
    async with stages.running(first):
        await stages.put_sightings(flow.publisher, items)
        async with stages.running(second):
            await stages.put_sightings(flow.publisher, items)
            await stages.until_worked_off(flow.kafka.bootstrap, INDEXER)
    assert first.counts.written > 0
    assert second.counts.written > 0
    rows = await flow.rows()
    assert sorted(row["pass_id"] for row in rows) == sorted(item.pass_id for item in items)


async def test_two_enrichers_share_the_work_and_lose_none_of_it(flow: Flow) -> None:
    cameras = [camera(f"{flow.camera.camera_id}-{number}")[0] for number in range(40)]
    await stages.put_cameras(flow.publisher, *cameras)
    items = [
        flow.detection(number, camera_id=one.camera_id, event_id=event_id(one.camera_id, str(number)))
        for number in range(50)
        for one in cameras
    ]
    async with KafkaRegistry(flow.kafka.bootstrap, timeout_s=30) as registry:
        first, second = (
            enricher.build(
                stages.settings(flow.kafka.bootstrap, flow.database, batch_records=50, instance=instance), registry
            )
            for instance in ("1", "2")
        )
        async with stages.running(first):
            await stages.put_detections(flow.publisher, items[:1000])
            async with stages.running(second):
                await stages.put_detections(flow.publisher, items[1000:])
                await stages.until_worked_off(flow.kafka.bootstrap, ENRICHER)
    assert first.counts.written > 0
    assert second.counts.written > 0
    assert await flow.dead_letters.records() == []
    await flow.indexed()
    rows = [row for one in cameras for row in await stages.rows_of(flow.database, one.camera_id)]
    assert sorted(row["pass_id"] for row in rows) == sorted(item.event_id for item in items)
    assert {row["revision"] for row in rows} == {0}


async def test_a_read_too_large_for_the_broker_is_a_dead_letter_and_costs_no_other(flow: Flow) -> None:
    """The broker itself refuses: somebody has made its limits smaller than the files say."""
    large = flow.detection(3, candidates=tuple(Candidate(plate="A" * 2000, confidence=0.5) for _ in range(8)))
    items = [large if number == 3 else flow.detection(number) for number in range(30)]
    await stages.put_detections(flow.publisher, items)
    await set_configs(flow.kafka.bootstrap, topics.SIGHTINGS, {"max.message.bytes": "4000"})
    await set_configs(flow.kafka.bootstrap, topics.DEAD_LETTERS, {"max.message.bytes": "4000"})
    try:
        await flow.enriched()
        rows = await flow.indexed()
    finally:
        await make_topics(flow.kafka.bootstrap)
    assert {row["pass_id"] for row in rows} == {item.event_id for item in items} - {large.event_id}
    [letter] = await stages.letters(flow.dead_letters, "enricher")
    assert (letter.reason, letter.camera_id, letter.detection) == ("too_large", flow.camera.camera_id, None)
    assert letter.size_bytes == len(wire.encode(large))


async def test_a_replay_of_whole_topics_changes_no_row(flow: Flow) -> None:
    """Detections and sightings from their beginning, with doubles, revisions and a plate key that changed."""
    doubtful = flow.detection(0, plate_raw="XYC 3471", plate_confidence=0.6, **FAINT)
    sure = flow.detection(1, plate_raw="XYC3477", plate_confidence=0.97, colour=RED)
    others = [flow.detection(number, plate_raw=f"QRS {8000 + number}") for number in range(10, 40)]
    starts = {group: await stages.committed(flow.kafka.bootstrap, group) for group in (ENRICHER, INDEXER)}
    await stages.put_detections(flow.publisher, [doubtful, *others, sure, *others, doubtful])
    await flow.enriched()
    before = await flow.indexed()
    assert sorted(row["revision"] for row in before) == [0] * 30 + [1, 1], "a pass of two reads, and its grave"

    for group in (INDEXER, ENRICHER, INDEXER):
        await stages.rewind(flow.kafka.bootstrap, group, starts[group])
        if group == ENRICHER:
            await flow.enriched()
        assert await flow.indexed() == before
    written = [wire.decode(value, Sighting) for _, value in await flow.sightings.records()]
    assert len(written) == 2 * len({(one.pass_id, one.revision, one.plate_key) for one in written}) == 66, (
        "the enricher has written all of it once more, letter by letter the same passes and revisions"
    )
