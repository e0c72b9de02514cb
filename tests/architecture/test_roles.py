"""Who may do what in the database, read from the database itself."""

from typing import Final

import asyncpg
import pytest

from schemas.migrations import roles
from services.demo.postgres import Postgres
from tests.support.database import Database

LOGINS: Final = sorted(roles.LOGINS)

POWERS: Final = {
    "reads the index": """
        select has_column_privilege($1, 'reads.sighting', 'plate', 'select')
            or has_function_privilege($1, 'gate.trajectory(bigint, bytea)', 'execute')""",
    "reads the log": "select has_column_privilege($1, 'audit.leaf', 'leaf', 'select')",
    "opens secrets": "select has_column_privilege($1, 'audit.secret', 'sealed', 'select')",
    "purges": """
        select has_table_privilege($1, 'reads.sighting', 'delete')
            or has_function_privilege($1, 'reads.purge(text, timestamptz)', 'execute')
            or has_function_privilege($1, 'reads.drop_day(date)', 'execute')""",
    "appends": """
        select has_function_privilege(
            $1, 'audit.append(bytea[], bytea[], uuid[], integer[], text[], bytea[])', 'execute')""",
}

EXPECTED: Final[dict[str, set[str]]] = {
    "platetrail_ingest": set(),
    "platetrail_search": {"reads the index", "appends"},
    "platetrail_auditing": {"reads the log", "opens secrets", "appends"},
    "platetrail_sealer": {"reads the log"},
    "platetrail_maintain": {"purges", "appends"},
    "platetrail_relay": set(),
    "platetrail_health": set(),
    "platetrail_deadletters": {"appends"},
}


async def powers(database: Database, role: str) -> set[str]:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return {power for power, question in POWERS.items() if await connection.fetchval(question, role)}
    finally:
        await connection.close()


@pytest.mark.parametrize("role", sorted(EXPECTED))
async def test_no_service_has_two_of_reading_purging_and_auditing(database: Database, role: str) -> None:
    held = await powers(database, role)
    assert held == EXPECTED[role]
    assert len(held & {"reads the index", "reads the log", "purges"}) <= 1


def test_every_login_role_is_judged() -> None:
    assert set(EXPECTED) == set(roles.LOGINS) - {roles.MIGRATE}


async def test_owners_cannot_log_in_and_nobody_is_a_superuser(database: Database) -> None:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        owners = await connection.fetch(
            "select distinct rolname, rolcanlogin from pg_proc p join pg_roles r on r.oid = p.proowner "
            "where p.prosecdef and pronamespace::regnamespace::text in ('audit', 'gate', 'reads')"
        )
        strong = await connection.fetchval(
            "select count(*) from pg_roles where rolname like 'platetrail%' "
            "and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)"
        )
        loose = await connection.fetch(
            "select p.oid::regprocedure::text from pg_proc p "
            "where p.prosecdef and pronamespace::regnamespace::text in ('audit', 'gate', 'reads') "
            "and (proconfig is null or not 'search_path=pg_catalog, pg_temp' = any(proconfig) "
            "or has_function_privilege('public', p.oid, 'execute'))"
        )
    finally:
        await connection.close()
    assert {row["rolname"] for row in owners} == {"platetrail_appender", "platetrail_gate", "platetrail_keeper"}
    assert not any(row["rolcanlogin"] for row in owners)
    assert strong == 0
    assert loose == []


@pytest.mark.parametrize("role", LOGINS)
async def test_one_roles_password_opens_no_other_role(postgres: Postgres, database: Database, role: str) -> None:
    own = asyncpg.connect(database.url(role))
    await (await own).close()
    other = next(name for name in LOGINS if name != role)
    stolen = database.url(role).replace(f"//{role}:", f"//{other}:")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stolen)


@pytest.mark.parametrize("role", LOGINS)
@pytest.mark.parametrize(
    "making",
    [
        "select lo_creat(-1)",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'kept')",
        "select lo_import('/etc/hostname')",
    ],
)
async def test_nobody_keeps_anything_in_large_objects(database: Database, role: str, making: str) -> None:
    """They are no table: no right of ours would bound them, and no purge would find them."""
    connection = await asyncpg.connect(database.url(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(making)
    finally:
        await connection.close()
