"""The commands against a running installation: register, push, ask, review, verify; and the database's own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from schemas.migrations import roles
from services.demo import postgres as postgres_starter
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from services.demo.postgres import Postgres
from services.demo.question import choose
from services.simulate.truth import read_truth
from services.simulate.world import ASKING, build
from tests.support.database import Database
from tests.support.demo import DemoRun
from tests.support.wait import until

Platetrail = Callable[..., subprocess.CompletedProcess[str]]

IMPORT = ("camera", "import", "in.csv", "--keys", "keys.csv")
ASK = ("search", "trajectory", "--purpose", "stolen_vehicle", "--authority", "none", "--from", "4d")


@pytest.fixture
def platetrail(running: DemoRun, tmp_path: Path) -> Platetrail:
    """The command, with the variables that the demo offers."""
    return command(tmp_path, running.environment())


def command(folder: Path, variables: dict[str, str]) -> Platetrail:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PLATETRAIL_")}
    env = {**plain, **variables, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}

    def call(*words: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["platetrail", *words] if "PATH" in variables else [sys.executable, "-m", "services.cli", *words],
            cwd=folder,
            env={**env, **more},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def token(platetrail: Platetrail, role: str, person: str = "ada", agency: str = ASKING.agency_id) -> str:
    ran = platetrail("token", "--person", person, "--agency", agency, "--role", role)
    assert ran.returncode == 0, ran.stderr
    assert "DEVELOPMENT ISSUER" in ran.stderr
    return ran.stdout.strip()


@pytest.fixture
def plate(running: DemoRun) -> str:
    """The plate that the demo asked for."""
    return choose(build(1), read_truth(running.home / "run" / "truth.jsonl")).vehicle.plate


def test_an_investigator_asks_and_an_auditor_sees_it(platetrail: Platetrail, plate: str, tmp_path: Path) -> None:
    investigator, auditor = token(platetrail, "investigator"), token(platetrail, "auditor", "ruth")
    asked = platetrail(*ASK, "--receipt", "receipt.json", text=f"{plate}\nCLI-CASE-7\n", PLATETRAIL_TOKEN=investigator)
    assert asked.returncode == 0, asked.stderr
    assert "UNVERIFIED LEAD" in asked.stdout
    assert "withheld: 1 owner (no grant: 1)" in asked.stdout
    assert "map, north up" in asked.stdout

    listed = platetrail("audit", "list", "--case", "-", "--json", text="CLI-CASE-7\n", PLATETRAIL_TOKEN=auditor)
    assert listed.returncode == 0, listed.stderr
    (entry,) = json.loads(listed.stdout)["entries"]
    assert entry["disclosures"]["person"] == "ada"
    assert entry["disclosures"]["question"]["plate"] == plate
    assert entry["end"]["kind"] == "outcome"
    assert plate not in json.dumps(entry["public"])

    table = platetrail(
        "audit", "list", "--user", "-", "--purpose", "stolen_vehicle", text="ada\n", PLATETRAIL_TOKEN=auditor
    )
    assert table.returncode == 0, table.stderr
    assert "CLI-CASE-7" in table.stdout
    assert "This reading is entry" in table.stderr

    verified = platetrail("audit", "verify", "--against", "receipt.json")
    assert verified.returncode == 0, verified.stderr
    assert "The log is whole, and agrees with 1 older receipt." in verified.stdout


def test_the_answer_comes_as_json_and_geojson_page_by_page(platetrail: Platetrail, plate: str) -> None:
    investigator = token(platetrail, "investigator")
    question = f"{plate}\nCLI-CASE-8\n"
    whole = platetrail(*ASK, "--json", text=question, PLATETRAIL_TOKEN=investigator)
    points = json.loads(whole.stdout)["points"]
    assert len(points) >= 8

    paged = platetrail(*ASK, "--json", "--all", "--limit", "3", text=question, PLATETRAIL_TOKEN=investigator)
    pages = [json.loads(line) for line in paged.stdout.splitlines()]
    assert len(pages) > 2
    assert len({page["intent"] for page in pages}) == 1
    assert [point["pass_id"] for page in pages for point in page["points"]] == [point["pass_id"] for point in points]

    table = platetrail(*ASK, "--all", "--limit", "3", text=question, PLATETRAIL_TOKEN=investigator)
    assert table.returncode == 0, table.stderr
    assert f"{len(points)} points" in table.stdout

    geo = json.loads(platetrail(*ASK, "--geojson", text=question, PLATETRAIL_TOKEN=investigator).stdout)
    assert geo["type"] == "FeatureCollection"


def test_a_receipt_of_another_log_is_found_out(platetrail: Platetrail, plate: str, tmp_path: Path) -> None:
    investigator = token(platetrail, "investigator")
    platetrail(*ASK, "--receipt", "receipt.json", text=f"{plate}\nCLI-CASE-9\n", PLATETRAIL_TOKEN=investigator)
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**receipt, "root": "00" * 32}))
    ran = platetrail("audit", "verify", "--against", "other.json")
    assert ran.returncode == 1
    assert "rewritten" in ran.stdout
    (tmp_path / "longer.json").write_text(json.dumps({**receipt, "size": receipt["size"] + 1000}))
    ran = platetrail("audit", "verify", "--against", "longer.json", "--json")
    assert ran.returncode == 1
    assert [one["problem"] for one in json.loads(ran.stdout)["findings"]] == ["cut"]


def test_an_operator_registers_lists_and_retires_a_camera(platetrail: Platetrail, tmp_path: Path) -> None:
    operator = token(platetrail, "camera_operator", "otto", "some-agency")
    place = ("--latitude", "39.7", "--longitude", "-105.2", "--timezone", "America/Denver")
    add = ("camera", "add", "test-cam-1", "--name", "A bridge", *place)
    added = platetrail(*add, "--key-file", "cam.key", PLATETRAIL_TOKEN=operator)
    assert added.returncode == 0, added.stderr
    key = (tmp_path / "cam.key").read_text().strip()
    assert key.startswith("ptk_")
    assert key not in added.stdout + added.stderr
    assert re.search(r"^Camera test-cam-1 is registered \(entry \d+\); its key is in cam.key\.$", added.stderr)

    again = platetrail(*add, PLATETRAIL_TOKEN=operator)
    assert again.returncode == 3
    assert len(again.stderr.splitlines()) == 1
    assert again.stderr.startswith("platetrail: the search service answered 409: ")

    listed = json.loads(platetrail("camera", "list", "--json", PLATETRAIL_TOKEN=operator).stdout)["cameras"]
    assert [one["camera_id"] for one in listed] == ["test-cam-1"]
    assert "A bridge" in platetrail("camera", "list", PLATETRAIL_TOKEN=operator).stdout
    retired = platetrail("camera", "retire", "test-cam-1", PLATETRAIL_TOKEN=operator)
    assert retired.returncode == 0
    assert re.search(r"^Camera test-cam-1 is retired \(entry \d+\)\.$", retired.stderr)
    again = platetrail("camera", "retire", "test-cam-1", PLATETRAIL_TOKEN=operator)
    assert (again.returncode, again.stderr) == (0, "Camera test-cam-1 was retired before.\n")
    listed = json.loads(platetrail("camera", "list", "--json", PLATETRAIL_TOKEN=operator).stdout)["cameras"]
    assert [one["active"] for one in listed] == [False]


def test_an_operator_changes_and_re_keys_a_camera(platetrail: Platetrail, tmp_path: Path) -> None:
    operator = token(platetrail, "camera_operator", "otto", "some-agency")

    def camera(*words: str) -> subprocess.CompletedProcess[str]:
        return platetrail("camera", *words, PLATETRAIL_TOKEN=operator)

    place = ("--latitude", "39.7", "--longitude", "-105.2", "--timezone", "America/Denver")
    more = ("--format", "axis", "--lanes", "3", "--heading", "90", "--clock", "offset", "--clock-offset", "-60")
    until = ("--active-until", "2100-01-01T00:00:00Z", "--network", "county", "--handling", "standard")
    added = camera("add", "test-cam-2", "--name", "A gate", *place, *more, *until, "--key-file", "first.key")
    assert added.returncode == 0, added.stderr
    shown = camera("show", "test-cam-2")
    assert shown.returncode == 0, shown.stderr
    for text in ("39.700000, -105.200000", "offset -60 s, ±2 s", "axis", "county", "… to 2100-01-01T00:00:00Z", "ptk_"):
        assert text in shown.stdout
    changed = camera("change", "test-cam-2", "--latitude", "40", "--unset", "lanes", "--unset", "network")
    assert changed.returncode == 0, changed.stderr
    assert "is changed (entry" in changed.stderr
    again = camera("change", "test-cam-2", "--latitude", "40")
    assert "nothing to change" in again.stderr
    now = json.loads(camera("show", "test-cam-2", "--json").stdout)
    assert (now["latitude"], now["lanes"], now["network"], now["revision"]) == (40.0, None, None, 1)
    trusted = camera("change", "test-cam-2", "--clock", "trusted")
    assert trusted.returncode == 0, trusted.stderr
    assert "trusted, ±2 s" in trusted.stdout
    rotated = camera("rotate-key", "test-cam-2", "--proof", "url", "--key-file", "second.key")
    assert rotated.returncode == 0, rotated.stderr
    assert re.search(r"the old one ends now \(entry \d+\); its key is in second.key", rotated.stderr)
    assert (tmp_path / "second.key").read_text().startswith("ptu_")
    assert (tmp_path / "second.key").stat().st_mode & 0o077 == 0
    assert "ptu_" in camera("show", "test-cam-2").stdout
    refused = camera("change", "test-cam-2", "--format", "native")
    assert refused.returncode == 3
    assert "[proof: " in refused.stderr
    assert camera("show", "nobodys").returncode == 3


def test_an_operator_imports_and_exports_cameras(platetrail: Platetrail, tmp_path: Path) -> None:
    operator = token(platetrail, "camera_operator", "otto", "table-agency")

    def camera(*words: str) -> subprocess.CompletedProcess[str]:
        return platetrail("camera", *words, PLATETRAIL_TOKEN=operator)

    header = "camera_id,name,latitude,longitude,timezone,lanes"
    good = "table-1,North gate,39.7,-105.2,America/Denver,2\n"
    (tmp_path / "in.csv").write_text(f"{header}\n{good}table-2,South gate,hunter2,-105.2,Denver,0\n")
    for words in (("--check",), ("--keys", "keys.csv")):
        flawed = camera("import", "in.csv", *words)
        assert flawed.returncode == 3
        for word in ("latitude", "timezone", "lanes", "what would be right", "No camera was registered"):
            assert word in flawed.stderr
        assert "hunter2" not in flawed.stdout + flawed.stderr
        assert not (tmp_path / "keys.csv").exists()
    (tmp_path / "in.csv").write_text(f"{header}\n{good}table-2,South gate,39.6,-105.2,America/Denver,\n")
    assert "Nothing was registered" in camera("import", "in.csv", "--check").stderr
    imported = camera("import", "in.csv", "--keys", "keys.csv")
    assert imported.returncode == 0, imported.stderr
    assert "2 cameras are registered" in imported.stderr
    keys = (tmp_path / "keys.csv").read_text().splitlines()
    assert (keys[0], len(keys)) == ("camera_id,key,entry", 3)
    assert (tmp_path / "keys.csv").stat().st_mode & 0o077 == 0
    assert "ptk_" not in imported.stdout + imported.stderr
    exported = camera("export")
    assert exported.stdout.splitlines()[1].startswith("table-1,North gate,39.7,-105.2,America/Denver,")
    assert camera("export", "--out", "out.csv").returncode == 0
    assert (tmp_path / "out.csv").read_bytes().decode().splitlines() == exported.stdout.splitlines()


def test_an_operator_mends_a_clock_and_gets_the_reads_back(
    platetrail: Platetrail, running: DemoRun, tmp_path: Path
) -> None:
    operator = token(platetrail, "camera_operator", "otto", "clock-agency")
    auditor = token(platetrail, "auditor", "ruth")
    place = ("--latitude", "39.7", "--longitude", "-105.2", "--timezone", "America/Denver")
    platetrail("camera", "add", "clock-cam", "--name", "x", *place, "--key-file", "c.key", PLATETRAIL_TOKEN=operator)
    ahead = datetime.now(UTC) + timedelta(hours=2)
    pushed = httpx.post(
        f"{running.environment()['PLATETRAIL_GATEWAY_URL']}/v1/detections",
        json={"captured_at": ahead.isoformat(), "plate": "CLK-7731"},
        headers={"Authorization": f"Bearer {(tmp_path / 'c.key').read_text().strip()}"},
        trust_env=False,
    )
    assert pushed.json()["items"][0]["reason"] == "clock_future"

    def letters(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return platetrail("deadletters", *words, text=text, PLATETRAIL_TOKEN=operator)

    listed = letters("list", "--reason", "clock_future", "--camera", "clock-cam")
    assert listed.returncode == 0, listed.stderr
    assert "clock_future" in listed.stdout
    (letter,) = json.loads(letters("list", "--camera", "clock-cam", "--json").stdout)["letters"]
    shown = letters("show", letter["letter_id"])
    assert "--reveal shows it" in shown.stdout
    revealed = letters("show", letter["letter_id"], "--reveal", text="which lane is it?\n")
    assert revealed.returncode == 0, revealed.stderr
    assert "CLK-7731" in revealed.stdout
    assert not any("7731" in one.stdout + one.stderr for one in (listed, shown))

    replay = ("replay", "--reason", "clock_future", "--camera", "clock-cam")
    early = letters(*replay)
    assert early.returncode == 1
    assert "still ahead" in early.stdout
    mend = ("camera", "change", "clock-cam", "--clock", "offset", "--clock-offset", "-7200")
    assert platetrail(*mend, PLATETRAIL_TOKEN=operator).returncode == 0
    until(lambda: letters(*replay, "--dry-run").returncode == 0, "the change has reached the service")
    done = letters(*replay, "--note", "-", text="the clock was two hours ahead\n")
    assert done.returncode == 0, done.stderr
    assert "put back on the stream" in done.stdout
    seen = platetrail("audit", "list", "--kind", "dead_letter", "--agency", "clock-agency", PLATETRAIL_TOKEN=auditor)
    assert "which lane is it?" in seen.stdout
    assert "7731" not in seen.stdout
    assert letters("show", "00000000-0000-0000-0000-000000000000").returncode == 3
    assert letters("replay").returncode == 2


def test_refusals_are_one_line_with_exit_code_3(platetrail: Platetrail, plate: str) -> None:
    auditor = token(platetrail, "auditor")
    ran = platetrail(*ASK, text=f"{plate}\nX-1\n", PLATETRAIL_TOKEN=auditor)
    assert ran.returncode == 3
    assert ran.stderr.startswith("platetrail: the search service answered 403")
    assert len(ran.stderr.splitlines()) == 1
    assert plate not in ran.stderr

    investigator = token(platetrail, "investigator")
    ran = platetrail(*ASK, "--note", "-", text=f"{plate}\nX-1\ntest\n", PLATETRAIL_TOKEN=investigator)
    assert ran.returncode == 3
    assert "422" in ran.stderr
    assert "note" in ran.stderr
    ran = platetrail("audit", "list", PLATETRAIL_TOKEN=investigator)
    assert ran.returncode == 3
    ran = platetrail("audit", "list", PLATETRAIL_TOKEN="no-token")
    assert ran.returncode == 3
    assert "PLATETRAIL_TOKEN" in ran.stderr


def test_a_service_that_is_away_is_exit_code_4(platetrail: Platetrail, tmp_path: Path) -> None:
    ran = platetrail("audit", "list", "--url", "http://127.0.0.1:9", PLATETRAIL_TOKEN="x")
    assert ran.returncode == 4
    assert "does not answer" in ran.stderr
    ran = platetrail("audit", "verify", PLATETRAIL_AUDITING_DATABASE_URL="postgresql://x:y@127.0.0.1:9/z")
    assert ran.returncode == 4
    (tmp_path / "in.csv").write_text("camera_id,name\n")
    ran = platetrail(*IMPORT, "--url", "http://127.0.0.1:9", PLATETRAIL_TOKEN="x")
    assert ran.returncode == 4
    assert not (tmp_path / "keys.csv").exists()  # it was made before the service was asked


def test_a_simulation_pushes_with_the_cameras_keys(platetrail: Platetrail, running: DemoRun, tmp_path: Path) -> None:
    keys = str(running.home / "run" / "camera-keys.json")
    few = ("--vehicles", "40", "--days", "0.5")
    pushed = platetrail("simulate", "--keys", keys, "--truth", "truth.jsonl", *few)
    assert pushed.returncode == 0, pushed.stderr
    truth = read_truth(tmp_path / "truth.jsonl")
    assert {read.status for read in truth.reads} == {"accepted"}
    assert f"{len(truth.reads):,} reads of" in pushed.stderr

    (tmp_path / "wrong.json").write_text(json.dumps(dict.fromkeys(json.loads(Path(keys).read_text()), "ptk_wrong")))
    refused = platetrail("simulate", "--keys", "wrong.json", *few)
    assert refused.returncode == 4
    assert "with 401" in refused.stderr
    absent = platetrail("simulate", "--keys", "keys.json", *few)
    assert absent.returncode == 2
    assert "--register makes one" in absent.stderr


def test_a_simulation_registers_cameras_in_development_alone(platetrail: Platetrail, tmp_path: Path) -> None:
    register = ("simulate", "--register", "--keys", "keys.json", "--vehicles", "20")
    refused = platetrail(*register, PLATETRAIL_ENVIRONMENT="production")
    assert refused.returncode == 2
    unwritable = platetrail("simulate", "--register", "--keys", "nodir/keys.json", "--vehicles", "20")
    assert (unwritable.returncode, len(unwritable.stderr.splitlines())) == (2, 1)
    assert "the keys' file cannot be written" in unwritable.stderr
    taken = platetrail(*register)  # the demo has registered this world's cameras
    assert taken.returncode == 3
    assert "409" in taken.stderr
    assert not (tmp_path / "keys.json").exists()


def test_a_broker_without_access_control_lists_lets_no_network_in(kafka: Kafka, tmp_path: Path) -> None:
    platetrail = command(tmp_path, {"PLATETRAIL_KAFKA_BOOTSTRAP": kafka.bootstrap})
    refused = platetrail("network", "add", "cli-county", "--password-file", "county.password")
    assert refused.returncode == 3
    said = "it has no authorizer (authorizer.class.name), see docs/operating.md\n"
    assert refused.stderr == f"platetrail: the broker keeps no access control lists: {said}"
    assert not (tmp_path / "county.password").exists()
    listed = platetrail("network", "list")
    assert (listed.returncode, listed.stdout) == (0, "No network is known.\n")


async def test_a_database_is_made_and_migrated(postgres: Postgres, tmp_path: Path) -> None:
    platetrail = command(tmp_path, {"PLATETRAIL_SUPERUSER_URL": postgres.superuser_url()})
    passwords = {role: postgres.url(role).split(":")[2].split("@")[0] for role in roles.LOGINS}
    (tmp_path / "passwords.json").write_text(json.dumps(passwords))
    made = platetrail("db", "init", "--passwords", "passwords.json", "--database", "by_hand")
    assert made.returncode == 0, made.stderr
    again = platetrail("db", "init", "--passwords", "passwords.json", "--database", "by_hand")
    assert again.returncode == 3
    assert (
        "a database of this name exists; --roles-only, with the same file, makes the roles that are new (42P04)"
        in again.stderr
    )
    upgraded = platetrail("db", "init", "--passwords", "passwords.json", "--roles-only")
    assert upgraded.returncode == 0, upgraded.stderr
    for word in passwords.values():
        assert word not in made.stdout + made.stderr + again.stderr

    url = postgres.url(roles.MIGRATE, "by_hand")
    for _ in range(2):
        migrated = platetrail("db", "migrate", PLATETRAIL_DATABASE_URL=url)
        assert migrated.returncode == 0, migrated.stderr
    connection = await asyncpg.connect(url)
    assert not await connection.fetchval("select has_function_privilege('public', 'lo_create(oid)', 'execute')")
    assert await connection.fetchval("select count(*) from pg_tables where schemaname = 'audit'") > 3
    await connection.close()
    refused = platetrail("db", "migrate", PLATETRAIL_DATABASE_URL=url.replace("@", "x@"))
    assert refused.returncode == 3
    assert refused.stderr.endswith("nothing was migrated: the server refuses this user or password (28P01)\n")


async def test_a_database_is_migrated_by_its_own_role_alone(
    fresh_database: Callable[..., Database], tmp_path: Path
) -> None:
    """What another role makes would be another's. A URL may name two users, or none: the server says who it is."""
    database = fresh_database(migrated=False)
    superuser = database.superuser_url
    word = make_url(superuser).password or ""
    platetrail = command(tmp_path, {})
    for url in (superuser, f"{database.url(roles.MIGRATE)}?user=postgres&password={word}"):
        refused = platetrail("db", "migrate", PLATETRAIL_DATABASE_URL=url)
        assert refused.returncode == 2
        assert refused.stderr.endswith("platetrail: PLATETRAIL_DATABASE_URL is not of the role platetrail_migrate\n")
    connection = await asyncpg.connect(superuser)
    assert await connection.fetchval("select to_regnamespace('registry_history')") is None, "nothing was made"
    await connection.close()


async def test_a_database_that_is_not_made_leaves_roles_and_files_as_they_were(
    postgres: Postgres, tmp_path: Path
) -> None:
    def init(url: str, *more: str) -> subprocess.CompletedProcess[str]:
        return command(tmp_path, {"PLATETRAIL_SUPERUSER_URL": url})("db", "init", "--passwords", "new.json", *more)

    def left() -> list[Path]:
        return list(tmp_path.iterdir())

    superuser = postgres.superuser_url()
    wrong = init(superuser.replace("@", "x@"))
    assert wrong.returncode == 3
    said = "platetrail: nothing was made: the server refuses this user or password (28P01)\n"
    assert wrong.stderr == said
    exists = init(superuser, "--database", "postgres")
    assert exists.returncode == 3
    assert "a database of this name exists" in exists.stderr
    weak = init(postgres.url("platetrail_relay"), "--roles-only")
    assert weak.returncode == 3
    assert "not the right" in weak.stderr
    away = init("postgresql://postgres:x@127.0.0.1:9/postgres")
    assert away.returncode == 4
    assert left() == []
    await (await asyncpg.connect(postgres.url("platetrail_relay"))).close()  # its password is what it was

    (tmp_path / "new.json").write_text('{"platetrail_relay": "of an earlier version"}')
    assert init("postgresql://postgres:x@127.0.0.1:9/postgres", "--roles-only").returncode == 2  # no URL-safe text
    (tmp_path / "new.json").write_text('["x"]')
    assert init(superuser).returncode == 2


async def test_the_made_passwords_are_private_and_those_of_the_roles(tmp_path: Path) -> None:
    cluster = postgres_starter.start(tmp_path / "cluster")
    try:
        platetrail = command(tmp_path, {"PLATETRAIL_SUPERUSER_URL": cluster.superuser_url()})
        ran = platetrail("db", "init", "--passwords", "new.json")
        assert ran.returncode == 0, ran.stderr
        assert (tmp_path / "new.json").stat().st_mode & 0o077 == 0
        words = json.loads((tmp_path / "new.json").read_text())
        kept = dict(list(words.items())[:-1])  # as in a file of an earlier version
        (tmp_path / "new.json").write_text(json.dumps(kept))
        assert platetrail("db", "init", "--passwords", "new.json", "--roles-only").returncode == 0
        assert (tmp_path / "new.json").stat().st_mode & 0o077 == 0
        upgraded = json.loads((tmp_path / "new.json").read_text())
        assert kept.items() < upgraded.items()
        for role, word in upgraded.items():
            url = f"postgresql://{role}:{word}@127.0.0.1:{cluster.port}/platetrail"
            await (await asyncpg.connect(url)).close()
    finally:
        cluster.stop()
