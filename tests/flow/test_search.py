"""The search service on PostgreSQL: questions over HTTP, and what they leave in the log."""

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from schemas.entries import Entry, disclose
from schemas.owners import Grant, OwnerRules
from schemas.plate import plate_key
from search.audit.adapters.postgres import PostgresConnect
from search.audit.errors import KeyFileError, Unopened
from search.audit.keys import read_private, read_public, read_secret
from search.audit.log import GreedyLog
from search.audit.merkle import leaf_hash
from search.audit.secrets import Opener, Sealer
from search.errors import Unavailable
from search.ports import Row
from tests.support.database import Database
from tests.support.reads import put, register
from tests.support.rows import row
from tests.support.searching import Keys, Recorded, in_process, open_questions, recorded
from tests.support.wait import until_async

NOW = datetime.now(UTC).replace(microsecond=123456)
BEGIN = NOW - timedelta(days=2)
RULES = OwnerRules(
    owners={
        "north": Grant(days=20),
        "south": Grant(agencies=("north",), purposes=("stolen_vehicle",)),
        "west": Grant(),
    }
)
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"), RULES)


@pytest.fixture
async def client(keys: Keys, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    await register(database, "north", "south", "west")
    async with in_process(keys.settings(database)) as running:
        running.headers.update(keys.bearer())
        yield running


@pytest.fixture
def log(keys: Keys, database: Database) -> Any:
    """A function that reads the log."""

    async def read_log() -> list[Recorded]:
        return await recorded(database, keys.folder)

    return read_log


def new_plate() -> str:
    """Return a plate of its own for each test: they share a database."""
    return "P" + uuid.uuid4().hex[:6].upper()


def read(plate: str, at_s: float, **changes: Any) -> Row:
    return row(
        plate=plate,
        **{"pass_id": uuid.uuid4(), "captured_at": BEGIN + timedelta(seconds=at_s), "region": None, **changes},
    )


def question(plate: str, **changes: Any) -> dict[str, Any]:
    return {
        "plate": plate,
        "match": "exact",
        "window": {"from": (BEGIN - timedelta(hours=1)).isoformat(), "to": NOW.isoformat()},
        "purpose": {
            "code": "stolen_vehicle",
            "case_number": "2026-004711",
            "authority": {"kind": "warrant", "reference": "SW-2026-118"},
            "note": "white van seen at the burglary in Elm Street",
        },
        **changes,
    }


async def ask(client: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    return await client.post("/v1/trajectories", json=body, headers=headers)


async def test_an_answer_field_by_field(client: httpx.AsyncClient, database: Database, log: Any) -> None:
    plate = new_plate()
    first = read(
        plate,
        0.5,
        region="US-MO",
        region_confidence=0.9,
        plate_raw=plate.lower(),
        plate_confidence=0.875,
        candidates=b'[{"plate":"X1","confidence":0.5}]',
        make="ford",
        make_confidence=0.75,
        colour="white",
        colour_confidence=0.5,
        body="van",
        said=b'{"make":"FORD MOTOR","body":"Kastenwagen"}',
        crop=b"^" * 32,
        doubts="low_confidence,clock_skew",
        skew_s=-1.5,
        clock_uncertainty_s=0.1,
    )
    second = read(plate, 3600.5, owner="south", camera_id="south-1", latitude=39.0, timezone="America/Denver")
    withheld = read(plate, 5000, owner="west", camera_id="west-1")
    await put(database, [second, first, withheld])
    response = await ask(client, question(plate.lower()))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    entries = await log()
    intent, outcome = entries[answer["intent"]], entries[answer["outcome"]]
    raw = msgspec.json.decode(response.content, type=dict[str, msgspec.Raw])

    assert answer.pop("points") == [
        {
            "pass_id": str(first.pass_id),
            "captured_at": first.captured_at.isoformat().replace("+00:00", "Z"),
            "local_time": first.captured_at.astimezone(ZoneInfo("America/Chicago")).isoformat(),
            "camera_id": "cam-1",
            "owner": "north",
            "position": {"latitude": 38.0, "longitude": -90.0},
            "plate_raw": plate.lower(),
            "plate": plate,
            "plate_confidence": 0.875,
            "candidates": [{"plate": "X1", "confidence": 0.5}],
            "region": "US-MO",
            "region_confidence": 0.9,
            "make": {"value": "ford", "confidence": 0.75, "code": "FORD", "said": "FORD MOTOR"},
            "model": None,
            "colour": {"value": "white", "confidence": 0.5, "code": "WHI", "said": None},
            "body": {"value": "van", "confidence": None, "code": "VN", "said": "Kastenwagen"},
            "match": "exact",
            "skew_s": -1.5,
            "clock_uncertainty_s": 0.1,
            "doubts": ["low_confidence", "clock_skew"],
            "reads": 1,
            "crop": {"sha256": "5e" * 32},
        },
        {
            "pass_id": str(second.pass_id),
            "captured_at": second.captured_at.isoformat().replace("+00:00", "Z"),
            "local_time": second.captured_at.astimezone(ZoneInfo("America/Denver")).isoformat(),
            "camera_id": "south-1",
            "owner": "south",
            "position": {"latitude": 39.0, "longitude": -90.0},
            "plate_raw": plate,
            "plate": plate,
            "plate_confidence": None,
            "candidates": [],
            "region": None,
            "region_confidence": None,
            "make": None,
            "model": None,
            "colour": None,
            "body": None,
            "match": "exact",
            "skew_s": 0.4,
            "clock_uncertainty_s": 2.0,
            "doubts": [],
            "reads": 1,
            "crop": None,
        },
    ]
    (leg,) = answer.pop("legs")
    assert (leg["from"], leg["to"]) == (str(first.pass_id), str(second.pass_id))
    assert leg["distance_m"] == pytest.approx(111_195, abs=10)
    assert (leg["elapsed_s"], leg["impossible"]) == (3600.0, False)
    assert leg["speed_kmh"] == pytest.approx(111.2, abs=0.1)
    receipt = answer.pop("receipt")
    assert answer == {
        "status": "UNVERIFIED LEAD",
        "splits": [],
        "limits": {"min_distance_m": 300.0, "position_tolerance_m": 100.0, "max_speed_kmh": 250.0},
        "withheld": {"owners": 1, "reasons": {"no_grant": 1}},
        "complete": False,
        "intent": intent.index,
        "outcome": outcome.index,
        "next": None,
    }
    assert receipt["index"] == intent.index
    assert msgspec.json.decode(base64.b64decode(receipt["leaf"])) == intent.body
    assert receipt["size"] == intent.index + 1
    assert len(bytes.fromhex(receipt["root"])) == 32

    assert (intent.kind, intent.body["agency"], intent.body["decisions"]) == (
        "intent",
        "north",
        {"permit": 2, "deny": 1},
    )
    assert (intent.secret["person"], intent.secret["question"]["plate"]) == ("alex", plate)
    assert (outcome.kind, outcome.ends, outcome.body["points"]) == ("outcome", intent.index, 2)
    assert outcome.secret["delivered"] == [str(first.pass_id), str(second.pass_id)]
    assert outcome.secret["result"] == hashlib.sha256(bytes(raw["points"])).hexdigest()


async def test_the_receipt_is_the_stored_leaf(client: httpx.AsyncClient, database: Database) -> None:
    receipt = (await ask(client, question(new_plate()))).json()["receipt"]
    auditor = await asyncpg.connect(database.url("platetrail_auditing"))
    stored = await auditor.fetchrow("select leaf, hash from audit.leaf where idx = $1", receipt["index"])
    await auditor.close()
    assert base64.b64decode(receipt["leaf"]) == stored["leaf"]
    assert leaf_hash(stored["leaf"]) == stored["hash"]


async def test_exact_and_lookalike(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate() + "0"
    like = plate[:-1] + "O"
    await put(database, [read(plate, 1), read(like, 600)])
    (point,) = (await ask(client, question(plate))).json()["points"]
    assert (point["plate"], point["match"]) == (plate, "exact")
    exact, other = (await ask(client, question(plate, match="lookalike"))).json()["points"]
    assert (exact["match"], exact["doubts"]) == ("exact", [])
    assert (other["plate"], other["match"], other["doubts"]) == (like, "lookalike", ["lookalike"])


async def test_a_region_filters_and_an_unknown_one_is_a_doubt(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate()
    await put(database, [read(plate, 1, region="US-MO"), read(plate, 600, region="US-IL"), read(plate, 1200)])
    points = (await ask(client, question(plate, region="US-MO"))).json()["points"]
    assert [(point["region"], point["doubts"]) for point in points] == [("US-MO", []), (None, ["region_conflict"])]


async def test_a_leg_that_nobody_drove_splits(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate()
    near, far = read(plate, 0), read(plate, 600, camera_id="cam-2", latitude=39.0)
    await put(database, [near, far])
    answer = (await ask(client, question(plate))).json()
    assert [leg["impossible"] for leg in answer["legs"]] == [True]
    (split,) = answer["splits"]
    assert (split["after"], split["before"]) == (str(near.pass_id), str(far.pass_id))


async def test_two_reads_of_one_pass_are_one_point(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate()
    await put(database, [read(plate, 0), read(plate, 29), read(plate, 31)])
    answer = (await ask(client, question(plate))).json()
    assert [point["reads"] for point in answer["points"]] == [2, 1]


async def test_what_an_owner_keeps_no_longer_is_not_shown(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate()
    old = timedelta(days=-19).total_seconds()
    await put(database, [read(plate, old), read(plate, old, owner="south"), read(plate, 0)])
    window = {"from": (NOW - timedelta(days=31)).isoformat(), "to": NOW.isoformat()}
    points = (await ask(client, question(plate, window=window))).json()["points"]
    assert [point["owner"] for point in points] == ["south", "north"]  # north keeps 20 days, and this was 21 days ago


async def test_withheld_reads_do_not_leave_the_database(
    client: httpx.AsyncClient, database: Database, keys: Keys
) -> None:
    plate = new_plate()
    await put(database, [read(plate, 0), read(plate, 60, owner="west")])
    answer = (await ask(client, question(plate))).json()
    assert [point["owner"] for point in answer["points"]] == ["north"]
    assert (answer["withheld"]["owners"], answer["complete"]) == (1, False)

    superuser = await asyncpg.connect(database.superuser_url)
    bodies = {
        one["hash"]: msgspec.json.decode(one["body"]) for one in await superuser.fetch("select * from gate.scope")
    }
    await superuser.close()
    (scope,) = [name for name, body in bodies.items() if body["owners"] == {"north": 20, "south": 30}]
    value = {
        "type": "trajectory",
        "plate": plate,
        "plate_key": plate_key(plate),
        "match": "exact",
        "region": None,
        "from": (BEGIN - timedelta(hours=1)).isoformat(),
        "to": NOW.isoformat(),
        "scope": scope.hex(),
        "limit": 1000,
        "after": None,
    }
    assert {found["owner"] for found in await through_the_gate(database, keys, value)} == {"north"}
    wider = {**bodies[scope], "owners": {"north": 20, "west": 30}}
    assert {found["owner"] for found in await through_the_gate(database, keys, value, wider)} == {"north", "west"}


async def through_the_gate(database: Database, keys: Keys, value: dict[str, Any], scope: Any = None) -> list[Any]:
    """Record a question and call the gate directly, as the search role; under another scope if one is given."""
    url = database.url("platetrail_search")
    role = await asyncpg.connect(url)
    if scope is not None:
        value = {**value, "scope": (await role.fetchval("select gate.put_scope($1)", msgspec.json.encode(scope))).hex()}
    disclosure = disclose("question", value)
    writer = GreedyLog(PostgresConnect(url), Sealer(read_public(keys.folder / "audit.pub")))
    await writer.start()
    appended = await writer.append(Entry(kind="intent", public={"agency": "north"}, disclosures=(disclosure,)))
    found: list[Any] = await role.fetch("select * from gate.trajectory($1, $2)", appended.index, disclosure.encoded())
    await writer.append(Entry(kind="failure", public={"reason": "test"}, ends=appended.index))
    await writer.stop()
    await role.close()
    return found


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_pages_together_are_the_whole(
    client: httpx.AsyncClient, database: Database, log: Any, limit: int
) -> None:
    plate = new_plate()
    times = [0, 20, 600, 601, 1200, 1800, 1820]
    await put(database, [read(plate, at, camera_id=f"cam-{at // 600}", latitude=38 + at / 1e5) for at in times])
    whole = (await ask(client, question(plate))).json()
    parts = [(await ask(client, question(plate, limit=limit))).json()]
    while parts[-1]["next"]:
        parts.append((await ask(client, question(plate, limit=limit, cursor=parts[-1]["next"]))).json())
    for member in ("points", "legs", "splits"):
        joined = [item for part in parts for item in part[member]]
        if member == "points":  # `reads` counts what one page holds
            joined, whole[member] = ([{**item, "reads": 0} for item in items] for items in (joined, whole[member]))
        assert joined == whole[member]
    assert {part["intent"] for part in parts} == {parts[0]["intent"]}
    kinds = {entry.index: entry.kind for entry in await log()}
    assert [kinds[part["receipt"]["index"]] for part in parts] == ["intent"] + ["page"] * (len(parts) - 1)


async def test_a_cursor_is_one_persons_and_one_questions(
    client: httpx.AsyncClient, database: Database, keys: Keys, log: Any
) -> None:
    plate = new_plate()
    await put(database, [read(plate, 0), read(plate, 600)])
    cursor = (await ask(client, question(plate, limit=1))).json()["next"]
    before = len(await log())
    other = await ask(client, question(plate, limit=1, cursor=cursor), **keys.bearer(person="robin"))
    changed = await ask(client, question(plate, limit=2, cursor=cursor))
    altered = await ask(client, question(plate, limit=1, cursor=cursor[:-1] + chr(ord(cursor[-1]) ^ 1)))
    assert [other.status_code, changed.status_code, altered.status_code] == [403, 422, 422]
    assert len(await log()) == before


async def test_a_repeated_request_makes_no_second_intent(
    client: httpx.AsyncClient, database: Database, log: Any
) -> None:
    plate, key = new_plate(), str(uuid.uuid4())
    await put(database, [read(plate, 0)])
    before = len(await log())
    first, second = [(await ask(client, question(plate), **{"Idempotency-Key": key})).json() for _ in range(2)]
    assert second["points"] == first["points"]
    assert second["intent"] == first["intent"]
    assert [entry.kind for entry in (await log())[before:]] == ["intent", "outcome", "page", "outcome"]
    other = await ask(client, question(plate, limit=9), **{"Idempotency-Key": key})
    assert other.status_code == 422
    assert len(await log()) == before + 4


async def test_while_the_first_is_running(client: httpx.AsyncClient, database: Database, log: Any) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = question(new_plate())
    superuser = await asyncpg.connect(database.superuser_url)
    lock = superuser.transaction()
    await lock.start()
    await superuser.execute("select from audit.head for update")
    running = asyncio.create_task(ask(client, body, **key))

    async def claimed() -> bool:
        return bool(await superuser.fetchval("select exists (select from audit.claim where not done)"))

    await until_async(claimed, "the first request has claimed its key")
    second = await ask(client, body, **key)
    await lock.rollback()
    await superuser.close()
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    first = await running
    assert first.status_code == 200
    assert (await ask(client, body, **key)).json()["intent"] == first.json()["intent"]


async def test_a_claim_whose_process_died_is_taken_over(
    client: httpx.AsyncClient, database: Database, log: Any
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = question(new_plate())
    superuser = await asyncpg.connect(database.superuser_url)
    assert (await ask(client, body, **key)).status_code == 200
    # As a process leaves it that dies after its claim: held, with no intent under it.
    await superuser.execute(
        "update audit.claim set done = false, at = clock_timestamp() where at = (select max(at) from audit.claim)"
    )
    assert (await ask(client, body, **key)).status_code == 409
    await superuser.execute("update audit.claim set at = at - interval '31 seconds' where not done")
    await superuser.close()
    before = len(await log())
    assert (await ask(client, body, **key)).json()["intent"] == before


async def test_nobody_permits(client: httpx.AsyncClient, keys: Keys, log: Any) -> None:
    before = len(await log())
    response = await ask(client, question(new_plate()), **keys.bearer(agency="elsewhere"))
    assert (response.status_code, response.headers["content-type"]) == (403, PROBLEM)
    problem = response.json()
    assert (problem["title"], problem["withheld"]) == ("Not permitted", {"owners": 3, "reasons": {"no_grant": 3}})
    intent, denial = (await log())[before:]
    assert (problem["intent"], problem["receipt"]["index"]) == (intent.index, intent.index)
    assert (denial.kind, denial.ends, denial.body["reason"]) == ("denial", intent.index, "nobody_permits")


async def test_the_read_connections_are_idle_and_outside_of_transactions(
    client: httpx.AsyncClient, database: Database
) -> None:
    """asyncpg's prepare() leaves a backend in a transaction, statement_timeout running, until the next statement."""
    superuser = await asyncpg.connect(database.superuser_url)
    sessions = await superuser.fetch(
        "select usename, state, xact_start from pg_stat_activity"
        " where datname = $1 and application_name = 'platetrail-search-read'",
        database.name,
    )
    await superuser.close()
    assert [tuple(session) for session in sessions] == [("platetrail_search", "idle", None)] * 3


async def test_a_service_that_cannot_open_all_its_connections_leaves_none_open(
    keys: Keys, fresh_database: Callable[[], Database]
) -> None:
    database = await asyncio.to_thread(fresh_database)
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        # The log has one, the index three.
        await superuser.execute(f"alter database {database.name} connection limit 3")
        with pytest.raises(Unavailable):
            async with in_process(keys.settings(database)):
                pass

        async def none() -> bool:
            asked = "select count(*) from pg_stat_activity where datname = $1 and usename = 'platetrail_search'"
            return bool(await superuser.fetchval(asked, database.name) == 0)

        await until_async(none, "none is left open")
    finally:
        await superuser.close()


async def test_nothing_that_search_holds_opens_a_secret(
    client: httpx.AsyncClient, database: Database, keys: Keys
) -> None:
    await ask(client, question(new_plate()))
    superuser = await asyncpg.connect(database.superuser_url)
    secret = await superuser.fetchrow(
        "select l.leaf, s.sealed, k.id, k.wrapped from audit.secret s"
        " join audit.leaf l using (idx) join audit.data_key k on k.id = s.data_key order by l.idx desc limit 1"
    )
    await superuser.close()

    def opens(key: X25519PrivateKey) -> bool:
        try:
            return bool(Opener(key).open(secret["id"], secret["wrapped"], secret["sealed"], secret["leaf"]))
        except Unopened:
            return False

    held = keys.settings(database)
    files = [value for value in held.values() if isinstance(value, Path)]
    assert {file.name for file in keys.folder.iterdir()} - {file.name for file in files} == {"audit.key"}
    for file in files:
        with pytest.raises(KeyFileError):
            read_private(file)
    contents = [file.read_bytes() for file in files] + [str(value).encode() for value in held.values()]
    contents += [read_secret(held[name]) for name in ("lookup_key_file", "cursor_key_file")]
    contents += [read_public(held["audit_public_key_file"]).public_bytes_raw()]
    guesses = [content if len(content) == 32 else hashlib.sha256(content).digest() for content in contents]
    assert not any(opens(X25519PrivateKey.from_private_bytes(guess)) for guess in guesses)
    assert opens(read_private(keys.folder / "audit.key"))  # the test is not blind


async def test_geojson(client: httpx.AsyncClient, database: Database) -> None:
    plate = new_plate()
    await put(database, [read(plate, 0), read(plate, 600, camera_id="cam-2", latitude=38.1)])
    response = await ask(client, question(plate), Accept="application/geo+json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/geo+json")
    answer = response.json()
    assert [feature["geometry"]["type"] for feature in answer["features"]] == ["Point", "Point", "LineString"]
    assert answer["features"][1]["geometry"]["coordinates"] == [-90.0, 38.1]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json, application/geo+json;q=0.5", "application/json"),
        ("application/geo+json;q=0.9, */*;q=0.1", "application/geo+json"),
        ("application/geo+json;q=0", "application/json"),
        ("text/html;q=x, APPLICATION/GEO+JSON", "application/geo+json"),
    ],
)
async def test_the_format_is_negotiated(client: httpx.AsyncClient, accept: str, media_type: str) -> None:
    response = await ask(client, question(new_plate()), Accept=accept)
    assert response.headers["content-type"] == media_type
    assert response.headers["vary"] == "Accept"


def broken(**changes: Any) -> dict[str, Any]:
    body = question("ABC123")
    for path, value in changes.items():
        inner, *names = body, *path.split("__")
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value
    return body


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (broken(window__from="2026-11-20T08:00:00"), "/window/from"),
        (broken(window__to=BEGIN.isoformat(), window__from=NOW.isoformat()), "/window"),
        (broken(window__from=(NOW - timedelta(days=31, seconds=1)).isoformat()), "/window"),
        (broken(purpose__code="curiosity"), "/purpose/code"),
        (broken(purpose__note="inv"), "/purpose/note"),
        (broken(purpose__case_number="test"), "/purpose/case_number"),
        (broken(plate="---"), "/plate"),
        (broken(match="roughly"), "/match"),
        (broken(limit=1001), "/limit"),
        (broken(region="Missouri"), "/region"),
        ({"plate": "ABC123"}, "/window"),
        ([], ""),
    ],
)
async def test_what_cannot_be_used_is_told_and_not_recorded(
    client: httpx.AsyncClient, log: Any, body: Any, pointer: str
) -> None:
    before = len(await log())
    response = await ask(client, body)
    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert "ABC123" not in response.text
    assert len(await log()) == before


@pytest.mark.parametrize(
    ("send", "status"),
    [
        ({"headers": {"Authorization": ""}}, 401),
        ({"headers": {"Authorization": "Bearer ptk_abcdefgh_" + "x" * 43}}, 401),
        ({"headers": {"Authorization": "Bearer a.b.c"}}, 401),
        ({"content": b"{" + b" " * 65536 + b"}"}, 413),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"headers": {"Content-Encoding": "gzip"}}, 415),
        ({"content": b"{"}, 422),
        ({"content": b'{"plate":"\xff"}'}, 422),
        ({"content": b"[" * 60000}, 422),
        ({"headers": {"Idempotency-Key": "two words"}}, 422),
        ({"headers": {"Idempotency-Key": "x" * 256}}, 422),
        ({"method": "GET"}, 405),
        ({"url": "/v1/trajectory"}, 404),
    ],
)
async def test_every_refusal_is_a_problem_document(
    client: httpx.AsyncClient, log: Any, send: dict[str, Any], status: int
) -> None:
    before = len(await log())
    headers = {"Content-Type": "application/json", **send.get("headers", {})}
    content = send.get("content", msgspec.json.encode(question("ABC123")))
    response = await client.request(
        send.get("method", "POST"), send.get("url", "/v1/trajectories"), content=content, headers=headers
    )
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
    assert response.json()["status"] == status
    assert response.json()["title"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    assert len(await log()) == before


@pytest.mark.parametrize("role", ["camera_operator", "auditor", "investigators"])
async def test_another_role_is_refused(client: httpx.AsyncClient, keys: Keys, log: Any, role: str) -> None:
    before = len(await log())
    response = await ask(client, question("ABC123"), **keys.bearer(role=role))
    assert (response.status_code, response.headers["content-type"]) == (403, PROBLEM)
    assert len(await log()) == before


async def test_the_documentation_knows_the_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/trajectories"]["post"]
    assert set(operation["responses"]) == {"200", "401", "403", "409", "413", "415", "422", "503"}
    shapes = document["components"]["schemas"]
    assert {"plate", "match", "window", "purpose"} == set(shapes["TrajectoryRequest"]["required"])
    references = {
        word.split('"')[0] for word in msgspec.json.encode(document).decode().split("#/components/schemas/")[1:]
    }
    assert references <= shapes.keys()
    assert (await client.get("/docs")).status_code == 200


async def test_every_answer_has_its_intent_and_its_end(client: httpx.AsyncClient, database: Database, log: Any) -> None:
    """Last in this module: whatever the tests before asked, each question has exactly one end."""
    plate = new_plate()
    await put(database, [read(plate, at) for at in range(0, 3000, 100)])
    answers = await asyncio.gather(*(ask(client, question(plate)) for _ in range(40)))
    assert {response.status_code for response in answers} == {200}
    entries = await log()
    assert open_questions(entries) == []
    for answer in (response.json() for response in answers):
        assert entries[answer["intent"]].kind == "intent"
        assert (entries[answer["outcome"]].kind, entries[answer["outcome"]].ends) == ("outcome", answer["intent"])
