"""Operators change the registry over HTTP, on PostgreSQL: each change and its entry stand or fall together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import FastAPI

from schemas import keys, topics, wire
from schemas.cameras import Camera
from search.act import Act
from search.adapters.registry import PostgresCameras
from search.api import cameras as routes
from search.api.common import JSON, install_errors
from search.audit.adapters.reader import PostgresReader
from search.audit.lookups import Lookups
from search.audit.ports import Selection
from search.audit.secrets import Opener, Sealer
from tests.support.database import Database
from tests.support.tokens import Issuer
from tests.support.wait import until_async

AUDITORS_KEY = X25519PrivateKey.generate()
LOOKUPS = Lookups(b"l" * 32)
ISSUER = Issuer()
OPERATOR = ISSUER.header("camera_operator", person="operator-jo")

EVERYTHING = """
select (select count(*) from registry.camera) as cameras, (select count(*) from registry.outbox) as outbox,
       (select count(*) from audit.leaf) as leaves, (select size from audit.head) as size
"""


def body(camera_id: str, **changes: Any) -> dict[str, Any]:
    """Return a good body."""
    base = {"name": "Bridge", "latitude": 38.5, "longitude": -90.25, "timezone": "America/Chicago"}
    return {"camera_id": camera_id, **base, **changes}


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the routes, on the registry in PostgreSQL."""
    registry = PostgresCameras(database.url("platetrail_search"), Sealer(AUDITORS_KEY.public_key()))
    app = FastAPI()
    install_errors(app)
    app.router.routes.extend(routes.routes(Act(registry, LOOKUPS), ISSUER.verifier()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://search") as caller:
        yield caller
    await registry.stop()


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[Any]:
    """A connection that sees everything."""
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


async def test_a_camera_its_outbox_row_and_its_entry_are_one_transaction(
    client: httpx.AsyncClient, superuser: Any
) -> None:
    answer = await client.post("/v1/cameras", json=body("bridge-1"), headers=OPERATOR)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    row = await superuser.fetchrow("select *, xmin::text as tx from registry.camera where camera_id = 'bridge-1'")
    assert (row["owner"], row["active"], row["revision"]) == ("north", True, 0)
    assert keys.matches(made["key"], row["key_sha256"])
    assert keys.prefix_of(made["key"]) == row["key_prefix"] == made["camera"]["key_prefix"]
    (sent,) = await superuser.fetch("select *, xmin::text as tx from registry.outbox where key = 'bridge-1'")
    assert sent["topic"] == topics.CAMERAS
    published = wire.decode(sent["value"], Camera)
    assert msgspec.structs.asdict(published).items() <= dict(row).items()
    leaf = await superuser.fetchrow(
        "select *, xmin::text as by from audit.leaf where idx = $1", made["receipt"]["index"]
    )
    assert leaf["kind"] == "camera"
    assert row["tx"] == sent["tx"] == leaf["by"]


async def test_the_entry_tells_the_auditor_who_and_what(client: httpx.AsyncClient, database: Database) -> None:
    made = (await client.post("/v1/cameras", json=body("bridge-2"), headers=OPERATOR)).json()
    reader = PostgresReader(database.url("platetrail_auditing"))
    chosen = Selection(
        limit=100, after=made["receipt"]["index"] - 1, lookups=(LOOKUPS.lookup("person", "operator-jo"),)
    )
    (record,) = await reader.entries(chosen)
    await reader.close()
    assert b"operator-jo" not in record.leaf
    assert record.data_key is not None
    assert record.wrapped is not None
    assert record.sealed is not None
    told = Opener(AUDITORS_KEY).open(record.data_key, record.wrapped, record.sealed, record.leaf)
    values = {item.field: item.value for item in told}
    assert values["person"] == "operator-jo"
    assert (values["camera"]["camera_id"], values["camera"]["latitude"]) == ("bridge-2", "38.5")


async def test_of_two_at_once_with_one_id_one_is_told_it_is_taken(client: httpx.AsyncClient, superuser: Any) -> None:
    south = ISSUER.header("camera_operator", agency="south")
    before = await superuser.fetchrow(EVERYTHING)
    answers = await asyncio.gather(
        client.post("/v1/cameras", json=body("race"), headers=OPERATOR),
        client.post("/v1/cameras", json=body("race"), headers=south),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    lost = max(answers, key=lambda answer: answer.status_code)
    assert lost.headers["content-type"] == "application/problem+json"
    # Not even whose it is.
    assert not any(word in lost.text for word in ("north", "south", "race", "Bridge"))
    after = await superuser.fetchrow(EVERYTHING)
    assert [after[name] - before[name] for name in after.keys()] == [1, 1, 1, 1]  # noqa: SIM118 - a record's keys


async def test_roles_and_agencies(client: httpx.AsyncClient, superuser: Any) -> None:
    before = await superuser.fetchrow(EVERYTHING)
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer " + keys.new().key}, 401),
        (ISSUER.header("investigator", "auditor"), 403),
        (ISSUER.header(), 403),
    ):
        assert (await client.post("/v1/cameras", json=body("denied"), headers=headers)).status_code == status
        assert (await client.get("/v1/cameras", headers=headers)).status_code == status
        assert (await client.post("/v1/cameras/denied/retire", headers=headers)).status_code == status
    foreign = await client.post("/v1/cameras", json=body("denied", owner="south"), headers=OPERATOR)
    assert foreign.status_code == 403
    flawed = await client.post("/v1/cameras", json=body("denied", latitude=91), headers=OPERATOR)
    assert (flawed.status_code, flawed.json()["errors"][0]["pointer"]) == (422, "/latitude")
    assert await superuser.fetchrow(EVERYTHING) == before


async def test_an_agency_lists_its_own_cameras(client: httpx.AsyncClient) -> None:
    east = ISSUER.header("camera_operator", agency="east")
    for name in ("east-2", "east-1"):
        assert (await client.post("/v1/cameras", json=body(name, owner="east"), headers=east)).status_code == 201
    listed = (await client.get("/v1/cameras", headers=east)).json()["cameras"]
    assert [item["camera_id"] for item in listed] == ["east-1", "east-2"]
    assert all("key_sha256" not in item and "key" not in item for item in listed)


async def test_retiring_is_recorded_once_and_only_by_its_agency(client: httpx.AsyncClient, superuser: Any) -> None:
    await client.post("/v1/cameras", json=body("old"), headers=OPERATOR)
    south = ISSUER.header("camera_operator", agency="south")
    for name, headers in (("old", south), ("unknown", OPERATOR), ("OLD", OPERATOR), ("%00", OPERATOR)):
        assert (await client.post(f"/v1/cameras/{name}/retire", headers=headers)).status_code == 404
    before = await superuser.fetchrow(EVERYTHING)
    first = await client.post("/v1/cameras/old/retire", headers=OPERATOR)
    again = await client.post("/v1/cameras/old/retire", headers=OPERATOR)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["camera"] == again.json()["camera"]
    assert (first.json()["camera"]["active"], first.json()["camera"]["revision"]) == (False, 1)
    assert again.json()["receipt"] is None
    after = await superuser.fetchrow(EVERYTHING)
    assert [after[name] - before[name] for name in after.keys()] == [0, 1, 1, 1]  # noqa: SIM118 - a record's keys
    newest = await superuser.fetchval("select value from registry.outbox order by id desc limit 1")
    assert wire.decode(newest, Camera).active is False


async def test_a_locked_log_means_503_and_no_camera(client: httpx.AsyncClient, superuser: Any) -> None:
    before = await superuser.fetchrow(EVERYTHING)
    async with superuser.transaction():
        await superuser.execute("select from audit.head for update")
        refused = await client.post("/v1/cameras", json=body("locked"), headers=OPERATOR)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert await superuser.fetchrow(EVERYTHING) == before
    assert (await client.post("/v1/cameras", json=body("locked"), headers=OPERATOR)).status_code == 201


async def test_a_commit_that_fails_leaves_neither_camera_nor_entry(client: httpx.AsyncClient, superuser: Any) -> None:
    before = await superuser.fetchrow(EVERYTHING)
    await superuser.execute(
        """
        create function public.fail() returns trigger language plpgsql as
            $$ begin raise exception 'at commit' using errcode = 'PT503'; end $$;
        create constraint trigger fail after insert on audit.leaf deferrable initially deferred
            for each row execute function public.fail();
        """
    )
    try:
        refused = await client.post("/v1/cameras", json=body("uncommitted"), headers=OPERATOR)
    finally:
        await superuser.execute("drop trigger fail on audit.leaf; drop function public.fail()")
    assert refused.status_code == 503
    assert await superuser.fetchrow(EVERYTHING) == before
    assert (await client.post("/v1/cameras", json=body("uncommitted"), headers=OPERATOR)).status_code == 201


async def test_a_change_under_way_elsewhere_is_not_overwritten(client: httpx.AsyncClient, superuser: Any) -> None:
    await client.post("/v1/cameras", json=body("twice"), headers=OPERATOR)
    answers = await asyncio.gather(
        *(client.post("/v1/cameras/twice/retire", headers=OPERATOR) for _ in range(2)),
    )
    receipts = [answer.json().get("receipt") for answer in answers]
    assert len([receipt for receipt in receipts if receipt]) == 1
    assert await superuser.fetchval("select revision from registry.camera where camera_id = 'twice'") == 1


async def locked_out(superuser: Any) -> int:
    """Return how many wait for a lock."""
    return int(await superuser.fetchval("select count(*) from pg_locks where not granted"))


async def test_of_two_operators_at_once_one_is_told_to_look_again(client: httpx.AsyncClient, superuser: Any) -> None:
    await client.post("/v1/cameras", json=body("two-at-once"), headers=OPERATOR)
    before = await superuser.fetchrow(EVERYTHING)
    async with superuser.transaction():
        await superuser.execute("select from registry.camera where camera_id = 'two-at-once' for update")
        changes = [
            asyncio.create_task(client.patch("/v1/cameras/two-at-once", json=change, headers=OPERATOR))
            for change in ({"lanes": 2}, {"lanes": 3})
        ]

        async def both_wait() -> bool:
            return await locked_out(superuser) == 2

        await until_async(both_wait, "both have seen the camera and want to change it")
    won, lost = sorted(await asyncio.gather(*changes), key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (200, 409)
    assert int(lost.headers["retry-after"]) > 0
    shown = (await client.get("/v1/cameras/two-at-once", headers=OPERATOR)).json()
    assert (shown["revision"], shown["lanes"]) == (1, won.json()["camera"]["lanes"])
    after = await superuser.fetchrow(EVERYTHING)
    assert [after[name] - before[name] for name in after.keys()] == [0, 1, 1, 1]  # noqa: SIM118 - a record's keys


async def test_of_two_imports_of_the_same_cameras_one_is_told(client: httpx.AsyncClient, superuser: Any) -> None:
    south = ISSUER.header("camera_operator", agency="south")
    names = [f"both-{number:02}" for number in range(40)]
    before = await superuser.fetchrow(EVERYTHING)
    answers = await asyncio.gather(
        client.post(IMPORT, content=table(*names), headers=OPERATOR | CSV),
        client.post(IMPORT, content=table(*reversed(names)), headers=south | CSV),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    after = await superuser.fetchrow(EVERYTHING)
    assert [after[name] - before[name] for name in after.keys()] == [40, 40, 40, 40]  # noqa: SIM118 - a record's keys
    owners = await superuser.fetch("select distinct owner from registry.camera where camera_id like 'both-%'")
    assert len(owners) == 1


IMPORT = "/v1/cameras/import"
CSV = {"Content-Type": "text/csv"}
HEADER = "camera_id,name,latitude,longitude,timezone"


def table(*names: str) -> bytes:
    """Return a table of good cameras."""
    return "\r\n".join([HEADER, *(f"{name},Bridge,38.5,-90.25,America/Chicago" for name in names), ""]).encode()


async def test_a_whole_request_of_cameras_is_one_transaction(client: httpx.AsyncClient, superuser: Any) -> None:
    names = [f"thousand-{number:04}" for number in range(1000)]
    before = await superuser.fetchrow(EVERYTHING)
    answer = await client.post(IMPORT, content=table(*names), headers=OPERATOR | CSV)
    assert answer.status_code == 201, answer.text
    assert len(answer.text.splitlines()) == 1001
    after = await superuser.fetchrow(EVERYTHING)
    assert [after[name] - before[name] for name in after.keys()] == [1000] * 4  # noqa: SIM118 - a record's keys
    told = await superuser.fetch("select key from registry.outbox where key like 'thousand-%' order by id")
    assert [row["key"].decode() for row in told] == names
    transactions = "select count(distinct xmin::text) from registry.camera where camera_id like 'thousand-%'"
    assert await superuser.fetchval(transactions) == 1


async def test_an_import_that_can_not_be_recorded_registers_nothing(client: httpx.AsyncClient, superuser: Any) -> None:
    before = await superuser.fetchrow(EVERYTHING)
    async with superuser.transaction():
        await superuser.execute("select from audit.head for update")
        refused = await client.post(IMPORT, content=table("unrecorded-1", "unrecorded-2"), headers=OPERATOR | CSV)
    assert refused.status_code == 503
    assert await superuser.fetchrow(EVERYTHING) == before


async def test_a_table_with_a_certificate_of_another_camera_is_refused_by_row(client: httpx.AsyncClient) -> None:
    shown = {"proof": "certificate", "certificate_sha256": "5c" * 32}
    await client.post("/v1/cameras", json=body("with-certificate", **shown), headers=OPERATOR)
    rows = (
        f"{HEADER},proof,certificate_sha256\nfree-1,b,1,1,UTC,certificate,{'5c' * 32}\nwith-certificate,b,1,1,UTC,,\n"
    )
    for query in ("", "?check_only=true"):
        answer = await client.post(IMPORT + query, content=rows.encode(), headers=OPERATOR | CSV)
        assert answer.status_code == 409
        found = [(flaw["row"], flaw["column"]) for flaw in answer.json()["errors"]]
        assert found == [(2, "certificate_sha256"), (3, "camera_id")]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"\x00" * 10, 422),
        (HEADER.encode(), 422),
        (HEADER.encode() + b'\n"open', 422),
        (HEADER.encode("utf-16"), 422),
        (table("caf\u00e9"), 422),
        (HEADER.encode() + b"\nodd,\xff,1,1,UTC\n", 422),
        (HEADER.encode() + b"\nodd,a\x00b,1,1,UTC\n", 422),
        (HEADER.encode() + b"\n" + b"x," * 1_000 + b"\n", 422),
        (table("odd") + b"," * 10 * 2**20, 413),
        (b"a" * 10 * 2**20, 413),
    ],
    ids=range(11),
)
async def test_what_is_no_table_registers_nothing_and_is_not_quoted(
    client: httpx.AsyncClient, superuser: Any, content: bytes, status: int
) -> None:
    before = await superuser.fetchrow(EVERYTHING)
    answer = await client.post(IMPORT, content=content, headers=OPERATOR | CSV)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "odd" not in answer.text
    assert await superuser.fetchrow(EVERYTHING) == before


async def test_a_table_is_csv_and_a_patch_is_json(client: httpx.AsyncClient) -> None:
    await client.post("/v1/cameras", json=body("typed"), headers=OPERATOR)
    for kind in ("application/json", "text/plain", ""):
        header = OPERATOR | {"Content-Type": kind}
        assert (await client.post(IMPORT, content=table("typed-2"), headers=header)).status_code == 415
    for kind, status in (("application/merge-patch+json", 200), ("application/json", 200), ("text/csv", 415)):
        header = OPERATOR | {"Content-Type": kind}
        assert (await client.patch("/v1/cameras/typed", content=b"{}", headers=header)).status_code == status
    flag = await client.post(f"{IMPORT}?check_only=yes", content=table("typed-2"), headers=OPERATOR | CSV)
    assert flag.status_code == 422
    assert (await client.get("/v1/cameras/typed-2", headers=OPERATOR)).status_code == 404


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        (b"null", ""),
        (b"[]", ""),
        (b'[{"op":"replace","path":"/lanes","value":2}]', ""),
        (b'{"lanes":2,"lanes":3}', ""),
        (b'{"lanes":NaN}', ""),
        (b'{"lanes":1' + b"0" * 400 + b"}", "/lanes"),
        (b'{"latitude":1e999}', ""),
        (b'{"latitude":1' + b"0" * 300 + b"}", "/latitude"),
        (b'{"lanes":{"deep":null}}', "/lanes"),
        (b'{"name":"a\\u0000b"}', "/name"),
        (b'{"name":null}', "/name"),
        (b'{"active_until":"9999-12-31T23:59:59-12:00"}', "/active_until"),
        (b'{"active_from":"2026-02-30T00:00:00Z"}', "/active_from"),
        (b'{"camera_id":"another"}', ""),
        (b'{"owner":"south"}', ""),
        (b'{"key_sha256":"' + b"0" * 64 + b'"}', ""),
        (b'{"digest_ha1":null}', ""),
        (b'{"active":true}', ""),
        (b'{"revision":7}', ""),
        (b'{"clock_offset_s":60}', "/clock_offset_s"),
        (b"[" * 60_000, ""),
    ],
    ids=range(21),
)
async def test_an_odd_patch_changes_nothing(
    client: httpx.AsyncClient, superuser: Any, patch: bytes, pointer: str
) -> None:
    await client.post("/v1/cameras", json=body("patched"), headers=OPERATOR)
    before = await superuser.fetchrow(EVERYTHING)
    answer = await client.patch("/v1/cameras/patched", content=patch, headers=OPERATOR | {"Content-Type": JSON})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert pointer in [flaw["pointer"] for flaw in answer.json()["errors"]]
    assert await superuser.fetchrow(EVERYTHING) == before


async def test_a_camera_is_its_own_agencys_and_needs_the_role(client: httpx.AsyncClient, superuser: Any) -> None:
    await client.post("/v1/cameras", json=body("kept"), headers=OPERATOR)
    before = await superuser.fetchrow(EVERYTHING)
    south = ISSUER.header("camera_operator", agency="south")
    for headers, status in ((south, 404), (ISSUER.header("investigator", "auditor"), 403), ({}, 401)):
        for method, path, content in (
            ("GET", "/v1/cameras/kept", None),
            ("PATCH", "/v1/cameras/kept", {"lanes": 2}),
            ("POST", "/v1/cameras/kept/keys", {}),
            ("POST", "/v1/cameras/kept/retire", {}),
        ):
            answer = await client.request(method, path, json=content, headers=headers)
            assert answer.status_code == status, (method, path)
            assert "kept" not in answer.text
    for headers, status in ((ISSUER.header("investigator", "auditor"), 403), ({}, 401)):
        assert (await client.get("/v1/cameras.csv", headers=headers)).status_code == status
        assert (await client.post(IMPORT, content=table("kept-2"), headers=headers | CSV)).status_code == status
    exported = (await client.get("/v1/cameras.csv", headers=south)).text
    assert "kept" not in exported
    assert await superuser.fetchrow(EVERYTHING) == before
