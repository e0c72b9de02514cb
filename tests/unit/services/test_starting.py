"""What a process loads at its start: its time to be there, and the tests' too, since they start hundreds."""

import subprocess
import sys
from typing import Final

import pytest

WORKERS: Final = ("counting", "enricher", "health", "inbox", "indexer", "maintain", "matcher", "relay")


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_loads_no_fastapi(name: str) -> None:
    code = f"import sys, services.{name}; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
