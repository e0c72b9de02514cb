"""Dead letters, mended and put back, on Apache Kafka and PostgreSQL: from a refusal to a row of the index."""

import asyncio
import json
import secrets
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import msgspec
import pytest_asyncio

from ingest import deadletter
from ingest.adapters.kafka import KafkaPublisher
from ingest.adapters.registry import KafkaRegistry
from schemas import topics, wire
from schemas.cameras import Camera
from schemas.deadletters import DeadLetter, Reason, Stage
from schemas.detections import Detection, event_id
from schemas.owners import Grant, OwnerRules
from services import auditing, deadletters, enricher, indexer
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.process import Child, free_port
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import camera
from tests.support.database import Database
from tests.support.detections import detection
from tests.support.searching import Keys
from tests.support.topics import Tail, make_topics, tail
from tests.support.wait import until_async

PLATE = "DLT 4711"
QUERY, REVEAL, REPLAY = (f"/v1/deadletters/{name}" for name in ("query", "reveal", "replay"))


class Office(NamedTuple):
    """The dead-letter service of an agency of this test's own, a camera, and what is in the topics since."""

    client: httpx.AsyncClient
    keys: Keys
    agency: str
    camera: Camera
    publisher: KafkaPublisher
    detections: Tail
    letters: Tail
    kafka: Kafka
    database: Database

    def header(self, agency: str | None = None, role: str = "camera_operator") -> dict[str, str]:
        return self.keys.bearer("operator-jo", agency or self.agency, role)

    async def ask(self, path: str, agency: str | None = None, **body: Any) -> Any:
        answer = await self.client.post(path, json=body, headers=self.header(agency))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read(self, number: int = 0, **changes: Any) -> Detection:
        """Return a read of the camera, of a minute ago."""
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60 + number)
        own = self.camera.camera_id
        values = {
            "camera_id": own,
            "owner": self.agency,
            "event_id": event_id(own, str(number)),
            "claimed_at": at,
            "captured_at": at,
            "received_at": at + timedelta(seconds=1),
            "plate_raw": PLATE,
        }
        return detection(number, **{**values, **changes})

    def reads(self, number: int) -> list[Detection]:
        """Return reads of one plate, two minutes apart: each is a pass of its own."""
        first = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        times = [first - timedelta(minutes=2 * one) for one in range(number)]
        return [
            self.read(one, claimed_at=at, captured_at=at, received_at=at + timedelta(seconds=1))
            for one, at in enumerate(times)
        ]

    async def set_aside(
        self, *reads: Detection, reason: Reason = "unknown_camera", stage: Stage = "enricher"
    ) -> list[DeadLetter]:
        made = [deadletter.of_detection(stage, reason, one, datetime.now(UTC)) for one in reads]
        records = [(deadletter.key(one), wire.encode(one)) for one in made]
        assert not any(await self.publisher.publish(topics.DEAD_LETTERS, records))
        return made

    async def put_back(self) -> list[Detection]:
        """Return the camera's detections in the stream since."""
        found = [wire.decode(value, Detection) for _, value in await self.detections.records()]
        return [one for one in found if one.camera_id == self.camera.camera_id]

    async def rows(self) -> list[Any]:
        """Return the camera's rows of the index once both stages have worked off all that is there."""
        settings = stages.settings(self.kafka.bootstrap, self.database)
        async with (
            KafkaRegistry(self.kafka.bootstrap, timeout_s=30) as known,
            stages.running(enricher.build(settings, known)),
            stages.running(indexer.build(settings)),
        ):
            await stages.until_worked_off(self.kafka.bootstrap, "platetrail-enricher")
            await stages.until_worked_off(self.kafka.bootstrap, "platetrail-indexer")
        return await stages.rows_of(self.database, self.camera.camera_id)

    async def entries(self) -> list[Any]:
        """Return the entries that this agency's operators left at dead letters, as an auditor sees them."""
        settings = Settings(
            database_url=self.database.url("platetrail_auditing"),
            audit_private_key_file=self.keys.folder / "audit.key",
            lookup_key_file=self.keys.folder / "lookup.key",
            token_public_key_file=self.keys.folder / "token.pub",
            token_issuer="https://issuer.test",
        )
        app = auditing.build(settings)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://a") as client,
        ):
            wanted = {"kind": "dead_letter", "agency": self.agency}
            answer = await client.get(
                "/v1/audit/entries", params=wanted, headers=self.keys.bearer("ruth", "state-auditor", "auditor")
            )
        found: list[Any] = answer.json()["entries"]
        return found


def settings_of(kafka: Kafka, database: Database, keys: Keys) -> dict[str, Any]:
    return {
        **keys.settings(database),
        "database_url": database.url("platetrail_deadletters"),
        "kafka_bootstrap": kafka.bootstrap,
    }


@asynccontextmanager
async def running(kafka: Kafka, database: Database, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service in this process."""
    app = deadletters.build(Settings(**settings_of(kafka, database, keys)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://deadletters") as client,
    ):
        yield client


@pytest_asyncio.fixture
async def office(kafka: Kafka, database: Database, tmp_path: Path) -> AsyncIterator[Office]:
    agency = f"agency-{secrets.token_hex(4)}"
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    await stages.make_days(database, stages.around_today())
    own, _ = camera(owner=agency)
    keys = Keys(tmp_path, OwnerRules(owners={f"{agency}-short": Grant(days=1)}))
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(KafkaPublisher(kafka.bootstrap, timeout_s=30))
        await stages.put_cameras(publisher, own)
        yield Office(
            await stack.enter_async_context(running(kafka, database, keys)),
            keys,
            agency,
            own,
            publisher,
            await stack.enter_async_context(tail(kafka.bootstrap, topics.DETECTIONS)),
            await stack.enter_async_context(tail(kafka.bootstrap, topics.DEAD_LETTERS)),
            kafka,
            database,
        )


async def test_an_agency_sees_its_letters_and_no_plate(office: Office) -> None:
    first, second = await office.set_aside(office.read(1), office.read(2, plate_raw=None))
    (future,) = await office.set_aside(office.read(3), reason="clock_future", stage="gateway")
    page = await office.ask(QUERY, since=office_began(first))
    own = [one for one in page["letters"] if one["camera_id"] == office.camera.camera_id]
    assert [one["letter_id"] for one in own] == [str(one.letter_id) for one in (future, second, first)]
    assert [one["detection"]["has_plate"] for one in own] == [True, False, True]
    assert not any(word in json.dumps(page) for word in ("DLT", "4711", "plate_raw", "event_id"))
    narrowed = await office.ask(QUERY, reason="clock_future", camera_id=office.camera.camera_id, stage="gateway")
    assert [one["letter_id"] for one in narrowed["letters"]] == [str(future.letter_id)]

    pages, before = [], None
    while True:
        more = await office.ask(
            QUERY, limit=1, camera_id=office.camera.camera_id, **({"before": before} if before else {})
        )
        pages += [one["letter_id"] for one in more["letters"]]
        before = more["next"]
        if before is None:
            break
    assert pages == [one["letter_id"] for one in own]

    other = await office.ask(QUERY, agency="somebody-else")
    assert {one["camera_id"] for one in other["letters"]} <= {None}, "of others only what was no message at all"
    denied = await office.client.post(QUERY, json={}, headers=office.header(role="investigator"))
    assert denied.status_code == 403
    assert await office.entries() == [], "a list without plates is no look at one"


def office_began(letter: DeadLetter) -> str:
    return (letter.at - timedelta(minutes=1)).isoformat()


async def test_a_look_into_a_letter_is_on_the_record_with_its_reason(office: Office) -> None:
    (letter,) = await office.set_aside(office.read(1))
    asked = {"letter_id": str(letter.letter_id)}
    bare = await office.client.post(REVEAL, json=asked, headers=office.header())
    assert (bare.status_code, bare.json()["errors"][0]["pointer"]) == (422, "/note")
    other = await office.client.post(REVEAL, json={**asked, "note": "curious"}, headers=office.header("somebody-else"))
    assert other.status_code == 404
    assert await office.entries() == []
    shown = await office.ask(REVEAL, **asked, note="is the lens dirty?")
    assert shown["detection"]["plate_raw"] == PLATE
    (entry,) = await office.entries()
    assert entry["index"] == shown["entry"]
    assert (entry["public"]["action"], entry["public"]["letters"]) == ("reveal", 1)
    assert entry["disclosures"] == {
        "person": "operator-jo",
        "letters": [str(letter.letter_id)],
        "note": "is the lens dirty?",
    }
    assert "DLT" not in json.dumps(entry)


async def test_nothing_is_shown_or_put_back_off_the_record(office: Office, database: Database) -> None:
    (letter,) = await office.set_aside(office.read(1))
    connection = await asyncpg.connect(database.superuser_url)
    try:
        async with connection.transaction():
            await connection.execute("select from audit.head for update")
            for path, body in (
                (REVEAL, {"letter_id": str(letter.letter_id), "note": "a look"}),
                (REPLAY, {"letter_ids": [str(letter.letter_id)]}),
            ):
                answer = await office.client.post(path, json=body, headers=office.header())
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) > 0
                assert "DLT" not in answer.text
    finally:
        await connection.close()
    assert await office.put_back() == []


async def test_a_future_read_lands_right_once_the_clock_rule_is(office: Office) -> None:
    true = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    wrong = {"claimed_at": true + timedelta(hours=7), "captured_at": true + timedelta(hours=7)}
    one = office.read(1, **wrong, received_at=true + timedelta(seconds=2))
    (letter,) = await office.set_aside(one, reason="clock_future", stage="gateway")
    ids: dict[str, Any] = {"letter_ids": [str(letter.letter_id)]}
    assert (await office.ask(REPLAY, **ids))["counts"] == {"clock_future": 1}
    mended = msgspec.structs.replace(office.camera, clock_use="offset", clock_offset_s=-7 * 3600.0, revision=1)
    await stages.put_cameras(office.publisher, mended)
    dry = await office.ask(REPLAY, **ids, dry_run=True)
    assert (dry["counts"], dry["entry"]) == ({"replayed": 1}, None)
    assert await office.put_back() == []
    done = await office.ask(REPLAY, **ids)
    assert done["counts"] == {"replayed": 1}
    (back,) = await office.put_back()
    assert back == msgspec.structs.replace(one, captured_at=true)
    (listed,) = (await office.ask(QUERY, **ids))["letters"]
    assert datetime.fromisoformat(listed["replayed_as"]) == true

    # Once more, after the rule was changed once more: the same row, not a second one.
    again = msgspec.structs.replace(mended, clock_offset_s=-7 * 3600.0 + 60, revision=2)
    await stages.put_cameras(office.publisher, again)
    assert (await office.ask(REPLAY, **ids))["counts"] == {"replayed": 1}
    first, second = await office.put_back()
    assert first == second
    (row,) = await office.rows()
    assert (row["captured_at"], row["plate"], row["pass_id"]) == (true, "DLT4711", one.event_id)
    actions = [(entry["public"]["action"], entry["public"]["letters"]) for entry in await office.entries()]
    assert actions == [("replay", 1), ("replay", 1)]
    metrics = (await office.client.get("/metrics")).text
    assert 'platetrail_deadletters_judged_total{reason="clock_future",result="replayed"} 2.0' in metrics
    assert 'platetrail_deadletters_judged_total{reason="clock_future",result="clock_future"} 1.0' in metrics


async def test_what_the_enricher_did_not_know_is_put_back_once_it_is_registered(office: Office) -> None:
    new, _ = camera(owner=office.agency)
    unknown = office._replace(camera=new)
    reads = unknown.reads(20)
    await stages.put_detections(office.publisher, reads)
    assert await unknown.rows() == []
    which: dict[str, Any] = {"reason": "unknown_camera", "camera_id": new.camera_id}
    assert (await office.ask(REPLAY, **which))["counts"] == {"unknown_camera": 20}
    await stages.put_cameras(office.publisher, new)
    assert (await office.ask(REPLAY, **which, note="registered late"))["counts"] == {"replayed": 20}
    rows = await unknown.rows()
    assert sorted(row["pass_id"] for row in rows) == sorted(one.event_id for one in reads)
    assert sorted(row["captured_at"] for row in rows) == sorted(one.captured_at for one in reads)


async def test_letters_are_put_back_twice_while_the_stages_work_and_indexed_once(office: Office) -> None:
    reads = office.reads(30)
    await office.set_aside(*reads, reason="poisoned")
    settings = stages.settings(office.kafka.bootstrap, office.database)
    async with (
        KafkaRegistry(office.kafka.bootstrap, timeout_s=30) as known,
        stages.running(enricher.build(settings, known)),
        stages.running(indexer.build(settings)),
    ):
        for _ in range(2):
            done = await office.ask(REPLAY, reason="poisoned", camera_id=office.camera.camera_id)
            assert done["counts"] == {"replayed": 30}

        async def indexed() -> bool:
            return len(await stages.rows_of(office.database, office.camera.camera_id)) >= 30

        await until_async(indexed, "the reads are indexed")
        await stages.until_worked_off(office.kafka.bootstrap, "platetrail-enricher")
        await stages.until_worked_off(office.kafka.bootstrap, "platetrail-indexer")
    assert len(await office.put_back()) == 60
    rows = await stages.rows_of(office.database, office.camera.camera_id)
    assert Counter(row["pass_id"] for row in rows) == Counter(one.event_id for one in reads)


async def test_past_its_retention_a_letter_is_neither_shown_nor_put_back(office: Office) -> None:
    short = f"{office.agency}-short"
    own, _ = camera(owner=short)
    await stages.put_cameras(office.publisher, own)
    brief = office._replace(camera=own, agency=short)
    old = datetime.now(UTC) - timedelta(days=1, minutes=1)
    young, late = await brief.set_aside(
        brief.read(1), brief.read(2, captured_at=old, received_at=old), reason="poisoned"
    )
    listed = await brief.ask(QUERY, camera_id=own.camera_id)
    assert [one["letter_id"] for one in listed["letters"]] == [str(young.letter_id)]
    asked = {"letter_id": str(late.letter_id), "note": "too late"}
    answer = await brief.client.post(REVEAL, json=asked, headers=brief.header())
    assert answer.status_code == 404
    done = await brief.ask(REPLAY, reason="poisoned", camera_id=own.camera_id, force=True)
    assert done["counts"] == {"replayed": 1, "past_retention": 1}
    assert [one.event_id for one in await brief.put_back()] == [brief.read(1).event_id]
    assert 'result="past_retention"} 1.0' in (await brief.client.get("/metrics")).text


async def test_a_service_killed_in_the_middle_of_a_replay_is_asked_again(
    office: Office, kafka: Kafka, database: Database, tmp_path: Path
) -> None:
    reads = [office.read(number, plate_raw=f"KIL {number:04}") for number in range(400)]
    await office.set_aside(*reads, reason="poisoned")
    body: dict[str, Any] = {"reason": "poisoned", "camera_id": office.camera.camera_id, "limit": 500}
    child, url = await asyncio.to_thread(_started, settings_of(kafka, database, office.keys), tmp_path)
    try:
        asking = threading.Thread(target=_ask, args=(url, body, office.header()))
        asking.start()

        async def under_way() -> bool:  # the markers are there; the detections are not, or only some are
            written = [wire.decode(value, DeadLetter) for _, value in await office.letters.records()]
            return any(one.replayed_as is not None for one in written) or not asking.is_alive()

        await until_async(under_way, "the replay is under way")
        child.kill()
        await asyncio.to_thread(asking.join)
    finally:
        await asyncio.to_thread(child.stop)
    done = await office.ask(REPLAY, **body)
    assert done["counts"] == {"replayed": 400}
    rows = await office.rows()
    assert Counter(row["pass_id"] for row in rows) == Counter(one.event_id for one in reads)
    logs = child.log_file.read_text()
    assert not any(word in logs for word in ("KIL", office.camera.camera_id, "operator-jo"))
    replays = [entry for entry in await office.entries() if entry["public"]["action"] == "replay"]
    assert [entry["public"]["letters"] for entry in replays] == [400, 400], "what was begun is on the record, too"


def _started(settings: dict[str, Any], folder: Path) -> tuple[Child, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {f"PLATETRAIL_{name.upper()}": str(value) for name, value in {**settings, "listen_port": port}.items()}
    argv = [sys.executable, "-m", "services.deadletters"]
    child = Child("deadletters", argv, log_file=folder / "deadletters.log", env=env, cwd=ROOT)
    child.wait_ready(_is_ready(url), 60)
    return child, url


def _is_ready(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    return ask


def _ask(url: str, body: dict[str, Any], header: dict[str, str]) -> None:
    """Ask for a replay, whose answer may never come."""
    with suppress(httpx.TransportError):
        httpx.post(f"{url}{REPLAY}", json=body, headers=header, timeout=60, trust_env=False)
