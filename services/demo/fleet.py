"""The services of the demo: a process each, with its own environment and nothing of another's."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
import msgspec

from services.demo.folder import Folder
from services.demo.places import DEPLOY
from services.demo.process import Child, free_port
from services.demo.servers import Database, Servers

HOST: Final = "127.0.0.1"
READY_S: Final = 120.0
OWNERS_FILE: Final = DEPLOY / "owners.json"

HTTP: Final = ("gateway", "search", "auditing", "deadletters")
ORDER: Final = (
    "maintain", "relay", "gateway", "enricher", "indexer", "matcher", "health", "search", "auditing", "deadletters",
    "counting",
)  # fmt: skip

ROLES: Final = {
    "indexer": "platetrail_ingest",
    "search": "platetrail_search",
    "auditing": "platetrail_auditing",
    "maintain": "platetrail_maintain",
    "relay": "platetrail_relay",
    "health": "platetrail_health",
    "deadletters": "platetrail_deadletters",
}

Environment = dict[str, str]


class Fleet:
    """The running services. Made by `start`."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """Know the ports of the HTTP services."""
        self.ports = dict(ports)
        self.children: dict[str, Child] = {}

    def url(self, name: str) -> str:
        """Return the base URL of an HTTP service."""
        return f"http://{HOST}:{self.ports[name]}"

    def launch(self, environments: Mapping[str, Environment], logs: Path) -> None:
        """Start a process for each environment."""
        for name, environment in environments.items():
            command: list[str | Path] = [sys.executable, "-m", "services.cli", "serve", name]
            log_file = logs / f"{name}.log"
            self.children[name] = Child(name, command, log_file=log_file, env=environment, inherit=False)

    def wait(self) -> None:
        """Wait until every service says that it is ready. Raises ChildError, with the log's last lines."""
        for name, child in self.children.items():
            child.wait_ready(lambda name=name, child=child: self._ready(name, child), READY_S)  # type: ignore[misc]

    def dead(self) -> list[str]:
        """Return the services that have ended."""
        return [name for name, child in self.children.items() if child.returncode is not None]

    def stop(self) -> None:
        """Stop all at once; each drains what it has in hand."""
        if self.children:
            with ThreadPoolExecutor(len(self.children)) as pool:
                list(pool.map(lambda child: child.stop(), self.children.values()))

    def _ready(self, name: str, child: Child) -> bool:
        if name not in HTTP:
            return said_ready(child.output())
        try:
            return httpx.get(self.url(name) + "/readyz", timeout=5.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def said_ready(output: str) -> bool:
    """Tell whether a service's log has the line that says it is ready."""
    return any('"ready"' in line and _event(line) == "ready" for line in output.splitlines())


def _event(line: str) -> object:
    try:
        return msgspec.json.decode(line).get("event")
    except (msgspec.DecodeError, AttributeError):
        return None


def environments(folder: Folder, servers: Servers, ports: Mapping[str, int]) -> dict[str, Environment]:
    """Return each service's own environment: its role's password, the keys that it needs, and no others."""
    keys = {
        "TOKEN_PUBLIC_KEY_FILE": "token.public.pem",
        "AUDIT_PUBLIC_KEY_FILE": "audit.public.pem",
        "AUDIT_PRIVATE_KEY_FILE": "audit.private.pem",
        "LOOKUP_KEY_FILE": "lookup.key",
        "CURSOR_KEY_FILE": "cursor.key",
    }
    stream = {"KAFKA_BOOTSTRAP": servers.bootstrap}
    rules = {"OWNERS_FILE": str(OWNERS_FILE)}

    def having(*names: str) -> Environment:
        return {name: str(folder.key(keys[name])) for name in names}

    special: dict[str, Environment] = {
        "gateway": {**stream, **rules},
        "enricher": {**stream, **rules},
        "indexer": {**stream, **rules},
        "matcher": stream,
        "health": stream,
        "counting": stream,
        "relay": {**stream, **rules},
        "maintain": {**rules, **having("AUDIT_PUBLIC_KEY_FILE")},
        "search": {
            **rules,
            **having("TOKEN_PUBLIC_KEY_FILE", "AUDIT_PUBLIC_KEY_FILE", "LOOKUP_KEY_FILE", "CURSOR_KEY_FILE"),
        },
        "deadletters": {
            **stream,
            **rules,
            **having("TOKEN_PUBLIC_KEY_FILE", "AUDIT_PUBLIC_KEY_FILE", "LOOKUP_KEY_FILE"),
        },
        "auditing": having("TOKEN_PUBLIC_KEY_FILE", "AUDIT_PRIVATE_KEY_FILE", "LOOKUP_KEY_FILE"),
    }
    return {
        name: _with_prefix(_common(name, ports) | _database(name, servers.database) | special[name]) for name in ORDER
    }


def new_ports() -> dict[str, int]:
    """Return a free port for each HTTP service, no two the same."""
    ports: dict[str, int] = {}
    while len(ports) < len(HTTP):
        port = free_port()
        if port not in ports.values():
            ports[HTTP[len(ports)]] = port
    return ports


def _common(name: str, ports: Mapping[str, int]) -> Environment:
    common = {"ENVIRONMENT": "development", "LISTEN_HOST": HOST, "LISTEN_ALL": f'["{HOST}"]'}
    return common | ({"LISTEN_PORT": str(ports[name])} if name in ports else {})


def _database(name: str, database: Database) -> Environment:
    return {"DATABASE_URL": database.url(ROLES[name])} if name in ROLES else {}


def _with_prefix(environment: Environment) -> Environment:
    return {f"PLATETRAIL_{name}": value for name, value in environment.items()}
