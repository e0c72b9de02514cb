"""Every HTTP service keeps its OpenAPI document, on real parts: requests that Schemathesis makes are answered by it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from services.cli import contracts
from services.demo.kafka import Kafka
from services.demo.places import ROOT
from tests.support import fleet
from tests.support.database import Database
from tests.support.fleet import Service

EXAMPLES: Final = 15

NOT_CHECKED: Final = "positive_data_acceptance"
"""A document cannot say that a certificate belongs to its proof, or that a vendor's object is a read: that is 422."""


@pytest.fixture(scope="module")
def services(
    kafka: Kafka, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Service]]:
    with fleet.running(kafka, database, tmp_path_factory.mktemp("fleet")) as found:
        yield found


def schemathesis(service: Service, document: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it, always with the same requests, in a folder of its own."""
    (folder / "schemathesis.toml").write_text(f'headers = {{ Authorization = "{service.authorization}" }}\n')
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"),
        *(str(document), "--url", service.url),
        *("--checks", "all", "--exclude-checks", NOT_CHECKED, "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--continue-on-failure"),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", fleet.LISTENING)
def test_a_service_keeps_its_document(services: dict[str, Service], name: str, tmp_path: Path) -> None:
    document = ROOT / contracts.FOLDER / f"{name}.openapi.json"
    ran = schemathesis(services[name], document, tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    operations = sum(len(item) for item in msgspec.json.decode(document.read_bytes())["paths"].values())
    assert f"Tested: {operations}" in ran.stdout
    for line in services[name].log.read_text().splitlines():
        assert json.loads(line)["event"] != "unhandled"


ANSWERS: Final[dict[str, Any]] = {
    "Undocumented status code": {"204": {"description": "nothing"}},
    "Response violates schema": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}},
    "Undocumented Content-Type": {"200": {"content": {"text/csv": {}}}},
}
"""What a document would have to say of an answer for this to be said of it."""


@pytest.mark.parametrize("says", ANSWERS)
def test_a_document_that_is_not_kept_is_found_out(services: dict[str, Service], tmp_path: Path, says: str) -> None:
    document: Any = msgspec.json.decode((ROOT / contracts.FOLDER / "search.openapi.json").read_bytes())
    listing = document["paths"]["/v1/cameras"]["get"]
    refusals = {status: answer for status, answer in listing["responses"].items() if status != "200"}
    document["paths"] = {"/v1/cameras": {"get": listing | {"responses": refusals | ANSWERS[says]}}}
    (tmp_path / "changed.json").write_bytes(msgspec.json.encode(document))
    ran = schemathesis(services["search"], tmp_path / "changed.json", tmp_path)
    assert ran.returncode == 1
    assert says in ran.stdout, ran.stdout
