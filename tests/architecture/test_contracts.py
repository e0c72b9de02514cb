"""The import contracts can fail: each is broken on purpose, in a copy, and lint-imports names it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.demo.places import ROOT

# Which import, appended to which module of the copy, breaks which contract.
BREAKS = {
    "1a": ("schemas/planted.py", "import ingest.errors"),
    "1b": ("search/audit/planted.py", "import search.errors"),
    "2a": ("services/planted.py", "import services.demo.kafka"),
    "2b": ("search/planted.py", "import search.adapters"),
    "3": ("search/ports.py", "import search.policy"),
    "4a": ("ingest/normalise.py", "import asyncio"),
    "4b": ("schemas/plate.py", "import sqlalchemy"),
    "5a": ("services/planted.py", "import faust"),
    "5b": ("search/planted.py", "import fastapi"),
    "5c": ("services/planted.py", "import asyncpg"),
    "5d": ("search/planted.py", "import schemas.tables"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("schemas", "ingest", "search", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _lint(folder: Path) -> dict[str, str]:
    """Return each contract's number with its verdict, in a folder."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    return dict(re.findall(r"^(\d\w?) .* (KEPT|BROKEN)", done.stdout, flags=re.MULTILINE))


def test_the_copy_keeps_every_contract(copy: Path) -> None:
    assert _lint(copy) == dict.fromkeys(BREAKS, "KEPT")


def test_a_planted_import_breaks_every_contract(copy: Path) -> None:
    for module, statement in BREAKS.values():
        with (copy / module).open("a") as file:
            file.write(f"\n{statement}\n")
    assert _lint(copy) == dict.fromkeys(BREAKS, "BROKEN")
