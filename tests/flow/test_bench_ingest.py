"""The benchmark of the streams runs and says what it should: how fast they are, is no test's business."""

import json
import subprocess
import sys

from services.demo.places import ROOT
from tests.bench.ingest.__main__ import CASES


def test_every_case_is_measured_beside_its_yardstick() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.ingest", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert [one["case"] for one in told] == list(CASES)
    for one in told:
        assert list(one) == ["bench", "case", "value", "unit", "yardstick", "ratio", "n", "spread"]
        assert (one["bench"], one["n"]) == ("ingest", 1)
        assert one["value"] > 0
        assert one["yardstick"] > 0
        assert one["ratio"] > 0
    for part in ("broker", "postgres", "enricher", "indexer", "load"):
        assert f"{part} " in ran.stdout
