"""A demo run as a user runs it: a process of its own, its output in a file, everything below one temporary folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from services.demo.places import ROOT, cache_folder
from tests.support.wait import until

START_S = 300.0
STAYING = "Ctrl-C stops it"
SERVERS_UP = "Apache Kafka and PostgreSQL"
SERVICES_UP = "The services"


class DemoRun:
    """One run of `platetrail demo`. Its HOME, TMPDIR and working folder are empty folders, to see what it leaves."""

    def __init__(self, base: Path, *arguments: str, **variables: str) -> None:
        """Start it below `base`, where an earlier run may have been, with more environment variables."""
        self.home = base / "state"
        self.elsewhere = [base / "home", base / "tmp", base / "work"]
        for folder in self.elsewhere:
            folder.mkdir(exist_ok=True)
        self._output = base / "output.txt"
        home, tmp, work = map(str, self.elsewhere)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PLATETRAIL_", "PYTEST_"))}
        env = plain | {
            "HOME": home,
            "TMPDIR": tmp,
            "XDG_CACHE_HOME": str(cache_folder().parent),
            "PLATETRAIL_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            **variables,
        }
        with self._output.open("wb") as out:
            command = [sys.executable, "-m", "services.cli", "demo", *arguments]
            self._process = subprocess.Popen(
                command, cwd=work, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The demo's own process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """Return what it has printed so far."""
        return self._output.read_text()

    def until(self, text: str) -> None:
        """Wait until it has printed a text. Fails, with its output, if it ends before."""
        until(lambda: text in self.output() or not self.alive, f"the demo prints {text!r}", START_S)
        assert text in self.output(), self.output()

    def family(self) -> list[psutil.Process]:
        """Return it and everything that it started."""
        own = psutil.Process(self.pid)
        return [own, *own.children(recursive=True)]

    def service(self, name: str) -> psutil.Process:
        """Return the process of a service."""
        (found,) = (one for one in self.family() if _command(one)[-2:] == ["serve", name])
        return found

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal, as a terminal or a supervisor would, and return its exit code."""
        if self.alive:
            os.kill(self.pid, number)
        return self._process.wait(120)

    def wait(self) -> int:
        """Wait for its end by itself and return its exit code."""
        return self._process.wait(START_S)

    def environment(self) -> dict[str, str]:
        """Return the variables that the demo offers to whoever wants to try it by hand."""
        script = f"source {self.home}/run/environment; env -0"
        ran = subprocess.run(["bash", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
        pairs = (line.split("=", 1) for line in ran.stdout.decode().split("\0") if line)
        return {name: value for name, value in pairs if name.startswith(("PLATETRAIL_", "PATH"))}


def _command(process: psutil.Process) -> list[str]:
    """Return a process's command line; of one that ends at this moment (as PostgreSQL's own do), nothing."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def lives(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that only waits to be collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
