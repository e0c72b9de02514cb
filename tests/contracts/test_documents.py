"""The documents of all interfaces are those of this version, valid, and true of real messages."""

import copy
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec
import pytest

import schemas
from schemas import topics
from services.cli import contracts
from services.cli.failures import Failure
from services.demo.places import ROOT

FOLDER: Final = ROOT / contracts.FOLDER
SPEC: Final = msgspec.json.decode((ROOT / "tests/vectors/asyncapi-3.0.0.schema.json").read_bytes())
MESSAGES: Final = sorted((Path(schemas.__file__).parent / "examples").glob("*/v*/*.json"))


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return contracts.documents()


@pytest.fixture
def topics_document(made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return copy.deepcopy(made[contracts.TOPICS])


def test_the_written_documents_are_those_of_this_version(made: dict[str, dict[str, Any]]) -> None:
    """`make contracts` writes them."""
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(made)
    for name, document in made.items():
        assert (FOLDER / name).read_bytes() == contracts.as_text(document), name


def test_nothing_breaks_what_was_promised(made: dict[str, dict[str, Any]]) -> None:
    assert contracts.breaks(FOLDER, made) == []


def test_making_them_again_makes_the_same(made: dict[str, dict[str, Any]]) -> None:
    assert contracts.documents() == made


def test_the_topics_are_a_valid_document(topics_document: dict[str, Any]) -> None:
    jsonschema_rs.validate(SPEC, topics_document)
    assert topics_document["channels"].keys() == set(topics.ALL)
    channels = [operation["channel"]["$ref"] for operation in topics_document["operations"].values()]
    assert {channel.removeprefix("#/channels/") for channel in channels} == set(topics.ALL)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("info", "version"), 1),
        (("channels", "detections", "address"), 7),
        (("channels", "detections", "bindings", "kafka", "partitions"), -1),
        (("operations", "gateway.sends.detections", "action"), "publish"),
        (("components", "schemas", "Candidate", "type"), "thing"),
    ],
)
def test_an_invalid_document_is_found_out(topics_document: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    inner = topics_document
    for step in place[:-1]:
        inner = inner[step]
    assert place[-1] in inner
    inner[place[-1]] = value
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(SPEC, topics_document)


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_a_golden_message_is_what_the_document_says(topics_document: dict[str, Any], path: Path) -> None:
    [message] = topics_document["channels"][path.parent.parent.name]["messages"]
    payload = topics_document["components"]["messages"][message]["payload"]
    schema = payload | {"components": topics_document["components"]}
    value = msgspec.json.decode(path.read_bytes())
    jsonschema_rs.validate(schema, value)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, value | {"v": 99})


def test_documents_are_written_and_a_break_is_refused(
    made: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(contracts, "documents", lambda: made)
    contracts.write(tmp_path)
    contracts.check(tmp_path)
    broken = copy.deepcopy(made)
    del broken["gateway.openapi.json"]["paths"]["/v1/webhooks/axis"]
    monkeypatch.setattr(contracts, "documents", lambda: broken)
    with pytest.raises(Failure, match=r"gateway\.openapi\.json: POST /v1/webhooks/axis: gone"):
        contracts.write(tmp_path)
    assert (tmp_path / "gateway.openapi.json").read_bytes() == contracts.as_text(made["gateway.openapi.json"])
    with pytest.raises(Failure, match="is not of this version: make contracts"):
        contracts.check(tmp_path)
    contracts.write(tmp_path, breaking=True)
    contracts.check(tmp_path)
