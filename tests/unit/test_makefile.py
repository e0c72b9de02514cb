"""`make clean` leaves a running demo alone."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from services.demo.places import ROOT


def clean(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "Makefile", folder)
    return subprocess.run(["make", "--silent", "clean"], cwd=folder, capture_output=True, text=True, check=False)


def test_clean_removes_what_a_demo_left(tmp_path: Path) -> None:
    (tmp_path / ".platetrail").mkdir()
    (tmp_path / ".platetrail" / "lock").touch()
    assert clean(tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_clean_refuses_while_a_demo_runs(tmp_path: Path) -> None:
    (tmp_path / ".platetrail" / "run").mkdir(parents=True)
    with (tmp_path / ".platetrail" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = clean(tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == "A demo is running in .platetrail: stop it first (Ctrl-C there).\n"
    assert (tmp_path / ".platetrail" / "run").exists()
