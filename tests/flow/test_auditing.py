"""The auditing service: who may read the log, what they see, that reading it is recorded, and the sweeper."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest

from schemas.entries import Entry, disclose
from schemas.queries import Role
from search.audit import keys
from search.audit.adapters.postgres import PostgresConnect
from search.audit.adapters.reader import PostgresReader, verify_database
from search.audit.log import GreedyLog
from search.audit.lookups import Lookups
from search.audit.ports import Appended, Log
from search.audit.secrets import Sealer
from search.audit.sweeper import Sweeper
from services import auditing
from services.cli import issuer
from services.settings import Settings
from tests.support.database import Database
from tests.support.leaks import in_texts
from tests.support.wait import until_async

ANA, CASE, PLATE = "ana.ortiz", "2026-004711", "QRS8210"
JSON = {"Content-Type": "application/json"}
ENTRIES, QUERY = "/v1/audit/entries", "/v1/audit/entries/query"


class Stage(NamedTuple):
    """A running auditing service, a log as the search service has it, and tokens."""

    client: httpx.AsyncClient
    log: Log
    lookups: Lookups
    settings: Settings
    database: Database

    def token(self, *roles: Role, person: str = "olga.audit") -> dict[str, str]:
        """Return the header of somebody with these roles."""
        text = issuer.issue(
            self.settings, person=person, agency="state-auditor", roles=roles, lifetime=timedelta(minutes=5)
        )
        return {"Authorization": f"Bearer {text}"}

    async def read(self, **filters: Any) -> Any:
        """Return a page as an auditor gets it: filters in the URL, or in a body if one of them is private."""
        if {"user", "case"} & filters.keys():
            answer = await self.client.post(QUERY, json=filters, headers=self.token("auditor"))
        else:
            answer = await self.client.get(ENTRIES, params=filters, headers=self.token("auditor"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def intent(self, person: str = ANA, case: str = CASE, agency: str = "aurora-pd") -> Appended:
        """Record an intent as the door does."""
        return await self.log.append(
            Entry(
                kind="intent",
                public={"type": "trajectory", "at": _now(), "agency": agency, "purpose": "stolen_vehicle"},
                disclosures=(
                    disclose("person", person),
                    disclose("case_number", case),
                    disclose("question", {"plate": PLATE}),
                ),
                lookups=(self.lookups.lookup("person", person), self.lookups.lookup("case", case)),
            )
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
def place(fresh_database: Callable[[], Database], tmp_path: Path) -> tuple[Database, Settings]:
    """An empty database and the service's settings for it."""
    database = fresh_database()
    keys.make_pair(tmp_path / "audit.private.pem", tmp_path / "audit.public.pem")
    keys.make_secret(tmp_path / "lookup.key")
    issuer.make_pair(tmp_path / "token.private.pem", tmp_path / "token.public.pem")
    return database, Settings(
        environment="development",
        database_url=database.url("platetrail_auditing"),
        audit_private_key_file=tmp_path / "audit.private.pem",
        audit_public_key_file=tmp_path / "audit.public.pem",
        lookup_key_file=tmp_path / "lookup.key",
        token_public_key_file=tmp_path / "token.public.pem",
        token_private_key_file=tmp_path / "token.private.pem",
    )


@asynccontextmanager
async def running(place: tuple[Database, Settings], **changes: Any) -> AsyncIterator[Stage]:
    """Run the service in this process, and beside it a log as the search service has it."""
    database, settings = place[0], place[1].model_copy(update=changes)
    assert settings.audit_public_key_file is not None
    assert settings.lookup_key_file is not None
    sealer = Sealer(keys.read_public(settings.audit_public_key_file))
    log = GreedyLog(PostgresConnect(database.url("platetrail_search")), sealer)
    await log.start()
    app = auditing.build(settings)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield Stage(client, log, Lookups(keys.read_secret(settings.lookup_key_file)), settings, database)
    await log.stop()


@pytest.fixture
async def stage(place: tuple[Database, Settings]) -> AsyncIterator[Stage]:
    """The service as it is by default."""
    async with running(place) as made:
        yield made


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers["content-type"]


async def test_only_auditors_get_in(stage: Stage) -> None:
    await stage.intent()
    strangers = [{}, {"Authorization": "Bearer ptk_abcdefgh_" + "A" * 43}, {"Authorization": "Basic eDp5"}]
    others = [stage.token("investigator"), stage.token("camera_operator"), stage.token()]
    for method, path in (("GET", ENTRIES), ("POST", QUERY)):
        for headers in strangers:
            answer = await stage.client.request(method, path, headers=headers, content=b"{")
            assert problem(answer) == (401, "application/problem+json")
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in others:
            answer = await stage.client.request(method, path, headers=headers, content=b"{")
            assert problem(answer) == (403, "application/problem+json")
    assert await size(stage.database) == 1


async def size(database: Database) -> int:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        found: int = await connection.fetchval("select size from audit.head")
    finally:
        await connection.close()
    return found


async def test_an_entry_is_shown_with_what_it_commits_to(stage: Stage) -> None:
    opened = await stage.intent()
    end = await stage.log.append(Entry(kind="outcome", public={"agency": "aurora-pd", "rows": 3}, ends=opened.index))
    first, second = (await stage.read(limit=2))["entries"]
    assert (first["index"], first["kind"], first["secrets"]) == (0, "intent", "opened")
    assert first["disclosures"] == {"person": ANA, "case_number": CASE, "question": {"plate": PLATE}}
    assert first["public"]["purpose"] == "stolen_vehicle"
    assert "commitments" not in first["public"]
    assert first["end"] == {"index": end.index, "kind": "outcome"}
    assert (second["kind"], second["secrets"], second["end"]) == ("outcome", "none", None)


async def test_reading_the_log_is_itself_an_entry(stage: Stage) -> None:
    await stage.intent()
    page = await stage.read(user=ANA, agency="aurora-pd")
    assert [entry["index"] for entry in page["entries"]] == [0]
    assert page["read"] == 1
    (reading,) = (await stage.read(kind="log_read", limit=1))["entries"]
    assert reading["index"] == 1
    assert reading["disclosures"] == {
        "person": "olga.audit",
        "filters": {"user": ANA, "agency": "aurora-pd", "after": -1, "limit": 100},
    }
    assert reading["public"]["filters"] == ["agency", "user"]
    assert [entry["index"] for entry in (await stage.read(user="olga.audit"))["entries"]] == [1, 2, 3]


async def test_entries_are_filtered_by_everything_an_auditor_asks(stage: Stage) -> None:
    await stage.intent()
    await stage.intent(person="bo", case="2026-1")
    await stage.intent(agency="boulder-so")
    await stage.log.append(Entry(kind="denial", public={"agency": "boulder-so"}, ends=2))

    async def found(**filters: Any) -> list[int]:
        entries = (await stage.read(**filters))["entries"]
        return [entry["index"] for entry in entries if entry["kind"] != "log_read"]

    assert await found() == [0, 1, 2, 3]
    assert await found(user=ANA) == [0, 2]
    assert await found(case="2026-1") == [1]
    assert await found(user=ANA, case="2026-1") == []
    assert await found(user=ANA, agency="boulder-so") == [2]
    assert await found(purpose="violent_crime") == []
    assert await found(kind="denial") == [3]
    past, future = "2020-01-01T00:00:00Z", "2120-01-01T00:00:00+02:00"
    assert await found(**{"from": past, "to": future}) == [0, 1, 2, 3]
    assert await found(to=past) == []
    assert await found(user="nobody", to=future) == []


async def test_pages_go_on_where_the_last_one_ended(stage: Stage) -> None:
    for _ in range(5):
        await stage.intent()
    first = await stage.read(kind="intent", limit=3)
    second = await stage.read(kind="intent", limit=3, after=first["next"])
    assert [entry["index"] for entry in first["entries"]] == [0, 1, 2]
    assert [entry["index"] for entry in second["entries"]] == [3, 4]
    assert second["next"] is None


@pytest.mark.parametrize(
    "filters",
    [
        {"user": ANA},
        {"from": "2026-01-01T00:00:00"},
        {"to": "1767225600"},
        {"to": "2026-01-01T00:00:60Z"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"to": "9999-12-31T23:59:59-14:00"},
        {"limit": 501},
        {"purpose": "curiosity"},
        {"kind": ""},
        {PLATE: "1"},
        {"kind": PLATE},
    ],
)
async def test_unusable_filters_are_refused_and_not_quoted(stage: Stage, filters: dict[str, Any]) -> None:
    answer = await stage.client.get(ENTRIES, params=filters, headers=stage.token("auditor"))
    assert problem(answer) == (422, "application/problem+json")
    assert [value for value in map(str, filters.values()) if value and value in answer.text] == []
    assert PLATE not in answer.text
    assert await size(stage.database) == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b'{"plate": "QRS8210"}', b'{"user": ""}', b'{"QRS8210": 1}'),
        *(b'{"after": false}', b'{"limit": "9"}', b'{"to": 1767225600}', b'{"from": "QRS8210"}'),
    ],
)
async def test_unusable_bodies_are_refused_and_not_quoted(stage: Stage, body: bytes) -> None:
    answer = await stage.client.post(QUERY, content=body, headers=JSON | stage.token("auditor"))
    assert problem(answer) == (422, "application/problem+json")
    assert PLATE not in answer.text
    assert await size(stage.database) == 0


async def test_a_body_has_a_limit(stage: Stage) -> None:
    answer = await stage.client.post(QUERY, content=b" " * 20_000, headers=JSON | stage.token("auditor"))
    assert problem(answer) == (413, "application/problem+json")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, JSON | {"Content-Encoding": "gzip"}])
async def test_a_body_is_json_and_not_encoded(stage: Stage, headers: dict[str, str]) -> None:
    answer = await stage.client.post(QUERY, content=b"{}", headers=headers | stage.token("auditor"))
    assert problem(answer) == (415, "application/problem+json")
    assert await size(stage.database) == 0


async def test_nothing_is_read_that_cannot_be_recorded(stage: Stage) -> None:
    await stage.intent()
    superuser = await asyncpg.connect(stage.database.superuser_url)
    try:
        async with superuser.transaction():
            await superuser.execute("lock table audit.head in access exclusive mode")
            answer = await stage.client.get(ENTRIES, headers=stage.token("auditor"))
    finally:
        await superuser.close()
    assert problem(answer) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "1"
    assert CASE not in answer.text
    assert len((await stage.read())["entries"]) >= 1


async def test_an_altered_secret_is_shown_as_such(stage: Stage) -> None:
    await stage.intent()
    await stage.intent()
    superuser = await asyncpg.connect(stage.database.superuser_url)
    await superuser.execute("update audit.secret set sealed = (select sealed from audit.secret where idx = 1)")
    await superuser.close()
    first, second = (await stage.read(kind="intent"))["entries"]
    assert (first["secrets"], first["disclosures"]) == ("altered", {})
    assert second["secrets"] == "opened"


async def test_what_search_holds_opens_no_secret_and_reads_no_log(stage: Stage) -> None:
    await stage.intent()
    reader = PostgresReader(stage.database.url("platetrail_search").replace("platetrail_search", "platetrail_auditing"))
    try:
        with pytest.raises(Exception, match="28P01"):
            await reader.head()
    finally:
        await reader.close()
    search = await asyncpg.connect(stage.database.url("platetrail_search"))
    try:
        for table in ("leaf", "secret", "data_key", "lookup", "head"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await search.fetch(f"select * from audit.{table}")
    finally:
        await search.close()


async def test_no_plate_user_or_case_stands_in_a_leaf(stage: Stage) -> None:
    await stage.intent()
    await stage.read(user=ANA, case=CASE)
    connection = await asyncpg.connect(stage.database.superuser_url)
    rows = await connection.fetch("select idx, leaf, kind, agency, purpose from audit.leaf")
    hidden = await connection.fetch("select sealed from audit.secret union all select mac from audit.lookup")
    await connection.close()
    assert len(rows) == 2
    texts = [(f"leaf {row['idx']}", bytes(row["leaf"]) + repr(row[2:]).encode()) for row in rows]
    texts += [("hidden", bytes(row[0])) for row in hidden]
    secrets = [ANA, CASE, "olga.audit"]
    assert in_texts(texts, [PLATE], secrets) == []
    planted = [("leaf", json.dumps({"person": ANA, "q": PLATE}).encode())]
    assert len(in_texts(planted, [PLATE], secrets)) == 2


async def test_the_sweeper_ends_what_has_no_end(place: tuple[Database, Settings]) -> None:
    async with running(place, abandoned_after_s=0.0) as stage:
        opened = await stage.intent()

        async def swept() -> bool:
            return bool((await stage.read(kind="abandoned"))["entries"])

        await until_async(swept, "the sweeper has ended the intent")
        (entry,) = (await stage.read(kind="abandoned"))["entries"]
        assert entry["public"]["intent"] == opened.index
        assert entry["public"]["agency"] == "aurora-pd"
    report = await verify_database(stage.settings.database_url)
    assert (report.findings, report.abandoned) == ((), {"aurora-pd": 1})


async def test_sweepers_leave_the_young_alone_and_do_not_get_in_each_others_way(stage: Stage) -> None:
    for _ in range(5):
        await stage.intent()
    ended = await stage.log.append(Entry(kind="failure", public={}, ends=1))
    reader = PostgresReader(stage.settings.database_url)
    young, due = Sweeper(stage.log, reader, 3600.0), [Sweeper(stage.log, reader, 0.0) for _ in range(2)]
    assert await young.sweep() == 0
    assert sum(await asyncio.gather(*(one.sweep() for one in due))) == 4
    assert await due[0].sweep() == 0
    latest = await stage.intent()
    assert await due[0].sweep() == 1
    await reader.close()
    report = await verify_database(stage.settings.database_url)
    assert report.findings == ()
    assert report.kinds == {"intent": 6, "failure": 1, "abandoned": 5}
    assert latest.index > ended.index


async def test_it_says_that_no_sealer_exists(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    async with running((stage.database, stage.settings)):
        pass
    printed = capsys.readouterr()
    assert "release level L0" in printed.out + printed.err


async def test_health_is_open_and_tells_when_the_database_answers(stage: Stage) -> None:
    assert (await stage.client.get("/healthz")).status_code == 200
    assert (await stage.client.get("/readyz")).status_code == 200
