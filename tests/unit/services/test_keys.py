"""Keys as services take them: made as docs/operating.md says, and named by their variable if they can't be used."""

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI

from search.audit import keys
from search.audit.errors import KeyFileError
from services import auditing, deadletters, maintain, search
from services.cli import issuer
from services.demo.places import ROOT
from services.settings import Settings

FILES = {
    "audit_private_key_file": "audit.private.pem",
    "audit_public_key_file": "audit.public.pem",
    "lookup_key_file": "lookup.key",
    "cursor_key_file": "cursor.key",
    "token_public_key_file": "token.public.pem",
}
NEEDS: dict[Callable[[Settings], Any], tuple[str, ...]] = {
    search.build: ("audit_public_key_file", "lookup_key_file", "cursor_key_file", "token_public_key_file"),
    auditing.build: ("audit_private_key_file", "lookup_key_file", "token_public_key_file"),
    deadletters.build: ("audit_public_key_file", "lookup_key_file", "token_public_key_file"),
    maintain.build: ("audit_public_key_file",),
}
CASES = [pytest.param(build, name, id=f"{build.__module__}-{name}") for build in NEEDS for name in NEEDS[build]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with every key; nothing listens where the settings below say."""
    keys.make_pair(tmp_path / "audit.private.pem", tmp_path / "audit.public.pem")
    keys.make_secret(tmp_path / "lookup.key")
    keys.make_secret(tmp_path / "cursor.key")
    issuer.make_pair(tmp_path / "token.private.pem", tmp_path / "token.public.pem")
    return tmp_path


def settings_of(folder: Path, build: Callable[[Settings], Any]) -> Settings:
    files = {name: folder / FILES[name] for name in NEEDS[build]}
    return Settings(database_url="postgresql://nobody@127.0.0.1:1/none", **files)  # type: ignore[arg-type]


@pytest.mark.parametrize(("build", "name"), CASES)
@pytest.mark.parametrize(("spoil", "says"), [("unlink", "not readable"), ("overwrite", "not a key")])
def test_a_key_file_that_cannot_be_used_is_told_by_its_variable(
    folder: Path, build: Callable[[Settings], Any], name: str, spoil: str, says: str
) -> None:
    file = folder / FILES[name]
    if spoil == "unlink":
        file.unlink()
    else:
        file.write_text("0b1c2d3e\n")
    with pytest.raises(KeyFileError, match=f"^PLATETRAIL_{name.upper()}: {says}"):
        build(settings_of(folder, build))


def test_a_token_key_of_a_kind_that_is_not_taken_is_told_by_its_variable(folder: Path) -> None:
    other = generate_private_key(SECP256R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "token.public.pem").write_bytes(pem)
    with pytest.raises(KeyFileError, match=r"^PLATETRAIL_TOKEN_PUBLIC_KEY_FILE: not a key of a kind that is taken$"):
        search.build(settings_of(folder, search.build))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the page's commands are openssl's")
def test_services_take_the_keys_that_the_operating_page_makes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    section = page.partition("\n## Keys and tokens\n")[2].partition("\n## ")[0]
    commands = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    made = {file.name for file in tmp_path.iterdir()}
    assert made == set(FILES.values()) - {"token.public.pem"}
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in made} == {0o600}
    private = keys.read_private(tmp_path / "audit.private.pem")
    public = keys.read_public(tmp_path / "audit.public.pem")
    assert private.public_key().public_bytes_raw() == public.public_bytes_raw()
    assert keys.read_secret(tmp_path / "lookup.key") != keys.read_secret(tmp_path / "cursor.key")
    issuer.make_pair(tmp_path / "token.private.pem", tmp_path / "token.public.pem")
    assert isinstance(search.build(settings_of(tmp_path, search.build)), FastAPI)
    assert isinstance(auditing.build(settings_of(tmp_path, auditing.build)), FastAPI)
