"""The command line by itself: help that teaches, errors of one line, secrets that never stand in an argument list."""

import io
import json
import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, get_args

import httpx
import pytest
import typer

from ingest.replay import Result
from schemas.migrations.roles import LOGINS
from schemas.queries import PURPOSES
from search.identity import Verifier
from services.cli import options
from services.cli.app import build, run
from services.cli.client import explain
from services.cli.db import completed
from services.cli.deadletters import RESULTS
from services.cli.failures import REFUSED, Failure
from services.cli.search import PurposeName
from services.cli.secret_file import claimed
from services.demo.fleet import ORDER
from services.demo.places import ROOT
from services.settings import Settings


class Ran(NamedTuple):
    code: object
    out: str
    err: str


class Runner:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            run(list(arguments))
        return Ran(ended.value.code or 0, *self._capsys.readouterr())


@pytest.fixture
def platetrail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    for name in [name for name in os.environ if name.startswith("PLATETRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    return Runner(capsys)


def commands() -> list[list[str]]:
    app = build()
    found = [[info.name or ""] for info in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += [[group.name or "", info.name or ""] for info in group.typer_instance.registered_commands]
    return found


def test_every_command_is_there() -> None:
    names = {" ".join(words) for words in commands()}
    assert names == {
        "demo",
        "simulate",
        "token",
        "search trajectory",
        "camera add",
        "camera list",
        "camera retire",
        "camera show",
        "camera change",
        "camera rotate-key",
        "camera import",
        "deadletters list",
        "deadletters show",
        "deadletters replay",
        "camera export",
        "camera health",
        "audit list",
        "audit verify",
        "db init",
        "db migrate",
        "contracts write",
        "contracts check",
        "network add",
        "network list",
        "network remove",
        "serve inbox",  # the demo has no network
        *(f"serve {name}" for name in ORDER),
    }


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_teaches(platetrail: Runner, words: Sequence[str]) -> None:
    ran = platetrail(*words, "--help")
    assert ran.code == 0
    assert "Reads PLATETRAIL_" in ran.out if words[0] == "serve" else f"platetrail {' '.join(words)}" in ran.out
    if words[0] != "serve":
        assert "Example" in ran.out


def test_the_first_help_names_the_first_steps_and_the_exit_codes(platetrail: Runner) -> None:
    ran = platetrail("--help")
    assert ran.code == 0
    assert "platetrail demo" in ran.out
    assert "Exit codes: 0 done; 1 checked" in ran.out
    listed = ("demo", "search", "camera", "deadletters", "audit", "serve", "db", "token", "simulate")
    places = [ran.out.index(f"│ {name} ") for name in listed]
    assert places == sorted(places)


@pytest.mark.parametrize("words", [(), ("serve",)])
def test_help_says_where_all_settings_are(platetrail: Runner, words: Sequence[str]) -> None:
    assert "names the settings that it needs; docs/operating.md has all" in " ".join(
        platetrail(*words, "--help").out.replace("│", " ").split()
    )


def test_the_operators_page_has_every_setting() -> None:
    named = set(re.findall(r"`(?:PLATETRAIL_)?([A-Z_]+)", (ROOT / "docs" / "operating.md").read_text()))
    assert {name.upper() for name in Settings.model_fields} <= named


def test_the_command_line_knows_every_purpose() -> None:
    assert {one.value for one in PurposeName} == set(PURPOSES)


QUESTION = ("search", "trajectory", "--purpose", "stolen_vehicle", "--authority", "none", "--url", "http://127.0.0.1:9")


@pytest.mark.parametrize("option", ["--plate", "--case", "--reference", "--note"])
def test_what_a_question_is_about_is_not_taken_from_the_command_line(platetrail: Runner, option: str) -> None:
    ran = platetrail(*QUESTION, option, "XQ7O41")
    assert ran.code == 2
    assert "does not belong on a command line" in ran.err
    assert "XQ7O41" not in ran.err


def test_without_a_token_nothing_is_asked(platetrail: Runner) -> None:
    ran = platetrail(*QUESTION)
    assert ran.code == 2
    assert ran.err.strip() == "platetrail: no token: set PLATETRAIL_TOKEN, or name a file with --token-file"


def test_an_empty_standard_input_is_no_plate(platetrail: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATETRAIL_TOKEN", "x")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = platetrail(*QUESTION)
    assert ran.code == 2
    assert "no plate was given" in ran.err


@pytest.mark.parametrize("command", [("audit", "list", "--user", "ada"), ("audit", "list", "--case", "24-1")])
def test_users_and_cases_are_not_taken_from_the_command_line(platetrail: Runner, command: tuple[str, ...]) -> None:
    ran = platetrail(*command, "--url", "http://127.0.0.1:9", "--token-file", os.devnull)
    assert ran.code == 2


def test_unusable_settings_are_named_and_not_shown(platetrail: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATETRAIL_LISTEN_PORT", "secret-text")
    ran = platetrail("db", "migrate")
    assert ran.code == 2
    assert ran.err.strip() == "platetrail: unusable settings: PLATETRAIL_LISTEN_PORT (int_parsing)"


@pytest.mark.parametrize(
    "url",
    [
        "secret nonsense",
        "postgresql://platetrail_migrate:secret@host:port/x",
        "postgres://platetrail_migrate:secret@127.0.0.1:9/x",
    ],
)
def test_what_is_no_url_of_a_database_is_said_to_be_none(
    platetrail: Runner, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PLATETRAIL_DATABASE_URL", url)
    ran = platetrail("db", "migrate")
    assert ran.code == 2
    assert ran.err == "platetrail: PLATETRAIL_DATABASE_URL is no URL that begins with postgresql://\n"


CHANGE = ("camera", "change", "gate-1", "--url", "http://127.0.0.1:9", "--token-file", os.devnull)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "name what is to change"),
        (("--lanes", "2", "--unset", "lanes"), "set and unset at once"),
        (("--active-from", "2026-01-01"), "needs its offset"),
        (("--unset", "camera_id"), "--unset"),
    ],
)
def test_a_change_that_means_nothing_is_not_sent(platetrail: Runner, more: tuple[str, ...], said: str) -> None:
    ran = platetrail(*CHANGE, *more)
    assert ran.code == 2
    assert said in ran.err


def test_keys_of_an_import_go_into_a_new_file(platetrail: Runner, tmp_path: Path) -> None:
    (tmp_path / "cameras.csv").write_text("camera_id,name\n")
    (tmp_path / "old.csv").write_text("precious")
    (tmp_path / "token").write_text("x")
    token = ("--token-file", str(tmp_path / "token"), "--url", "http://127.0.0.1:9")
    words = ("camera", "import", str(tmp_path / "cameras.csv"), *token)
    assert platetrail(*words).code == 2
    ran = platetrail(*words, "--keys", str(tmp_path / "old.csv"))
    assert (ran.code, (tmp_path / "old.csv").read_text()) == (2, "precious")
    assert "never overwritten" in ran.err


ADD = ("camera", "add", "gate-1", "--name", "x", "--latitude", "39.7", "--longitude", "-105.2", "--timezone", "UTC")
NOBODY = ("--url", "http://127.0.0.1:9")


@pytest.mark.parametrize("command", [ADD, ("camera", "rotate-key", "gate-1")], ids=["add", "rotate-key"])
def test_a_key_that_cannot_be_written_is_not_asked_for(
    platetrail: Runner, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "token").write_text("x")
    words = (*command, *NOBODY, "--token-file", str(tmp_path / "token"), "--key-file")
    ran = platetrail(*words, str(tmp_path / "nodir" / "x.key"))
    assert (ran.code, ran.err) == (2, "platetrail: the key's file cannot be written (FileNotFoundError)\n")
    ran = platetrail(*words, str(tmp_path))
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_a_new_camera_never_takes_another_ones_key_file(platetrail: Runner, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "n.key").write_text("precious")
    ran = platetrail(*ADD, *NOBODY, "--token-file", str(tmp_path / "token"), "--key-file", str(tmp_path / "n.key"))
    assert (ran.code, (tmp_path / "n.key").read_text()) == (2, "precious")
    assert "never overwritten" in ran.err


@pytest.mark.parametrize("old", [None, "old and longer"])
def test_a_secret_is_in_its_file_for_its_owner_alone(tmp_path: Path, old: str | None) -> None:
    file = tmp_path / "x"
    if old is not None:
        file.write_text(old)
        file.chmod(0o644)
    with claimed(file, "it", replace=True) as write:
        write("new\n")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"x": "new\n"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("files", [{}, {"x": "old"}], ids=["none", "old"])
def test_a_request_that_fails_leaves_files_as_they_were(tmp_path: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    def refused() -> None:
        with claimed(tmp_path / "x", "it", replace=True):
            assert len(list(tmp_path.iterdir())) == len(files) + 1  # it can be written
            raise Failure("no", REFUSED)

    with pytest.raises(Failure, match="no"):
        refused()
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == files


NOW = datetime(2026, 7, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("90m", NOW - timedelta(minutes=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-07-01T08:00:00-06:00", datetime(2026, 7, 1, 8, tzinfo=timezone(-timedelta(hours=6)))),
        ("2026-07-01T08:00:00Z", datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ],
)
def test_moments_are_understood(text: str, at: datetime) -> None:
    found = options.moment(text, NOW)
    assert found == at
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["2026-07-01T08:00:00", "yesterday", "7", "-7d", "2026-07-01"])
def test_moments_without_an_offset_or_meaning_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.moment(text, NOW)


def test_private_files_are_private_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("old and longer")
    file.chmod(0o644)
    options.write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_problem_becomes_one_line() -> None:
    body = {
        "status": 422,
        "title": "Unusable",
        "detail": "No.",
        "errors": [{"pointer": "/window/to", "detail": "late"}],
    }
    answer = httpx.Response(422, content=json.dumps(body))
    assert explain("search", answer) == "the search service answered 422: No. [window.to: late]"
    assert explain("search", httpx.Response(502, text="<html>")) == "the search service answered 502: Bad Gateway"
    assert "PLATETRAIL_TOKEN" in explain("search", httpx.Response(401))


@pytest.fixture
def development(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PLATETRAIL_ENVIRONMENT", "development")
    monkeypatch.setenv("PLATETRAIL_TOKEN_PRIVATE_KEY_FILE", str(tmp_path / "private.pem"))
    monkeypatch.setenv("PLATETRAIL_TOKEN_PUBLIC_KEY_FILE", str(tmp_path / "public.pem"))
    return tmp_path


TOKEN = ("token", "--person", "ada", "--agency", "copper-mesa-so", "--role", "investigator", "--role", "auditor")


def test_the_local_issuer_warns_and_its_token_is_valid(platetrail: Runner, development: Path) -> None:
    ran = platetrail(*TOKEN, "--new-key")
    assert ran.code == 0
    assert "DEVELOPMENT ISSUER" in ran.err
    settings = Settings()
    verifier = Verifier(
        (development / "public.pem").read_bytes(), issuer=settings.token_issuer, audience=settings.token_audience
    )
    asker = verifier.verify(ran.out.strip())
    assert (asker.person, asker.agency) == ("ada", "copper-mesa-so")
    assert asker.roles == {"investigator", "auditor"}
    assert stat.S_IMODE((development / "private.pem").stat().st_mode) == 0o600
    again = platetrail(*TOKEN, "--new-key")
    assert again.code == 2
    assert "never overwritten" in again.err
    assert again.out == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLATETRAIL_ENVIRONMENT", "production"),
        ("PLATETRAIL_LISTEN_HOST", "0.0.0.0"),
        ("PLATETRAIL_LISTEN_ALL", '["127.0.0.1", "192.0.2.7"]'),
        ("PLATETRAIL_LISTEN_ALL", '["some-host.example"]'),
    ],
)
def test_the_local_issuer_refuses_outside_development(
    platetrail: Runner, development: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert platetrail(*TOKEN, "--new-key").code == 0
    monkeypatch.setenv(name, value)
    ran = platetrail(*TOKEN)
    assert ran.code == 2
    assert ran.out == ""
    assert "the local issuer works only" in ran.err


def test_the_environment_must_be_named(platetrail: Runner, development: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLATETRAIL_ENVIRONMENT")
    assert platetrail(*TOKEN).code == 2


def test_missing_passwords_of_roles_are_random_and_others_are_kept() -> None:
    words = completed({}, LOGINS)
    assert words.keys() == LOGINS.keys()
    assert len(set(words.values())) == len(words)
    kept = dict(list(words.items())[:-1])
    again = completed(kept, LOGINS)
    assert again.keys() == LOGINS.keys()
    assert kept.items() < again.items()


def test_passwords_that_cannot_be_written_are_given_to_no_role(
    platetrail: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLATETRAIL_SUPERUSER_URL", "postgresql://postgres:x@127.0.0.1:9/postgres")
    ran = platetrail("db", "init", "--passwords", str(tmp_path / "nodir" / "r.json"))
    assert (ran.code, ran.err) == (2, "platetrail: the passwords' file cannot be written (FileNotFoundError)\n")


def test_whatever_becomes_of_a_dead_letter_has_words() -> None:
    assert set(RESULTS) == set(get_args(Result))


def test_a_note_is_not_taken_from_the_command_line(platetrail: Runner) -> None:
    ran = platetrail("deadletters", "replay", "--reason", "poisoned", "--note", "XQ7O41", "--url", "http://127.0.0.1:9")
    assert ran.code == 2
    assert "does not belong on a command line" in ran.err
    assert "XQ7O41" not in ran.err
