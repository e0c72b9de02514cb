"""Camera health from end to end: cameras push to a gateway, and their operators see how they do. Real parts."""

import json
import random
import string
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import msgspec
import pytest
from fastapi import FastAPI

from ingest import deadletter
from ingest.adapters.kafka import KafkaPublisher
from schemas import topics, wire
from schemas.deadletters import DeadLetter
from schemas.health import CameraReport
from schemas.owners import OwnerRules
from search.act import Act
from search.adapters.registry import PostgresCameras
from search.api import cameras as routes
from search.api.common import install_errors
from search.audit import keys as audit_keys
from search.audit.lookups import Lookups
from search.audit.secrets import Sealer
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.gateway import build
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera, new_id
from tests.support.database import Database
from tests.support.detections import detection
from tests.support.health import every
from tests.support.http import serving
from tests.support.searching import Keys, in_process
from tests.support.tokens import Issuer
from tests.support.topics import make_topics, tail, write
from tests.support.wait import until_async

PLATE = "HLT0042"
OPERATOR = "camera_operator"


class Flow(NamedTuple):
    """A gateway that reports five times a second, search, and the worker between them."""

    kafka: Kafka
    database: Database
    keys: Keys
    gateway: httpx.AsyncClient
    search: httpx.AsyncClient
    publisher: KafkaPublisher
    folder: Path

    def operator(self, agency: str = "north") -> dict[str, str]:
        return self.keys.bearer("operator-jo", agency, OPERATOR)

    def worker(self) -> stages.Worker:
        """Start the worker, and wait until it reads."""
        url = self.database.url("platetrail_health")
        settings = stages.settings(self.kafka.bootstrap, database_url=url)
        worker = stages.Worker("health", settings, self.folder)
        worker.wait_until_ready()
        return worker

    async def register(self, agency: str = "north", **changes: Any) -> tuple[str, str]:
        """Register a camera, tell the gateway as the relay does, and return its id and key."""
        body = {"camera_id": new_id(), "name": "Bridge", "latitude": 38.5, "longitude": -90.25, **changes}
        answer = await self.search.post(
            "/v1/cameras", json={"timezone": "America/Chicago", **body}, headers=self.operator(agency)
        )
        assert answer.status_code == 201, answer.text
        connection = await asyncpg.connect(self.database.superuser_url)
        rows = await connection.fetch("delete from registry.outbox returning key, value")
        await connection.close()
        assert not any(await self.publisher.publish(topics.CAMERAS, [(row["key"], row["value"]) for row in rows]))
        return body["camera_id"], answer.json()["key"]

    async def push(self, key: str, reads: Iterable[Any], status: int = 202) -> None:
        answer = await self.gateway.post("/v1/detections", json=list(reads), headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status, answer.text

    async def health(self, agency: str = "north", **query: str) -> dict[str, Any]:
        """Return how each camera of an agency does, by id."""
        answer = await self.search.get("/v1/cameras/health", params=query, headers=self.operator(agency))
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return {one["camera_id"]: one for one in answer.json()["cameras"]}

    async def counted(self, camera_id: str, **expected: Any) -> dict[str, Any]:
        """Wait until a camera's health says this, and return it."""

        async def there() -> bool:
            one = (await self.health())[camera_id]
            return {name: one[name] for name in expected} == expected

        await until_async(there, f"health has {expected}")
        return dict((await self.health())[camera_id])

    async def report(self, *reports: CameraReport) -> None:
        """Publish reports as a gateway does."""
        records = [(one.camera_id.encode(), wire.encode(one)) for one in reports]
        assert not any(await self.publisher.publish(topics.CAMERA_HEALTH, records))


@pytest.fixture
async def flow(kafka: Kafka, database: Database, tmp_path: Path) -> AsyncIterator[Flow]:
    await make_topics(kafka.bootstrap)
    keys = Keys(tmp_path, OwnerRules())
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(KafkaPublisher(kafka.bootstrap, timeout_s=30))
        gateway = build(Settings(kafka_bootstrap=kafka.bootstrap, health_report_s=0.2))
        yield Flow(
            kafka,
            database,
            keys,
            await stack.enter_async_context(serving(gateway)),
            await stack.enter_async_context(in_process(keys.settings(database))),
            publisher,
            tmp_path,
        )


@pytest.fixture
def worker(flow: Flow) -> Any:
    worker = flow.worker()
    yield worker
    worker.stop()
    assert worker.returncode == 0
    assert PLATE not in worker.output()


def read(number: int = 0, shift: timedelta = timedelta(), **changes: Any) -> dict[str, Any]:
    """Return a read of some seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=2) + shift
    return {"captured_at": at.isoformat(), "plate": PLATE, "plate_confidence": 0.9, "key": f"{number}", **changes}


@pytest.mark.usefixtures("worker")
async def test_a_camera_pushes_and_its_operator_sees_it(flow: Flow) -> None:
    camera_id, key = await flow.register()
    assert (await flow.health())[camera_id]["status"] == "never_seen"
    await flow.push(key, (read(number) for number in range(10)))
    one = await flow.counted(camera_id, reads_last_day=10)
    assert (one["status"], one["reads_last_hour"], one["reject_rate"], one["flags"]) == ("learning", 10, 0.0, [])
    assert one["mean_confidence"] == pytest.approx(0.9)
    assert one["last_seen_at"] >= one["last_read_at"] > datetime.now(UTC).isoformat()[:11]
    assert 0 <= one["skew"]["seconds"] < 60
    assert PLATE not in json.dumps(one)


@pytest.mark.usefixtures("worker")
async def test_rejects_wrong_keys_and_a_wrong_place(flow: Flow) -> None:
    camera_id, key = await flow.register()
    elsewhere = {"latitude": 40.0, "longitude": -90.25}
    await flow.push(key, [*(read(n, position=elsewhere) for n in range(70)), *({"plate": PLATE} for _ in range(30))])
    for _ in range(20):
        await flow.push(key[:-1] + ("a" if key[-1] != "a" else "b"), [read()], 401)
    one = await flow.counted(camera_id, reject_rate=0.3, refused={"wrong_key": 20})
    assert (one["reads_last_day"], one["rejected"]) == (70, {"shape": 30})
    assert [flag["flag"] for flag in one["flags"]] == ["many_rejects", "refused_requests", "position_disagrees"]


@pytest.mark.usefixtures("worker")
async def test_clocks_that_are_seven_hours_off(flow: Flow) -> None:
    behind, key = await flow.register()
    ahead, other = await flow.register()
    await flow.push(key, (read(number, -timedelta(hours=7)) for number in range(12)))
    await flow.push(other, (read(number, timedelta(hours=7)) for number in range(12)))
    one = await flow.counted(behind, reads_last_day=12)
    assert one["skew"]["seconds"] == pytest.approx(25_200, abs=60)
    (flag,) = one["flags"]
    assert (flag["flag"], flag["set"]["clock_use"]) == ("clock_off", "offset")
    assert flag["set"]["clock_offset_s"] == pytest.approx(25_200, abs=60)
    one = await flow.counted(ahead, rejected={"clock_future": 12})
    assert one["skew"]["seconds"] == pytest.approx(-25_200, abs=60)
    assert one["flags"][0]["set"]["clock_offset_s"] == pytest.approx(-25_200, abs=60)


@pytest.mark.usefixtures("worker")
async def test_a_silent_camera_is_told_by_its_own_rhythm(flow: Flow) -> None:
    busy, _ = await flow.register()
    quiet, _ = await flow.register()
    now = datetime.now(UTC)
    for name, minutes in ((busy, 2), (quiet, 70)):
        past = every(minutes, now - timedelta(hours=20), now)
        await flow.report(*(_of(one, name) for one in past))
    await flow.counted(busy, reads_last_day=601)
    await flow.counted(quiet, reads_last_day=18)
    later = await later_health(flow, now + timedelta(hours=1, minutes=30))
    assert {name: later[name]["status"] for name in (busy, quiet)} == {busy: "silent", quiet: "ok"}
    rhythm = later[busy]["rhythm"]
    assert (rhythm["usual_quiet_s"], rhythm["silent_after_s"]) == (300, 900)
    assert datetime.fromisoformat(later[busy]["silent_since"]) >= now - timedelta(minutes=2)
    silent = await later_health(flow, now + timedelta(hours=1, minutes=30), silent="true")
    assert busy in silent
    assert quiet not in silent


def _of(report: CameraReport, camera_id: str) -> CameraReport:
    values = {name: getattr(report, name) for name in report.__struct_fields__}
    return CameraReport(**{**values, "camera_id": camera_id})


async def later_health(flow: Flow, at: datetime, **query: str) -> dict[str, Any]:
    """Return how the cameras do by a clock that says `at`, to which gateways have reported."""
    reporter = CameraReport(camera_id="", source=detection().event_id, sequence=1, until=at, last_seen_at=at)
    await flow.report(reporter)
    issuer = Issuer()
    sealer = Sealer(audit_keys.read_public(flow.folder / "audit.pub"))
    registry = PostgresCameras(flow.database.url("platetrail_search"), sealer)
    app = FastAPI()
    install_errors(app)
    app.router.routes.extend(routes.routes(Act(registry, Lookups(b"l" * 32), now=lambda: at), issuer.verifier()))
    found: dict[str, Any] = {}
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://search") as client:

            async def reported() -> bool:
                answer = await client.get("/v1/cameras/health", params=query, headers=issuer.header(OPERATOR))
                found.update(answer.json())
                return found["reported_at"] is not None and datetime.fromisoformat(found["reported_at"]) >= at

            await until_async(reported, "the report of the gateways is in")
    finally:
        await registry.stop()
    return {one["camera_id"]: one for one in found["cameras"]}


@pytest.mark.usefixtures("worker")
async def test_conflicting_resends_are_counted_from_the_dead_letters(flow: Flow) -> None:
    camera_id, _ = await flow.register()
    letters = [letter(camera_id, number) for number in (1, 2, 2)]
    assert not any(await flow.publisher.publish(topics.DEAD_LETTERS, letters))

    async def flagged() -> bool:
        return bool((await flow.health())[camera_id]["flags"])

    await until_async(flagged, "the letters are counted")
    (flag,) = (await flow.health())[camera_id]["flags"]
    assert flag["flag"] == "conflicting_resends"
    assert flag["detail"].startswith("2 reads were")


@pytest.mark.usefixtures("worker")
async def test_a_read_that_is_sent_again_with_other_content_is_flagged(flow: Flow) -> None:
    camera_id, key = await flow.register()
    await stages.move(flow.kafka.bootstrap, "platetrail-enricher")
    enricher = stages.Worker("enricher", stages.settings(flow.kafka.bootstrap), flow.folder)
    try:
        enricher.wait_until_ready()
        first = read(1)
        for one in (first, first, {**first, "plate": "HLT0777"}):
            await flow.push(key, [one])

        async def flagged() -> bool:
            return bool((await flow.health())[camera_id]["flags"])

        await until_async(flagged, "the resend is flagged")
    finally:
        enricher.stop()
    (flag,) = (await flow.health())[camera_id]["flags"]
    assert (flag["flag"], flag["detail"].partition(" sent")[0]) == ("conflicting_resends", "1 read was")


def letter(camera_id: str, number: int) -> tuple[bytes, bytes]:
    found: DeadLetter = deadletter.of_detection(
        "enricher", "conflicting_resend", detection(number, camera_id=camera_id), datetime.now(UTC)
    )
    return deadletter.key(found), wire.encode(found)


async def test_a_killed_worker_counts_everything_once(flow: Flow) -> None:
    camera_id, key = await flow.register()
    worker = flow.worker()
    pushed = 0
    for _ in range(3):
        for _ in range(10):
            await flow.push(key, (read(pushed + number) for number in range(7)))
            pushed += 7
        await until_async(lambda: _reads(flow, camera_id), "something is counted")
        worker.kill()
        await flow.push(key, (read(pushed + number) for number in range(5)))
        pushed += 5
        worker = flow.worker()
    try:
        await flow.counted(camera_id, reads_last_day=pushed)
        await replayed(flow, camera_id)
        assert (await flow.health())[camera_id]["reads_last_day"] == pushed
    finally:
        worker.stop()
    assert pushed == 225


@pytest.mark.usefixtures("worker")
async def test_a_report_that_no_row_takes_is_a_dead_letter_and_the_rest_is_counted(flow: Flow) -> None:
    camera_id, _ = await flow.register()
    good = every(5, datetime.now(UTC) - timedelta(minutes=30), datetime.now(UTC))
    own = [msgspec.structs.replace(one, camera_id=camera_id) for one in good]
    long = "".join(random.Random(6).choices(string.ascii_letters, k=20_000))
    first = own[0]
    odd = [
        msgspec.structs.replace(first, camera_id=long),
        msgspec.structs.replace(first, accepted=2**64 - 1),
        msgspec.structs.replace(first, until=first.until.replace(tzinfo=None)),
        msgspec.structs.replace(first, rejected={long + str(number): 1 for number in range(10)}),
    ]
    async with tail(flow.kafka.bootstrap, topics.DEAD_LETTERS) as letters:
        await flow.report(*odd, *own)
        await flow.counted(camera_id, reads_last_day=len(own))

        async def all_there() -> bool:
            return len(await letters.records()) >= len(odd)

        await until_async(all_there, "each is a dead letter")
        found = [wire.decode(value, DeadLetter) for _, value in await letters.records()]
    assert [(one.stage, one.reason) for one in found] == [("health", "poisoned")] * len(odd)
    assert {one.camera_id for one in found} == {None, camera_id}


async def _reads(flow: Flow, camera_id: str) -> bool:
    return bool((await flow.health())[camera_id]["reads_last_day"])


async def replayed(flow: Flow, camera_id: str) -> None:
    """Write everything that was reported on a camera again, and wait until it has been read."""
    async with tail(flow.kafka.bootstrap, topics.CAMERA_HEALTH) as since:
        everything = [(key, value) for key, value in await _whole(since) if key == camera_id.encode()]
    assert everything
    await write(flow.kafka.bootstrap, topics.CAMERA_HEALTH, *everything)
    marker = CameraReport(
        camera_id=camera_id, source=detection(9).event_id, sequence=1, until=datetime.now(UTC), dropped=77
    )
    await flow.report(marker)
    await flow.counted(camera_id, dropped=77)


async def _whole(since: Any) -> list[tuple[bytes, bytes]]:
    since._marks = await since._consumer.beginning_offsets(list(since._marks))
    found: list[tuple[bytes, bytes]] = await since.records()
    return found


async def test_reads_are_taken_while_health_can_not_be_reported(tmp_path: Path) -> None:
    """As after an upgrade, before the relay has made the topic."""
    kafka = kafka_starter.start(tmp_path / "kafka")
    try:
        await make_topics(kafka.bootstrap, [name for name in topics.ALL if name != topics.CAMERA_HEALTH])
        one, key = camera()
        await write(kafka.bootstrap, topics.CAMERAS, (one.camera_id.encode(), wire.encode(one)))
        settings = Settings(kafka_bootstrap=kafka.bootstrap, health_report_s=0.1, publish_timeout_s=1)
        async with serving(build(settings)) as client:

            async def attempted(outcome: str) -> bool:
                return f'health_reports_total{{outcome="{outcome}"}}' in (await client.get("/metrics")).text

            headers = {"Authorization": f"Bearer {key}"}
            assert (await client.post("/v1/detections", json=read(1), headers=headers)).status_code == 202
            await until_async(lambda: attempted("waiting"), "a report waits")
            assert (await client.post("/v1/detections", json=read(2), headers=headers)).status_code == 202
            await make_topics(kafka.bootstrap)
            await until_async(lambda: attempted("sent"), "it is sent")
            async with tail(kafka.bootstrap, topics.CAMERA_HEALTH) as since:

                async def both() -> bool:
                    reports = [wire.decode(value, CameraReport) for _, value in await _whole(since)]
                    own = {report.sequence: report for report in reports if report.camera_id == one.camera_id}
                    return sum(report.accepted for report in own.values()) == 2

                await until_async(both, "both reads are reported, once by number")
    finally:
        kafka.stop()


async def test_who_may_see_it(flow: Flow) -> None:
    own, _ = await flow.register()
    other, _ = await flow.register("south")
    assert (await flow.search.get("/v1/cameras/health")).status_code == 401
    for role in ("investigator", "auditor"):
        answer = await flow.search.get("/v1/cameras/health", headers=flow.keys.bearer(role=role))
        assert answer.status_code == 403
    north, south = await flow.health(), await flow.health("south")
    assert own in north
    assert other in south
    assert not north.keys() & south.keys()
    bad = await flow.search.get("/v1/cameras/health?silent=perhaps", headers=flow.operator())
    assert (bad.status_code, "perhaps" in bad.text) == (422, False)
    taken = {"camera_id": "health", "name": "B", "latitude": 38.5, "longitude": -90.25, "timezone": "America/Chicago"}
    answer = await flow.search.post("/v1/cameras", json=taken, headers=flow.operator())
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/camera_id")


async def test_a_camera_that_proves_itself_by_a_url_is_flagged_from_the_first_day(flow: Flow) -> None:
    camera_id, token = await flow.register(format="openalpr", proof="url")
    one = (await flow.health())[camera_id]
    assert [flag["flag"] for flag in one["flags"]] == ["token_in_url"]
    assert token not in json.dumps(one)


async def test_a_look_leaves_no_entry(flow: Flow) -> None:
    await flow.register()
    connection = await asyncpg.connect(flow.database.superuser_url)
    before = await connection.fetchval("select size from audit.head")
    await flow.health()
    assert await connection.fetchval("select size from audit.head") == before
    await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "select * from registry.camera",
        "select * from registry.outbox",
        "delete from registry.camera_health",
        "select * from reads.sighting",
        "select * from audit.leaf",
    ],
)
async def test_the_workers_role_can_do_nothing_else(database: Database, statement: str) -> None:
    connection = await asyncpg.connect(database.url("platetrail_health"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_search_cannot_write_it(database: Database) -> None:
    connection = await asyncpg.connect(database.url("platetrail_search"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("insert into registry.camera_health (camera_id) values ('x')")
    await connection.close()
