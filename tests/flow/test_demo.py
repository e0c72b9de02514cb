"""The demo as a user runs it: it agrees with the truth, is shut to the network, keeps secrets, and leaves nothing."""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import psutil
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from schemas import topics, wire
from schemas.deadletters import DeadLetter
from services.demo.fleet import HTTP, ORDER, ROLES
from services.demo.folder import Folder
from services.demo.people import AUDITOR, INVESTIGATOR, People
from services.demo.question import CASE
from services.simulate.truth import read_truth
from tests.support import leaks, stages
from tests.support.demo import SERVERS_UP, SERVICES_UP, STAYING, DemoRun, lives
from tests.support.detections import detection, sighting
from tests.support.topics import tail, write
from tests.support.wait import until

MAY_BE_AWAY = {"maintain"}
"""Services that are connected to the database only while they have something to do there."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoRun, int]:
    run = DemoRun(Path(tmp_path_factory.mktemp("once")), "--once")
    return run, run.wait()


def test_once_ends_with_0_since_the_answer_agrees_with_the_truth(once: tuple[DemoRun, int]) -> None:
    run, code = once
    text = run.output()
    assert code == 0, text
    for words in ("UNVERIFIED LEAD", "not complete", "withheld: 1 owner", "The log is whole", "agrees with the truth"):
        assert words in text, words
    counts = re.search(r"passes expected: (\d+)\s+returned: (\d+)\s+in (\d+) time zones", text)
    assert counts is not None, text
    expected, returned, zones = map(int, counts.groups())
    assert returned >= expected >= 8
    assert zones >= 2
    silent = re.search(r"grants nothing: (\d+) in truth, (\d+) through the gate \(which gave (\d+) reads", text)
    assert silent is not None, text
    in_truth, through, gave = map(int, silent.groups())
    assert in_truth >= 1
    assert through == 0
    assert gave >= expected


def test_once_leaves_logs_and_nothing_else(once: tuple[DemoRun, int]) -> None:
    run, _ = once
    assert {path.name for path in run.home.iterdir()} == {"lock", "logs"}
    logs = {path.name for path in (run.home / "logs").iterdir()}
    assert logs == {f"{name}.log" for name in (*ORDER, "kafka", "postgres")}
    assert [path for folder in run.elsewhere for path in folder.rglob("*")] == []
    assert [one for one in psutil.process_iter() if _mentions(one, str(run.home))] == []


def test_every_listening_socket_is_accounted_for_and_loopback(running: DemoRun) -> None:
    ports: dict[str, set[int]] = {}
    for process in running.family():
        for connection in process.net_connections(kind="all"):
            if connection.family == socket.AF_UNIX:
                assert not _has_a_path(connection), (_name(process), connection)
                continue
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM:
                address = ipaddress.ip_address(connection.laddr.ip)
                mapped = getattr(address, "ipv4_mapped", None) or address
                assert mapped.is_loopback, (_name(process), connection)
                ports.setdefault(_name(process), set()).add(connection.laddr.port)
    counted = {name: len(found) for name, found in ports.items()}
    services = dict.fromkeys(ORDER, 1)
    assert counted == {"java": 2, "postgres": 1, **services}
    urls = running.environment()
    for name in HTTP:
        assert urls[f"PLATETRAIL_{name.upper()}_URL"] == f"http://127.0.0.1:{ports[name].copy().pop()}"
    assert urls["PLATETRAIL_KAFKA_BOOTSTRAP"] == running.service("gateway").environ()["PLATETRAIL_KAFKA_BOOTSTRAP"]


@pytest.mark.parametrize("name", ["file", "abstract"])
def test_a_planted_unix_socket_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("planted" if name == "file" else f"\0{tmp_path.name}")
        listener.listen()
        own = psutil.Process().net_connections(kind="all")
        assert [one for one in own if one.family == socket.AF_UNIX and _has_a_path(one)] != []


async def test_each_service_is_in_the_database_under_its_own_role(running: DemoRun) -> None:
    connection = await asyncpg.connect(_superuser_url(running))
    try:
        rows = await connection.fetch(
            "select a.usename, a.client_port, r.rolsuper, r.rolcreaterole or r.rolcreatedb or r.rolbypassrls as mighty,"
            " exists (select from pg_class c where c.relowner = r.oid) as owns"
            " from pg_stat_activity a join pg_roles r on r.rolname = a.usename"
            " where a.client_port is not null and a.pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    local = {
        one.laddr.port: name
        for name in ORDER
        for one in running.service(name).net_connections(kind="tcp")
        if one.status == psutil.CONN_ESTABLISHED
    }
    seen = {(local.get(row["client_port"], "nobody we know"), row["usename"]) for row in rows}
    assert seen <= set(ROLES.items())
    assert {name for name, _ in seen} >= ROLES.keys() - MAY_BE_AWAY
    assert [row for row in rows if row["rolsuper"] or row["mighty"] or row["owns"]] == []


def test_each_service_has_its_own_secrets_alone(running: DemoRun) -> None:
    passwords = {}
    for name in ORDER:
        environment = running.service(name).environ()
        files = {Path(value).name for key, value in environment.items() if key.endswith("_KEY_FILE")}
        assert ("audit.private.pem" in files) == (name == "auditing")
        assert "token.private.pem" not in files
        assert ("PLATETRAIL_DATABASE_URL" in environment) == (name in ROLES)
        if name in ROLES:
            url = httpx.URL(environment["PLATETRAIL_DATABASE_URL"])
            assert url.username == ROLES[name]
            passwords[name] = url.password
    assert len(set(passwords.values())) == len(ROLES)
    for name in ORDER:
        text = " ".join(running.service(name).environ().values())
        assert [other for other, word in passwords.items() if word in text] == ([name] if name in ROLES else [])


async def test_the_password_of_search_opens_no_other_role(running: DemoRun) -> None:
    own = running.service("search").environ()["PLATETRAIL_DATABASE_URL"]
    connection = await asyncpg.connect(own)
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(own.replace("platetrail_search:", "platetrail_auditing:"))


def test_a_second_demo_in_the_same_folder_is_refused(running: DemoRun) -> None:
    second = DemoRun(running.home.parent, "--once")
    assert second.wait() == 4
    assert "a demo is running already" in second.output()
    assert running.alive


def test_the_documentation_is_served_by_the_services_themselves(running: DemoRun) -> None:
    for name in HTTP:
        url = running.environment()[f"PLATETRAIL_{name.upper()}_URL"]
        page = httpx.get(f"{url}/docs", trust_env=False)
        assert page.status_code == 200
        assert "/v1/" in page.text
        assert "Open." not in page.text  # each operation says what it needs
        assert re.findall(r"""(?:src|href)=["']?(?!#|openapi\.json)([^"'> ]+)""", page.text) == []
        assert httpx.get(f"{url}/openapi.json", trust_env=False).status_code == 200


def test_no_plate_user_or_case_is_in_any_log_metric_or_leaf_and_ctrl_c_stops_everything(running: DemoRun) -> None:
    truth = read_truth(running.home / "run" / "truth.jsonl")
    texts = {read.detection.plate for read in truth.reads if read.detection.plate}
    texts |= {vehicle.plate for vehicle in truth.vehicles}
    assert len(texts) > 500
    people = [INVESTIGATOR, AUDITOR, CASE, "cameras@"]
    people += json.loads((running.home / "run" / "camera-keys.json").read_bytes()).values()
    people += [httpx.URL(running.service(name).environ()["PLATETRAIL_DATABASE_URL"]).password for name in ROLES]
    _provoke(running, truth.vehicles[0].plate)
    asyncio.run(_provoke_workers(running, truth.vehicles[0].plate))
    leaves = asyncio.run(_leaves(running))
    assert len(leaves) > 10
    assert leaks.in_texts(leaves, texts, people) == []
    planted = ("planted", f'{{"agency":"{truth.vehicles[0].plate}","kind":"camera"}}'.encode())
    assert len(leaks.in_texts([*leaves, planted], texts, people)) == 1
    shown = list(_shown(running))
    assert sum(b"# TYPE platetrail_" in content for _, content in shown) == len(ORDER) - 2, (
        "all but search and auditing"
    )
    assert leaks.in_texts(shown, texts, people) == []
    family = running.family()
    assert len(family) > len(ORDER)

    assert running.end(signal.SIGINT) == 0
    until(lambda: not any(lives(process) for process in family), "nothing of the demo runs any more")
    assert {path.name for path in running.home.iterdir()} == {"lock", "logs"}
    assert [path for folder in running.elsewhere for path in folder.rglob("*")] == []

    logs = running.home / "logs"
    assert {path.name for path in logs.iterdir()} == {f"{name}.log" for name in (*ORDER, "kafka", "postgres")}
    assert leaks.in_files(logs, texts, people) == []
    with (logs / "search.log").open("a") as log:
        log.write(f'{{"event": "asked", "plate": "{truth.vehicles[0].plate.lower()}"}}\n')
    assert len(leaks.in_files(logs, texts, people)) == 1


def test_a_killed_demo_leaves_no_orphans_and_the_next_one_is_clean(tmp_path: Path) -> None:
    killed = DemoRun(tmp_path)
    killed.until(SERVICES_UP)
    family = killed.family()
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not any(lives(process) for process in family), "nothing of the killed demo runs any more")
    assert (killed.home / "run" / "keys").exists()

    terminated = DemoRun(tmp_path)
    terminated.until(SERVERS_UP)
    family = terminated.family()
    assert terminated.end(signal.SIGTERM) == 130
    until(lambda: not any(lives(process) for process in family), "nothing of the stopped demo runs any more")
    assert {path.name for path in terminated.home.iterdir()} == {"lock", "logs"}


def test_a_demo_whose_service_dies_says_so_and_stops_the_others(tmp_path: Path) -> None:
    run = DemoRun(tmp_path)
    run.until(STAYING)
    family = run.family()
    run.service("indexer").kill()
    assert run.wait() == 4
    assert "platetrail: a service has ended: indexer" in run.output()
    until(lambda: not any(lives(process) for process in family), "nothing of the demo runs any more")
    assert {path.name for path in run.home.iterdir()} == {"lock", "logs"}


def _provoke(running: DemoRun, plate: str) -> None:
    """Ask and push in every wrong way, with a plate and a user in it: errors are what logs are made of."""
    urls = {name: running.environment()[f"PLATETRAIL_{name.upper()}_URL"] for name in HTTP}
    people = People(Folder(running.home))
    tokens = [people.investigator(), people.auditor(), INVESTIGATOR, plate]
    paths = {
        "search": "/v1/trajectories",
        "gateway": "/v1/detections",
        "auditing": "/v1/audit/entries/query",
        "deadletters": "/v1/deadletters/query",
    }
    bodies: list[bytes] = [
        msgspec.json.encode({"plate": plate, "user": INVESTIGATOR, "nothing": plate}),
        msgspec.json.encode([plate]),
        msgspec.json.encode({plate: INVESTIGATOR}),
        f'{{"plate": "{plate}"'.encode(),
    ]
    statuses: Counter[int] = Counter()
    with httpx.Client(trust_env=False) as client:
        for url in urls.values():
            statuses[client.get(f"{url}/{plate}", params={"plate": plate}).status_code] += 1
        for token in tokens:
            headers = {"Authorization": f"Bearer {token}"}
            answer = client.get(f"{urls['auditing']}/v1/audit/entries", headers=headers, params={plate: plate})
            assert plate not in answer.text
            statuses[answer.status_code] += 1
        for token, (name, path), body in itertools.product(tokens, paths.items(), bodies):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            answer = client.post(urls[name] + path, headers=headers, content=body)
            assert plate not in answer.text
            statuses[answer.status_code] += 1
    assert set(statuses) == {401, 403, 404, 422}


async def _provoke_workers(running: DemoRun, plate: str) -> None:
    """Give broker, workers and database what they refuse, with a plate in it, and wait until all of it was refused."""
    bootstrap = running.service("gateway").environ()["PLATETRAIL_KAFKA_BOOTSTRAP"]
    now = datetime.now(UTC)
    naive = detection(plate_raw=plate, captured_at=now.replace(tzinfo=None), camera_id=plate)  # cannot be compared
    unfit = sighting(plate=plate, captured_at=now, plate_raw=plate * 100, region=plate)  # longer than the index takes
    wrong = [f'{{"v":1,"plate_raw":["{plate}"]}}', f'{{"plate":"{plate}"', f"{plate}", f'{{"v":"{plate}"}}']
    async with tail(bootstrap, topics.DEAD_LETTERS) as letters:
        for topic, poison in ((topics.DETECTIONS, wire.encode(naive)), (topics.SIGHTINGS, wire.encode(unfit))):
            values = [poison, *(text.encode() for text in wrong)]
            await write(bootstrap, topic, *((plate.encode(), value) for value in values))
            with pytest.raises(MessageSizeTooLargeError):
                await write(bootstrap, topic, (plate.encode(), plate.encode() * 500_000), max_request_size=10**8)
        for group in stages.SOURCES:
            await stages.until_worked_off(bootstrap, group)
        reasons = Counter(wire.decode(value, DeadLetter).reason for _, value in await letters.records())
    assert reasons == {"undecodable": 2 * len(wrong), "poisoned": 2}
    for name in ROLES:
        connection = await asyncpg.connect(running.service(name).environ()["PLATETRAIL_DATABASE_URL"])
        for statement in (
            f"select '{plate}'::int",
            f"select {plate} from nothing",
            f"insert into reads.sighting (plate, plate_raw) values ('{plate}', '{plate}')",
            f"select audit.append(array['{plate}'::bytea], null, null, null, null, null)",
            f"do $$ begin raise exception '{plate}' using detail = '{plate}', hint = '{plate}'; end $$",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
        await connection.close()


def _shown(running: DemoRun) -> Iterator[tuple[str, bytes]]:
    """Yield what every process shows of itself, to whoever asks and to whoever lists processes."""
    for name in ORDER:
        listening = re.search(r'"port": (\d+)', (running.home / "logs" / f"{name}.log").read_text())
        assert listening is not None, name
        for path in ("/metrics", "/healthz", "/readyz"):
            answer = httpx.get(f"http://127.0.0.1:{listening[1]}{path}", trust_env=False)
            yield f"{name} {path}", "\n".join([answer.text, *map(repr, answer.headers.items())]).encode()
    for process in running.family():
        with contextlib.suppress(psutil.Error):
            yield f"title of {process.pid}", " ".join(process.cmdline()).encode()


async def _leaves(running: DemoRun) -> list[tuple[str, bytes]]:
    """Return every leaf of the run, with all that stands in clear beside it."""
    url = httpx.URL(running.service("auditing").environ()["PLATETRAIL_DATABASE_URL"])
    connection = await asyncpg.connect(_superuser_url(running, url.path.strip("/")))
    try:
        rows = await connection.fetch("select idx, leaf, kind, agency, purpose from audit.leaf order by idx")
    finally:
        await connection.close()
    return [(f"leaf {row['idx']}", bytes(row["leaf"]) + b"\n" + repr(tuple(row)[2:]).encode()) for row in rows]


def _name(process: psutil.Process) -> str:
    words = process.cmdline()
    if words[-2:-1] == ["serve"]:
        return words[-1]
    return "demo" if "demo" in words else Path(process.name().rstrip(":")).name


def _mentions(process: psutil.Process, text: str) -> bool:
    try:
        return lives(process) and text in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _has_a_path(connection: Any) -> bool:
    """Tell whether a Unix socket can be found by others: by a file or an abstract name. A pair's ends have neither.

    None of the processes needs one, so it does not matter that the system does not say which of them listen.
    """
    return bool(connection.laddr)


def _superuser_url(running: DemoRun, database: str = "postgres") -> str:
    folder = running.home / "run" / "postgres"
    password = (folder / "superuser.password").read_text().strip()
    port = (folder / "data" / "postmaster.pid").read_text().splitlines()[3]
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/{database}"
