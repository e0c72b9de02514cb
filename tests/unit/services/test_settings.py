"""Settings that a service cannot do without: it refuses to start, and says which one is missing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from ingest.adapters.broker import Broker
from schemas.owners import OwnerRules
from services import auditing, deadletters, indexer, maintain, relay, search
from services.cli.serve import SERVICES
from services.demo.places import ROOT
from services.settings import Missing, Settings, Unusable
from tests.support.searching import Keys

SHARED: Final = {"token_public_key_file": "token.pub", "lookup_key_file": "lookup.key"}
FILES: Final[dict[str, dict[str, str]]] = {
    "search": {**SHARED, "audit_public_key_file": "audit.pub", "cursor_key_file": "cursor.key"},
    "auditing": {**SHARED, "audit_private_key_file": "audit.key"},
    "deadletters": {**SHARED, "audit_public_key_file": "audit.pub"},
    "maintain": {"audit_public_key_file": "audit.pub", "owners_file": "owners.json"},
    "relay": {},
    "indexer": {},
}
BUILDERS: Final[dict[str, Callable[[Settings], Any]]] = {
    "search": search.build,
    "auditing": auditing.build,
    "deadletters": deadletters.build,
    "maintain": maintain.build,
    "relay": relay.build,
    "indexer": indexer.build,
}
NEEDS: Final = [(name, setting) for name, files in FILES.items() for setting in ("database_url", *files)]


def settings_of(service: str, folder: Path) -> dict[str, Any]:
    """Return all that a service needs."""
    files = {setting: folder / file for setting, file in FILES[service].items()}
    return {"database_url": "postgresql://nobody@127.0.0.1:9/nothing", **files}


@pytest.mark.parametrize(("service", "setting"), NEEDS)
async def test_each_service_names_the_setting_that_it_lacks(tmp_path: Path, service: str, setting: str) -> None:
    Keys(tmp_path, OwnerRules())
    whole = settings_of(service, tmp_path)
    BUILDERS[service](Settings(**whole))
    whole.pop(setting)
    with pytest.raises(Missing, match=f"^PLATETRAIL_{setting.upper()} is not set$"):
        BUILDERS[service](Settings(**whole))


@pytest.mark.parametrize(("service", "setting"), NEEDS)
def test_the_help_names_every_setting_that_a_service_needs(service: str, setting: str) -> None:
    assert f"PLATETRAIL_{setting.upper()}" in re.findall(r"PLATETRAIL_\w+", SERVICES[service])


@pytest.mark.parametrize("service", ["relay", "search"])
def test_the_log_of_a_service_says_what_is_missing(service: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PLATETRAIL_")}
    argv = [sys.executable, "-m", f"services.{service}"]
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, timeout=120, check=False)
    assert ran.returncode == 1
    last = json.loads(ran.stderr.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("failed", "PLATETRAIL_DATABASE_URL is not set")


@pytest.mark.parametrize("service", ["enricher", "search"])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BATCH_RECORDS", "0secret", "PLATETRAIL_BATCH_RECORDS: Input should be a valid integer"),
        ("BATCH_RECORDS", "0", "PLATETRAIL_BATCH_RECORDS: Input should be greater than or equal to 1"),
        ("BODY_LIMIT_BYTES", "0", "PLATETRAIL_BODY_LIMIT_BYTES: Input should be greater than or equal to 1"),
        ("OUTAGE_LIMIT_S", "nan", "PLATETRAIL_OUTAGE_LIMIT_S: Input should be a finite number"),
        ("PASS_WINDOW_S", "inf", "PLATETRAIL_PASS_WINDOW_S: Input should be a finite number"),
        ("NETWORKS", "secret", '"networks"'),
    ],
)
def test_the_log_of_a_service_says_what_cannot_be_used_and_not_what_it_was(
    service: str, name: str, value: str, told: str
) -> None:
    env = {**os.environ, f"PLATETRAIL_{name}": value}
    argv = [sys.executable, "-m", f"services.{service}"]
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1
    last = json.loads(ran.stderr.splitlines()[-1])
    assert last["event"] == "failed"
    assert told in last["reason"]
    assert "secret" not in ran.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b'{"owner": {}}', "Object contains unknown field `owner`"),
        (
            b'{"owners": {"plains-dot": {"purposes": ["fun"]}}}',
            "Invalid enum value 'fun' - at `$.owners[...].purposes[0]`",
        ),
        (b'{"owners": {"plains-dot": {"days": 0}}}', "an owner's days must be at least 1"),
        (b"{", "Input data was truncated"),
    ],
)
def test_owners_rules_that_cannot_be_used_are_refused_with_the_reason(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "owners.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unusable) as refused:
        Settings(owners_file=file).owner_rules()
    assert str(refused.value) == f"PLATETRAIL_OWNERS_FILE: {told}"


def test_a_service_without_owners_rules_says_what_it_goes_by() -> None:
    with capture_logs() as logs:
        assert Settings().owner_rules() == OwnerRules()
    assert [(line["event"], line["log_level"]) for line in logs] == [("no_owners_file", "warning")]
    assert "PLATETRAIL_OWNERS_FILE is not set" in logs[0]["meaning"]


def test_a_broker_without_authentication_needs_its_address_alone() -> None:
    assert Settings(kafka_bootstrap="broker:9092", kafka_user="unused").broker() == Broker(bootstrap="broker:9092")


def test_a_brokers_password_is_read_from_its_file_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pass word\n")
    broker = Settings(
        kafka_bootstrap="broker:9092", kafka_security="SASL_PLAINTEXT", kafka_user="relay", kafka_password_file=file
    ).broker()
    assert broker.options() == {
        "bootstrap_servers": "broker:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "relay",
        "sasl_plain_password": "pass word",
        "ssl_context": None,
    }
    assert "pass word" not in repr(broker)


@pytest.mark.parametrize("empty", [{"kafka_user": ""}, {"kafka_password_file": None}])
def test_a_broker_that_wants_a_password_is_not_tried_without(empty: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("word")
    given = {"kafka_security": "SASL_SSL", "kafka_user": "relay", "kafka_password_file": file}
    with pytest.raises(Missing, match=f"PLATETRAIL_{next(iter(empty)).upper()} is not set"):
        Settings(**{**given, **empty}).broker()


def test_an_empty_password_is_none(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("\n")
    with pytest.raises(Missing):
        Settings(kafka_security="SASL_PLAINTEXT", kafka_user="relay", kafka_password_file=file).broker()
