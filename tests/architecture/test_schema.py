"""The migrated schema is the one that `tables.py` states, and every named statement fits it, as its own role."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, pool
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import create_async_engine

from ingest.adapters import sql
from schemas.migrations import roles
from schemas.migrations.run import HISTORY_SCHEMA
from schemas.tables import METADATA
from tests.support.database import Database

ROOT: Final = Path(__file__).resolve().parents[2]

ROLES: Final = {
    "ingest.adapters.sql": "platetrail_ingest",
    "search.adapters.sql": "platetrail_search",
    "search.audit.adapters.sql": "platetrail_auditing",
}
"""Whose statements a module holds, but for those that it lists under another role's name."""

OTHERS: Final = {
    "MAINTAINING": "platetrail_maintain",
    "RELAYING": "platetrail_relay",
    "WATCHING": "platetrail_health",
}


def statements() -> Iterator[tuple[str, str, str]]:
    """Yield (role, name, text) of every named statement."""
    for file in sorted(ROOT.glob("*/**/adapters/sql.py")):
        if ".venv" in file.parts:
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        yield from _statements_of(importlib.import_module(name), ROLES[name])


def _statements_of(module: ModuleType, owner: str) -> Iterator[tuple[str, str, str]]:
    other = {name: role for listed, role in OTHERS.items() for name in getattr(module, listed, ())}
    for name, value in vars(module).items():
        if name.isupper() and isinstance(value, str):
            yield other.get(name, owner), f"{module.__name__}.{name}", value
    for name in getattr(module, "APPENDING", ()):
        for role in roles.APPENDING:
            yield role, f"{module.__name__}.{name}", getattr(module, name)


STATEMENTS: Final = list(statements())


def test_statements_were_found() -> None:
    assert {name.rpartition(".")[0] for _, name, _ in STATEMENTS} == set(ROLES)
    assert len(STATEMENTS) > 20


@pytest.mark.parametrize(("role", "name", "text"), STATEMENTS, ids=[f"{name}-{role}" for role, name, _ in STATEMENTS])
async def test_every_statement_is_one_that_its_role_may_prepare(
    database: Database, role: str, name: str, text: str
) -> None:
    connection = await asyncpg.connect(database.url(role))
    try:
        if name in {"ingest.adapters.sql.UPSERT", "ingest.adapters.sql.INSERT_FRESH"}:
            await connection.execute(sql.CREATE_INCOMING)
            await connection.execute(sql.CREATE_FRESH)
        refusal = await _refusal(connection, text)
    finally:
        connection.terminate()
    assert refusal is None


async def _refusal(connection: Any, text: str) -> str | None:
    """Return why the role may not execute a statement. Raises what makes a statement unfit for the schema.

    Preparing checks names and types; rights are checked when a plan is made ready, which EXPLAIN does.
    """
    try:
        parameters = (await connection.prepare(text)).get_parameters()
        if text.lstrip().lower().startswith(("select", "insert", "update", "delete")):
            nulls = f"({', '.join('null' for _ in parameters)})" if parameters else ""
            await connection.execute(f"prepare tried as {text}")
            await connection.execute("set plan_cache_mode = force_generic_plan")
            await connection.execute(f"explain execute tried{nulls}")
    except asyncpg.InsufficientPrivilegeError as error:
        return str(error)
    return None


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "version_table_schema": HISTORY_SCHEMA,
            "include_name": _ours,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    found: list[Any] = compare_metadata(context, METADATA)
    return [change for change in found if not _is_comment(change)]


def _ours(name: str | None, kind: str, _: Any) -> bool:
    if kind == "schema":
        return name in {"registry", "reads", "audit", "gate"}
    # A day of the index is a partition, which no table of ours states.
    return not (kind == "table" and (name or "").startswith("sighting_"))


def _is_comment(change: Any) -> bool:
    name = change[0] if isinstance(change, tuple) else change[0][0]
    return name in {"modify_comment", "add_table_comment", "remove_table_comment"}


async def test_migrations_make_what_the_tables_state(database: Database) -> None:
    url = database.superuser_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Did not recognize type 'xid8'", SAWarning)
            async with engine.connect() as connection:
                assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()


async def test_a_difference_would_be_found(database: Database) -> None:
    superuser = await asyncpg.connect(database.superuser_url)
    engine = create_async_engine(
        database.superuser_url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool
    )
    changes = ("alter table audit.head add column extra text", "drop index audit.leaf_at")
    restored = (
        "alter table audit.head drop column extra",
        "create index leaf_at on audit.leaf (at)",
    )
    try:
        for statement in changes:
            await superuser.execute(statement)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Did not recognize type 'xid8'", SAWarning)
            async with engine.connect() as connection:
                found = await connection.run_sync(_differences)
        assert len(found) == 2
    finally:
        for statement in restored:
            await superuser.execute(statement)
        superuser.terminate()
        await engine.dispose()


async def test_plate_key_is_in_every_unique_constraint_of_the_sightings(database: Database) -> None:
    """It keeps the index distributable by plate key."""
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        keys = await superuser.fetch(
            """select array_agg(a.attname::text) as columns
               from pg_index i join pg_attribute a
               on a.attrelid = i.indrelid and a.attnum = any((i.indkey::smallint[])[0:i.indnkeyatts - 1])
               where i.indrelid = 'reads.sighting'::regclass and i.indisunique group by i.indexrelid"""
        )
        extensions = await superuser.fetch("select extname from pg_extension")
    finally:
        superuser.terminate()
    assert [sorted(row["columns"]) for row in keys] == [["captured_at", "pass_id", "plate_key"]]
    assert [row["extname"] for row in extensions] == ["plpgsql"]


async def test_a_trajectory_comes_from_one_index_alone_in_its_order(database: Database) -> None:
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        await superuser.execute("select reads.make_day('2026-06-01'), reads.make_day('2026-06-02')")
        await superuser.execute("set enable_seqscan = off; set enable_indexscan = off; set enable_bitmapscan = off")
        await superuser.execute("set enable_sort = off; set enable_incremental_sort = off")
        plan = await superuser.fetch(
            "explain (costs off) select pass_id, captured_at, plate, owner, said, crop from reads.sighting "
            "where plate_key = 'ABC' and (captured_at, pass_id) > ('2026-06-01', gen_random_uuid()) "
            "order by captured_at, pass_id limit 10"
        )
    finally:
        superuser.terminate()
    steps = "\n".join(row[0] for row in plan)
    assert steps.count("Index Only Scan") >= 2
    assert "Sort" not in steps


@pytest.mark.parametrize(
    "text",
    [
        "select plate from reads.sighting where plate = $1",
        "insert into audit.head (size) values ($1::bigint)",
        "select gate.trajectory($1, $2)",
        "update audit.leaf set leaf = $1",
    ],
)
async def test_a_statement_without_the_right_to_it_would_be_found(database: Database, text: str) -> None:
    connection = await asyncpg.connect(database.url("platetrail_ingest"))
    try:
        assert await _refusal(connection, text) is not None
    finally:
        connection.terminate()
