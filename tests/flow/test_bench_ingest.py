"""The benchmark of the streams runs and says what it should: how fast they are, is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.demo.places import ROOT
from tests.bench.ingest import growth
from tests.bench.ingest.__main__ import CASES
from tests.bench.ingest.growth import Size
from tests.bench.ingest.load import plate


def test_every_case_is_measured_beside_its_yardstick() -> None:
    command = [sys.executable, "-m", "tests.bench.ingest", "--quick", "--growth", "0.001,0.003"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert [one["case"] for one in told] == [*CASES, "growth_0.003M"]
    for one in told:
        assert list(one) == ["bench", "case", "value", "unit", "yardstick", "ratio", "n", "spread"]
        assert (one["bench"], one["n"]) == ("ingest", 1)
        assert one["value"] > 0
        assert one["yardstick"] > 0
        assert one["ratio"] > 0
    for part in ("broker", "postgres", "enricher", "indexer", "load"):
        assert f"{part} " in ran.stdout


def test_an_index_that_has_no_room_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(100 * 10**6)
    monkeypatch.setattr(growth, "_free", lambda _: 2**30)
    assert not growth.fits(tmp_path / "keep", size)
    assert "--keep" in growth.what_to_do(tmp_path / "keep", size)
    assert growth.fits(tmp_path / "keep", Size(1000))


def test_no_two_vehicles_of_a_load_share_a_plate() -> None:
    assert len({plate(number) for number in range(100_000)}) == 100_000
