"""The import contracts can fail, and their patterns match something.

Each contract is broken on purpose, in a copy, and lint-imports names it.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grimp
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

# Which patterns match no module yet, and what they are for: the house's tree has a place for each.
LATER = {
    "*.law": "rules of jurisdictions as data",
    "search.law": "the same, as a layer",
    "search.*.note": "the log's signed notes",
    "search.*.checkpoint": "the log's signed size and root hash",
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


def _patterns(contract: Mapping[str, Any]) -> Iterator[str]:
    """Yield every pattern of modules that a contract has."""
    for key in ("source_modules", "forbidden_modules", "protected_modules", "allowed_importers"):
        yield from contract.get(key, [])
    for ignored in contract.get("ignore_imports", []):
        yield from ignored.split(" -> ")
    within = [f"{container}." for container in contract.get("containers", [])] or [""]
    for layer in contract.get("layers", []):
        yield from (start + name for start in within for name in re.findall(r"[\w.]+", layer))


def test_every_pattern_of_a_contract_matches_a_module() -> None:
    """One that matches none holds nobody to anything: its module has another name, or another place."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    ours = linter["root_packages"]
    graph = grimp.build_graph(*ours, cache_dir=None)
    patterns = {pattern for contract in linter["contracts"] for pattern in _patterns(contract)}
    # What others have made may be forbidden though nobody imports it.
    named = [pattern for pattern in patterns if pattern.split(".")[0] in {"*", *ours}]
    assert {pattern for pattern in named if not graph.find_matching_modules(pattern)} == LATER.keys()
