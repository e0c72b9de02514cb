"""Operators keep their cameras while gateway and enricher run: what each change does to the reads that follow it."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from ingest.adapters.registry import KafkaRegistry
from schemas import topics, wire
from schemas.detections import Detection, Position
from schemas.owners import OwnerRules
from schemas.sightings import Sighting
from services import auditing, enricher, gateway, relay
from services.demo.kafka import Kafka
from services.settings import Settings
from tests.support import stages
from tests.support.cameras import new_id
from tests.support.database import Database
from tests.support.http import serving
from tests.support.searching import Keys, in_process
from tests.support.topics import Tail, make_topics, tail
from tests.support.wait import until_async

PLATE = "RGS4410"
COLUMNS = ("camera_id", "name", "latitude", "longitude", "timezone", "clock_use", "clock_offset_s", "format", "lanes")
AXIS = "/v1/webhooks/axis"


class Field(NamedTuple):
    """Every service that a change of the registry concerns, and the topics behind them."""

    registry: httpx.AsyncClient
    gateway: httpx.AsyncClient
    auditors: httpx.AsyncClient
    keys: Keys
    detections: Tail
    sightings: Tail

    def header(self, agency: str = "north") -> dict[str, str]:
        return self.keys.bearer("operator-jo", agency, "camera_operator")

    async def call(self, method: str, path: str, agency: str = "north", **body: Any) -> httpx.Response:
        return await self.registry.request(method, path, headers=self.header(agency), **body)

    async def add(self, **changes: Any) -> tuple[str, str]:
        """Register a camera; return its id and key."""
        place = {"name": "Bridge", "latitude": 39.5, "longitude": -105.0, "timezone": "America/Denver"}
        answer = await self.call("POST", "/v1/cameras", json={"camera_id": new_id(), **place, **changes})
        assert answer.status_code == 201, answer.text
        return answer.json()["camera"]["camera_id"], answer.json()["key"]

    async def imported(self, content: bytes, query: str = "", agency: str = "north") -> httpx.Response:
        header = self.header(agency) | {"Content-Type": "text/csv"}
        return await self.registry.post(f"/v1/cameras/import{query}", content=content, headers=header)

    async def push(self, key: str, **changes: Any) -> httpx.Response:
        read = {"captured_at": (datetime.now(UTC) - timedelta(seconds=30)).isoformat(), "plate": PLATE, **changes}
        return await self.gateway.post("/v1/detections", json=read, headers={"Authorization": f"Bearer {key}"})

    async def pushed(self, key: str, **changes: Any) -> Detection:
        """Push a read that is taken; return its detection."""
        answer = await self.push(key, **changes)
        assert answer.status_code == 202, answer.text
        (item,) = answer.json()["items"]
        stored = [wire.decode(value, Detection) for _, value in await self.detections.records()]
        (found,) = [one for one in stored if str(one.event_id) == item["event_id"]]
        return found

    async def sighting(self, of: Detection) -> Sighting:
        """Return what the enricher made of a detection, once it is there."""
        found: list[Sighting] = []

        async def there() -> bool:
            made = [wire.decode(value, Sighting) for _, value in await self.sightings.records()]
            found.extend(one for one in made if one.pass_id == of.event_id)
            return bool(found)

        await until_async(there, "the read is enriched")
        return found[0]

    async def answers(self, key: str, status: int) -> None:
        """Wait until the gateway answers a read with a status."""

        async def so() -> bool:
            return (await self.push(key)).status_code == status

        await until_async(so, f"the gateway answers {status}")

    async def refused(self, reason: str) -> float:
        lines = (await self.gateway.get("/metrics")).text.splitlines()
        start = f'platetrail_gateway_refused_total{{reason="{reason}"}}'
        return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

    async def entries(self, after: int) -> list[Any]:
        """Return the entries of changes past an index, as an auditor sees them."""
        found: list[Any] = []
        wanted: dict[str, Any] | None = {"after": after, "limit": 500, "kind": "camera"}
        while wanted is not None:
            header = self.keys.bearer("ruth", "state-auditor", "auditor")
            page = (await self.auditors.get("/v1/audit/entries", params=wanted, headers=header)).json()
            found += page["entries"]
            wanted = None if page["next"] is None else {**wanted, "after": page["next"]}
        return found


@pytest_asyncio.fixture
async def field(kafka: Kafka, database: Database, tmp_path: Path) -> AsyncIterator[Field]:
    await make_topics(kafka.bootstrap)
    await stages.from_now_on(kafka.bootstrap)
    keys = Keys(tmp_path, OwnerRules())
    stop = asyncio.Event()
    stream = Settings(kafka_bootstrap=kafka.bootstrap)
    log = Settings(
        database_url=database.url("platetrail_auditing"),
        audit_private_key_file=tmp_path / "audit.key",
        lookup_key_file=tmp_path / "lookup.key",
        token_public_key_file=tmp_path / "token.pub",
        token_issuer=keys.settings(database)["token_issuer"],
    )
    async with AsyncExitStack() as stack:
        known = await stack.enter_async_context(KafkaRegistry(kafka.bootstrap, timeout_s=30))
        await stack.enter_async_context(
            stages.running(enricher.build(stages.settings(kafka.bootstrap, session_timeout_s=10.0), known))
        )
        outbox = Settings(kafka_bootstrap=kafka.bootstrap, database_url=database.url("platetrail_relay"))
        relaying = asyncio.create_task(relay.work(outbox, stop))
        stack.push_async_callback(_stopped, relaying, stop)
        app = auditing.build(log)
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield Field(
            await stack.enter_async_context(in_process(keys.settings(database))),
            await stack.enter_async_context(serving(gateway.build(stream))),
            await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a")),
            keys,
            await stack.enter_async_context(tail(kafka.bootstrap, topics.DETECTIONS)),
            await stack.enter_async_context(tail(kafka.bootstrap, topics.SIGHTINGS)),
        )
        assert not relaying.done(), "the relay has ended"


async def _stopped(relaying: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    stop.set()
    await relaying


def table(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_fifty_cameras_are_imported_once_the_table_is_right(field: Field) -> None:
    rows: list[dict[str, Any]] = [
        {
            "camera_id": new_id(),
            "name": f"=Gantry {number}, lane",
            "latitude": 39 + number / 64,
            "longitude": -105.125,
            "timezone": "America/Denver",
            "clock_use": "offset" if number % 2 else "",
            "clock_offset_s": -3600.5 if number % 2 else "",
            "lanes": 1 + number % 4,
        }
        for number in range(50)
    ]
    rows[6] |= {"latitude": "39,5", "lanes": 0}
    rows[30] |= {"camera_id": rows[29]["camera_id"]}
    rows[49] |= {"timezone": "Denver"}
    refused = await field.imported(table(rows))
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    found = [(flaw["row"], flaw["column"]) for flaw in refused.json()["errors"]]
    assert found == [(8, "latitude"), (8, "lanes"), (32, "camera_id"), (51, "timezone")]
    assert lines((await field.call("GET", "/v1/cameras.csv")).text) == []

    rows[6] |= {"latitude": 39.5, "lanes": 2}
    rows[30] |= {"camera_id": new_id()}
    rows[49] |= {"timezone": "America/Denver"}
    checked = await field.imported(table(rows), "?check_only=true")
    assert (checked.status_code, lines(checked.text)) == (200, [])
    made = await field.imported(table(rows))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    given = {one["camera_id"]: one for one in lines(made.text)}
    assert list(given) == [one["camera_id"] for one in rows]
    await field.answers(given[rows[49]["camera_id"]]["key"], 202)
    for one in (rows[0], rows[1], rows[30]):
        read = await field.pushed(given[one["camera_id"]]["key"], captured_at=_now())
        assert read.camera_id == one["camera_id"]
        assert read.captured_at - read.claimed_at == timedelta(seconds=-3600.5 if one["clock_use"] else 0)

    again = await field.imported(table(rows[:2]))
    assert again.status_code == 409
    assert [(flaw["row"], flaw["column"]) for flaw in again.json()["errors"]] == [(2, "camera_id"), (3, "camera_id")]

    first = int(given[rows[0]["camera_id"]]["entry"])
    entries = await field.entries(first - 1)
    assert [one["disclosures"]["camera"]["camera_id"] for one in entries] == list(given)
    assert {one["public"]["action"] for one in entries} == {"add"}
    assert {one["disclosures"]["person"] for one in entries} == {"operator-jo"}
    assert not any(one["key"] in json.dumps(entries) for one in given.values())

    exported = lines((await field.call("GET", "/v1/cameras.csv")).text)
    assert {one["camera_id"]: one["name"] for one in exported} == {one["camera_id"]: "'" + one["name"] for one in rows}
    moved = [one | {"camera_id": "copy-" + one["camera_id"]} for one in exported]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(moved[0]))
    writer.writeheader()
    writer.writerows(moved)
    copied = await field.imported(text.getvalue().encode(), agency="south")
    assert copied.status_code == 201, copied.text
    told = ("camera_id", "owner", "key_prefix", "registered_at")
    kept = [{name: cell for name, cell in one.items() if name not in told} for one in exported]
    copies = lines((await field.call("GET", "/v1/cameras.csv", "south")).text)
    assert [{name: cell for name, cell in one.items() if name not in told} for one in copies] == kept


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def test_a_camera_that_moves_moves_for_running_processes(field: Field) -> None:
    camera_id, key = await field.add(heading_deg=90)
    before = await field.sighting(await field.pushed(key))
    assert before.position == Position(latitude=39.5, longitude=-105.0)
    patch = {"latitude": 40.25, "timezone": "America/Chicago", "clock_use": "offset", "clock_offset_s": 60}
    changed = await field.call("PATCH", f"/v1/cameras/{camera_id}", json=patch)
    assert changed.status_code == 200, changed.text
    assert changed.json()["camera"]["revision"] == 1
    reads: list[Detection] = []

    async def corrected() -> bool:
        reads.append(await field.pushed(key, captured_at=_now()))
        return reads[-1].captured_at == reads[-1].claimed_at + timedelta(seconds=60)

    await until_async(corrected, "the gateway knows of the change")
    after = await field.sighting(reads[-1])
    assert after.timezone == "America/Chicago"
    assert after.position == Position(latitude=40.25, longitude=-105.0)


async def test_a_new_key_ends_the_old_one_while_reads_come_in(field: Field) -> None:
    camera_id, old = await field.add()
    await field.answers(old, 202)
    rotated = await field.call("POST", f"/v1/cameras/{camera_id}/keys")
    assert rotated.status_code == 201, rotated.text
    new = rotated.json()["key"]
    assert (await field.push(new)).status_code == 202  # the gateway waits for a key that it does not know yet
    before = await field.refused("unknown")
    assert (await field.push(old)).status_code == 401
    assert await field.refused("unknown") == before + 1
    assert camera_id not in (await field.gateway.get("/metrics")).text


async def test_another_proof_ends_the_one_before(field: Field) -> None:
    camera_id, key = await field.add(format="axis")
    read = {"plate": PLATE}
    rotated = await field.call("POST", f"/v1/cameras/{camera_id}/keys", json={"proof": "digest"})
    assert rotated.status_code == 201, rotated.text
    password = rotated.json()["key"]

    async def proved() -> bool:
        answer = await field.gateway.post(AXIS, json=read, auth=httpx.DigestAuth(camera_id, password))
        return answer.status_code != 401

    await until_async(proved, "the new password is known")
    for header in (key, password):
        answer = await field.gateway.post(AXIS, json=read, headers={"X-Api-Key": header})
        assert answer.status_code == 401


async def test_a_retired_camera_and_one_out_of_its_period_are_refused(field: Field) -> None:
    retired, first = await field.add()
    over, second = await field.add(active_from="2026-01-01T00:00:00Z")
    for key in (first, second):
        await field.answers(key, 202)
    assert (await field.call("POST", f"/v1/cameras/{retired}/retire")).status_code == 200
    past = {"active_until": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    assert (await field.call("PATCH", f"/v1/cameras/{over}", json=past)).status_code == 200
    for key, reason in ((first, "retired"), (second, "not_active")):
        await field.answers(key, 403)
        before = await field.refused(reason)
        assert (await field.push(key)).status_code == 403
        assert await field.refused(reason) == before + 1
    # Its time can be given back; a retired camera's can't.
    assert (await field.call("PATCH", f"/v1/cameras/{over}", json={"active_until": None})).status_code == 200
    await field.answers(second, 202)
    assert (await field.call("PATCH", f"/v1/cameras/{retired}", json={"name": "x"})).status_code == 409
    assert (await field.call("POST", f"/v1/cameras/{retired}/keys")).status_code == 409


async def test_a_camera_bound_to_a_format_is_held_to_it(field: Field) -> None:
    camera_id, key = await field.add(format="axis")
    await field.answers(key, 422)
    answer = await field.push(key)
    assert answer.json()["errors"] == [{"index": 0, "pointer": "", "detail": "other_format"}]
    counted = (await field.gateway.get("/metrics")).text
    assert 'format="native",reason="other_format",status="rejected"' in counted
    assert (await field.call("PATCH", f"/v1/cameras/{camera_id}", json={"format": None})).status_code == 200
    await field.answers(key, 202)


async def test_every_change_is_an_entry_and_no_key_is_in_one_or_in_a_log(
    field: Field, database: Database, kafka: Kafka, capfd: pytest.CaptureFixture[str]
) -> None:
    added = await field.call(
        "POST",
        "/v1/cameras",
        json={"camera_id": new_id(), "name": "A", "latitude": 1, "longitude": 2, "timezone": "UTC", "format": "axis"},
    )
    camera_id, start = added.json()["camera"]["camera_id"], added.json()["receipt"]["index"]
    one = f"/v1/cameras/{camera_id}"
    answers = [
        await field.call("PATCH", one, json={"name": "B", "lanes": 2}),
        await field.call("PATCH", one, json={"name": "B"}),  # changes nothing
        await field.call("POST", f"{one}/keys", json={"proof": "digest"}),
        await field.call("POST", f"{one}/keys", json={"proof": "url"}),
        await field.call("POST", f"{one}/retire"),
    ]
    secrets = [answer.json()["key"] for answer in (added, *answers) if "key" in answer.json()]
    assert len(secrets) == 3
    entries = await field.entries(start - 1)
    seen = [(one["public"]["action"], one["disclosures"]["camera"]) for one in entries]
    assert [action for action, _ in seen] == ["add", "change", "rotate_key", "rotate_key", "retire"]
    assert [after["revision"] for _, after in seen] == [0, 1, 2, 3, 4]
    assert [after["proof"] for _, after in seen] == ["key", "key", "digest", "url", "url"]
    assert [after["digest_ha1"] for _, after in seen] == [None, None, "withheld", None, None]
    assert [after["name"] for _, after in seen] == ["A", "B", "B", "B", "B"]
    assert seen[-1][1]["active"] is False
    assert {one["public"]["agency"] for one in entries} == {"north"}
    assert camera_id not in json.dumps([one["public"] for one in entries])
    logs = "".join(capfd.readouterr()).encode()
    logs += database.postgres.log_file.read_bytes() + kafka.log_file.read_bytes()
    for secret in secrets:
        private = secret.split("_", 2)[2]  # may hold "_" itself
        assert private not in json.dumps(entries)
        assert private.encode() not in logs
