"""The search service in tests: its keys and tokens, in this process or as one of its own, and what it recorded."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.entries import Disclosure
from schemas.owners import OwnerRules
from search.audit import keys
from search.audit.secrets import Opener
from services.demo.process import Child, free_port
from services.search import build
from services.settings import Settings
from tests.support.database import Database
from tests.support.wait import until

ISSUER = "https://issuer.test"


class Keys:
    """Every key file of an installation, in one folder, and tokens of its issuer."""

    def __init__(self, folder: Path, rules: OwnerRules) -> None:
        """Make the keys, and a file of the owners' rules beside them."""
        self.folder = folder
        self._signing = Ed25519PrivateKey.generate()
        public = self._signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "token.pub").write_bytes(public)
        (folder / "owners.json").write_bytes(msgspec.json.encode(rules))
        keys.make_pair(folder / "audit.key", folder / "audit.pub")
        keys.make_secret(folder / "lookup.key")
        keys.make_secret(folder / "cursor.key")

    def token(self, person: str = "alex", agency: str = "north", role: str = "investigator", **claims: Any) -> str:
        """Return a token that is valid for ten minutes."""
        now = datetime.now(UTC)
        payload = {
            "iss": ISSUER,
            "aud": "platetrail",
            "sub": person,
            "agency": agency,
            "roles": [role],
            "exp": now + timedelta(minutes=10),
            **claims,
        }
        return jwt.encode(payload, self._signing, algorithm="EdDSA")

    def bearer(self, person: str = "alex", agency: str = "north", role: str = "investigator") -> dict[str, str]:
        """Return the header that names a person."""
        return {"Authorization": f"Bearer {self.token(person, agency, role)}"}

    def settings(self, database: Database) -> dict[str, Any]:
        """Return the settings of the search service."""
        return {
            "database_url": database.url("platetrail_search"),
            "owners_file": self.folder / "owners.json",
            "token_issuer": ISSUER,
            "token_public_key_file": self.folder / "token.pub",
            "audit_public_key_file": self.folder / "audit.pub",
            "lookup_key_file": self.folder / "lookup.key",
            "cursor_key_file": self.folder / "cursor.key",
        }

    def environment(self, database: Database, port: int) -> dict[str, str]:
        """Return the settings as the environment of a process that listens on `port`."""
        values = {**self.settings(database), "listen_port": port}
        return {f"PLATETRAIL_{name.upper()}": str(value) for name, value in values.items()}


@asynccontextmanager
async def in_process(settings: Mapping[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service in this process, without a socket of its own."""
    app = build(Settings(**settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://search") as client,
    ):
        yield client


class Process:
    """The service as a process of its own, on a free port of loopback."""

    def __init__(self, keys_: Keys, database: Database, log_file: Path) -> None:
        """Start it, and wait until its parts answer."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.child = Child(
            "search",
            [sys.executable, "-m", "services.search"],
            log_file=log_file,
            env=keys_.environment(database, self.port),
        )
        self.child.wait_ready(self.ready, 60.0)

    def ready(self) -> bool:
        """Tell whether the service says that its parts answer."""
        try:
            return httpx.get(self.url + "/readyz", timeout=5.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def recover(self) -> None:
        """Wait until the service's parts answer again."""
        until(self.ready, "the search service recovers")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One stored entry: its leaf's content, what it ends, and its private part."""

    index: int
    kind: str
    ends: int | None
    body: dict[str, Any]
    secret: dict[str, Any]


async def recorded(database: Database, folder: Path) -> list[Recorded]:
    """Return the whole log, opened with the auditing process's key."""
    opener = Opener(keys.read_private(folder / "audit.key"))
    connection = await asyncpg.connect(database.url("platetrail_auditing"))
    rows = await connection.fetch(
        "select l.idx, l.kind, l.ends, l.leaf, s.data_key, k.wrapped, s.sealed from audit.leaf l"
        " left join audit.secret s using (idx) left join audit.data_key k on k.id = s.data_key order by l.idx"
    )
    await connection.close()
    return [
        Recorded(
            index=row["idx"],
            kind=row["kind"],
            ends=row["ends"],
            body=msgspec.json.decode(row["leaf"]),
            secret={item.field: item.value for item in _opened(opener, row)},
        )
        for row in rows
    ]


def _opened(opener: Opener, row: Any) -> tuple[Disclosure, ...]:
    if row["sealed"] is None:
        return ()
    return opener.open(row["data_key"], row["wrapped"], row["sealed"], row["leaf"])


def open_questions(log: list[Recorded]) -> list[int]:
    """Return the intents and pages that have no end."""
    ended = {entry.ends for entry in log}
    return [entry.index for entry in log if entry.kind in ("intent", "page") and entry.index not in ended]
