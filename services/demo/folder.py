"""The demo's folder: what a run needs is made anew and taken away at its end; the logs stay."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.migrations import roles
from search.audit import keys as audit_keys
from services.cli import issuer
from services.cli.failures import UNAVAILABLE, Failure


class Folder:
    """The files of one run. `run` holds data and secrets (0700) and goes at the end; `logs` stays."""

    def __init__(self, home: Path) -> None:
        """Know the places; nothing is made yet."""
        self.home = home
        self.logs = home / "logs"
        self.run = home / "run"
        self.keys = home / "run" / "keys"
        self.environment = home / "run" / "environment"
        self.receipt = home / "run" / "receipt.json"
        self.truth = home / "run" / "truth.jsonl"
        self.camera_keys = home / "run" / "camera-keys.json"
        self.passwords: dict[str, str] = {}

    def key(self, name: str) -> Path:
        """Return where a key is."""
        return self.keys / name

    def prepare(self) -> None:
        """Remove what an earlier run left, and make this run's keys and passwords."""
        for old in (self.run, self.logs):
            shutil.rmtree(old, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.run.mkdir(mode=0o700)
        self.keys.mkdir(mode=0o700)
        self.passwords = {role: secrets.token_urlsafe(24) for role in roles.LOGINS}
        issuer.make_pair(self.key("token.private.pem"), self.key("token.public.pem"))
        audit_keys.make_pair(self.key("audit.private.pem"), self.key("audit.public.pem"))
        audit_keys.make_secret(self.key("lookup.key"))
        audit_keys.make_secret(self.key("cursor.key"))

    def clear(self) -> None:
        """Remove this run's data and secrets."""
        shutil.rmtree(self.run, ignore_errors=True)


@contextmanager
def claimed(home: Path) -> Iterator[Folder]:
    """Hold the folder for one run at a time. Raises Failure if another run holds it."""
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(f"a demo is running already in {home}: stop it first (Ctrl-C there)", UNAVAILABLE) from None
    else:
        folder = Folder(home)
        folder.prepare()
        try:
            yield folder
        finally:
            folder.clear()
    finally:
        os.close(descriptor)
