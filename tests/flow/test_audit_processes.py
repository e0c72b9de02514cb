"""Auditing and maintain as processes of their own: ready, under their own role, and ending when told to."""

import sys
from pathlib import Path

import asyncpg
import httpx

from search.audit import keys
from services.cli import issuer
from services.demo.process import Child, free_port
from tests.support.database import Database
from tests.support.wait import until


def environment(database: Database, folder: Path, role: str) -> dict[str, str]:
    """Make keys, and return what a service of this role is told."""
    if not (folder / "audit.public.pem").exists():
        keys.make_pair(folder / "audit.private.pem", folder / "audit.public.pem")
        keys.make_secret(folder / "lookup.key")
        issuer.make_pair(folder / "token.private.pem", folder / "token.public.pem")
        (folder / "owners.json").write_text("{}")
    return {
        "PLATETRAIL_DATABASE_URL": database.url(role),
        "PLATETRAIL_OWNERS_FILE": str(folder / "owners.json"),
        "PLATETRAIL_AUDIT_PUBLIC_KEY_FILE": str(folder / "audit.public.pem"),
        "PLATETRAIL_AUDIT_PRIVATE_KEY_FILE": str(folder / "audit.private.pem"),
        "PLATETRAIL_LOOKUP_KEY_FILE": str(folder / "lookup.key"),
        "PLATETRAIL_TOKEN_PUBLIC_KEY_FILE": str(folder / "token.public.pem"),
    }


def start(name: str, env: dict[str, str], folder: Path, *arguments: str) -> Child:
    command: list[str | Path] = [sys.executable, "-m", f"services.{name}", *arguments]
    return Child(name, command, log_file=folder / f"{name}.log", env=env)


def test_maintain_once_makes_the_days_and_ends(database: Database, tmp_path: Path) -> None:
    child = start("maintain", environment(database, tmp_path, "platetrail_maintain"), tmp_path, "--once")
    try:
        until(lambda: child.returncode is not None, "one round is done")
    finally:
        child.stop()
    assert child.returncode == 0, child.tail()
    assert '"ready"' in child.output()
    assert database.url("platetrail_maintain").split("@")[0] not in child.output()


def test_maintain_goes_on_until_it_is_told_to_end(database: Database, tmp_path: Path) -> None:
    child = start("maintain", environment(database, tmp_path, "platetrail_maintain"), tmp_path)
    child.wait_ready(lambda: '"ready"' in child.output(), 60)
    child.stop()
    assert child.returncode == 0, child.tail()


def test_maintain_fails_without_its_key_or_its_database(database: Database, tmp_path: Path) -> None:
    env = environment(database, tmp_path, "platetrail_maintain")
    without_key = env | {"PLATETRAIL_AUDIT_PUBLIC_KEY_FILE": str(tmp_path / "missing.pem")}
    without_database = env | {"PLATETRAIL_DATABASE_URL": f"postgresql://x:y@127.0.0.1:{free_port()}/z"}
    for number, broken in enumerate((without_key, without_database)):
        folder = tmp_path / str(number)
        child = start("maintain", broken, folder, "--once")
        try:
            until(lambda child=child: child.returncode is not None, "it has given up")  # type: ignore[misc]
        finally:
            child.stop()
        assert child.returncode == 1, child.tail()
        assert '"ready"' not in child.output()


async def roles_connected(database: Database) -> set[str]:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        rows = await connection.fetch(
            "select usename::text as name from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            database.name,
        )
    finally:
        await connection.close()
    return {row["name"] for row in rows}


async def test_auditing_serves_under_its_own_role_and_ends(database: Database, tmp_path: Path) -> None:
    port = free_port()
    env = environment(database, tmp_path, "platetrail_auditing") | {"PLATETRAIL_LISTEN_PORT": str(port)}
    child = start("auditing", env, tmp_path)
    try:
        child.wait_ready(lambda: '"ready"' in child.output(), 60)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get("/v1/audit/entries")).status_code == 401
            paths = (await client.get("/openapi.json")).json()["paths"]
        assert set(paths) == {"/v1/audit/entries", "/v1/audit/entries/query"}
        assert await roles_connected(database) == {"platetrail_auditing"}
    finally:
        child.stop()
    assert child.returncode == 0, child.tail()
    assert "release level L0" in child.output()
