"""Child processes that leave no orphans: a log file each, readiness, an ordered stop, and an end when we die."""

import contextlib
import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

LAUNCH = Path(__file__).with_name("launch.py")
POLL_S = 0.05
PLAIN = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""What a process needs of an environment to run at all: no setting of ours, and nobody's secrets."""


class ChildError(Exception):
    """A child process did not start, or did not get ready. The text holds the last lines of its log."""


class Child:
    """One child process in a session of its own, so that Ctrl-C in the terminal reaches us alone.

    Its output goes to `log_file`, appended. When we die, by `kill -9` too, the kernel sends it `orphan_signal` (Linux).
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        inherit: bool = True,
    ) -> None:
        """Start the program; `env` is added to our own environment, or, if not `inherit`, to `PLAIN` of it alone."""
        self.name = name
        self.log_file = log_file
        self.stop_signal = stop_signal
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_offset = log_file.stat().st_size if log_file.exists() else 0
        launcher = [sys.executable, "-I", "-S", LAUNCH, str(int(orphan_signal)), str(os.getpid())]
        command = [str(part) for part in (*launcher, *argv)]
        ours = os.environ if inherit else {name: os.environ[name] for name in PLAIN if name in os.environ}
        whole_env = {**ours, **(env or {})}
        with log_file.open("ab") as log:
            start = functools.partial(
                subprocess.Popen[bytes],
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=whole_env,
                cwd=cwd,
                start_new_session=True,
            )
            self._process = _starter().submit(start).result()

    @property
    def pid(self) -> int:
        """The process id: the launcher's, which became the program."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit code, or minus the signal that ended it."""
        return self._process.poll()

    def output(self) -> str:
        """Return what the log file holds since this start."""
        with self.log_file.open("rb") as log:
            log.seek(self.log_offset)
            return log.read().decode(errors="replace")

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Poll `probe` until it is true. Raises ChildError if it ends first, or, killed, is too slow."""
        limit = time.monotonic() + timeout_s
        while not probe():
            if self.returncode is not None:
                raise ChildError(f"{self.name} ended with {self.returncode} before it was ready.\n{self.tail()}")
            if time.monotonic() > limit:
                self.kill()
                raise ChildError(f"{self.name} was not ready within {timeout_s:.0f} s.\n{self.tail()}")
            time.sleep(POLL_S)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Ask it to end; after `timeout_s` end it. Does nothing if it has ended."""
        if self.returncode is not None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and its process group with SIGKILL, and wait for its end."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """Return the last lines of its output, for an error's text."""
        lines = self.output().splitlines()[-25:]
        return "\n".join([f"Last lines of {self.log_file}:", *(f"  {line}" for line in lines)])


def stop_all(children: Iterable[Child]) -> None:
    """Stop children in the reverse of the order in which they are given: that of their start."""
    for child in reversed(list(children)):
        child.stop()


_GIVEN: Final[set[int]] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on, and that was not returned before: whoever asked may not listen yet.

    Taken from below the range that the kernel hands to outgoing connections, so that a server which is restarted on
    its port does not find a client's connection on it.
    """
    for _ in range(200):
        port = 15_000 + secrets.randbelow(15_000)  # whatever a test has made of `random`
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            _GIVEN.add(port)
            return port
    raise ChildError(f"no free port was found on {host}")


def port_answers(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def run(name: str, argv: Sequence[str | Path], *, log_file: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program to its end, its output into `log_file`. Raises ChildError with its last lines if it fails."""
    child = Child(name, argv, log_file=log_file, env=env)
    while child.returncode is None:
        time.sleep(POLL_S)
    if child.returncode != 0:
        raise ChildError(f"{name} ended with {child.returncode}.\n{child.tail()}")


@functools.cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts children: the kernel takes the death of the starting *thread* for the parent's."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")
