"""Database roles: one a service, each with a password of its own, and groups that cannot log in.

Roles belong to the cluster, so they are made before the first migration, by whoever administers it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

MIGRATE: Final = "platetrail_migrate"

LOGINS: Final[dict[str, str]] = {
    MIGRATE: "owns the schema and runs migrations",
    "platetrail_ingest": "writes sightings; reads none",
    "platetrail_search": "asks through the gate, appends to the log, keeps the registry",
    "platetrail_auditing": "reads the log and its secrets",
    "platetrail_sealer": "reads leaves and head",
    "platetrail_maintain": "makes and drops days, purges",
    "platetrail_relay": "carries the outbox to the stream",
    "platetrail_health": "keeps camera health; reads no registry",
    "platetrail_deadletters": "leaves entries of revealed and replayed dead letters, and nothing else",
}

GROUPS: Final[dict[str, str]] = {
    "platetrail_append": "may append to the log",
    "platetrail_appender": "owns the functions that append",
    "platetrail_gate": "owns the functions that read the index",
    "platetrail_keeper": "owns the index and the functions that make and drop its days",
}

APPENDING: Final = ("platetrail_search", "platetrail_auditing", "platetrail_maintain", "platetrail_deadletters")
"""Roles that leave entries in the log."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


def statements(passwords: Mapping[str, str]) -> Iterator[str]:
    """Yield the SQL that makes every role, or gives an existing one this password.

    `passwords` has one for each of `LOGINS`: 16 to 128 URL-safe characters. Raises ValueError otherwise, since the text
    goes into SQL.
    """
    if set(passwords) != set(LOGINS) or not all(_PASSWORD.fullmatch(word) for word in passwords.values()):
        raise ValueError("every login role needs a password of 16 to 128 URL-safe characters")
    for name in GROUPS:
        yield _make(name, "nologin")
    for name, word in passwords.items():
        yield _make(name, f"login password '{word}'")
    for name in ("platetrail_appender", "platetrail_gate", "platetrail_keeper"):
        yield f"grant {name} to {MIGRATE}"
    yield "grant platetrail_append to " + ", ".join(APPENDING)


def _make(name: str, options: str) -> str:
    return (
        f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') then create role {name}; end if; "
        f"end $$; alter role {name} with nosuperuser nocreatedb nocreaterole {options}"
    )


def database(name: str) -> Iterator[str]:
    """Yield the SQL that makes a database for the schema, owned by the migrating role; outside a transaction."""
    if not _NAME.fullmatch(name):
        raise ValueError("a database's name is lower case letters, digits and underscores")
    yield f"create database {name} owner {MIGRATE} template template0 encoding 'UTF8' locale 'C'"
    yield f"revoke all on database {name} from public"
    yield f"grant connect on database {name} to " + ", ".join(LOGINS)
    yield f"grant temporary on database {name} to platetrail_ingest"


def refuse_existing(name: str) -> str:
    """Return the SQL that raises 42P04, as making it would, if there is a database of this name."""
    if not _NAME.fullmatch(name):
        raise ValueError("a database's name is lower case letters, digits and underscores")
    return (
        f"do $$ begin if exists (select from pg_database where datname = '{name}') then "
        "raise exception 'exists' using errcode = 'duplicate_database'; end if; end $$"
    )


WITHIN: Final = (
    "revoke execute on function pg_catalog.lo_creat(integer) from public",
    "revoke execute on function pg_catalog.lo_create(oid) from public",
    "revoke execute on function pg_catalog.lo_from_bytea(oid, bytea) from public",
)
"""SQL for the superuser in the new database: whoever can log in could otherwise leave large objects, of any size."""

RIGHTS: Final = (
    "do $$ begin if not exists (select from pg_roles where rolname = current_user and (rolsuper or rolcreaterole)) "
    "then raise exception 'no right' using errcode = 'insufficient_privilege'; end if; end $$"
)
"""SQL that raises (42501) where the user may make no roles."""

INSTALLED: Final = "PT409"
"""The SQLSTATE of `refuse_others`."""


def drop_database(name: str) -> str:
    """Return the SQL that drops a database, ending the sessions in it; outside a transaction."""
    if not _NAME.fullmatch(name):
        raise ValueError("a database's name is lower case letters, digits and underscores")
    return f"drop database if exists {name} with (force)"


def refuse_others(prefix: str) -> str:
    """Return the SQL that raises INSTALLED if the server has a database for the schema whose name begins otherwise."""
    if not _NAME.fullmatch(prefix):
        raise ValueError("a database's name is lower case letters, digits and underscores")
    return (
        "do $$ begin if exists (select from pg_database d join pg_roles r on r.oid = d.datdba "
        f"where r.rolname = '{MIGRATE}' and not starts_with(d.datname::text, '{prefix}')) then "
        f"raise exception 'installed' using errcode = '{INSTALLED}'; end if; end $$"
    )
