"""Fresh databases in the tests' cluster, with the roles and the schema that production has."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from schemas.migrations import roles
from schemas.migrations.run import upgrade
from services.demo.postgres import Postgres

_numbers: Iterator[int] = itertools.count(1)


class Database(NamedTuple):
    """One database of a cluster whose roles exist."""

    name: str
    postgres: Postgres

    def url(self, role: str) -> str:
        """Return the URL of a login role, with its password."""
        return self.postgres.url(role, self.name)

    @property
    def superuser_url(self) -> str:
        """The superuser's URL: for looking at what happened, and for doing damage on purpose."""
        return self.postgres.superuser_url(self.name)


def new_passwords() -> dict[str, str]:
    """Return a random password for each login role."""
    return {role: secrets.token_urlsafe(24) for role in roles.LOGINS}


def make_roles(postgres: Postgres, passwords: dict[str, str]) -> None:
    """Make the cluster's roles: once a cluster, before the first database."""
    postgres.administer(roles.statements(passwords))


def fresh(postgres: Postgres, *, migrated: bool = True) -> Database:
    """Make a new database, with the schema unless `migrated` is false. Not from inside a running event loop."""
    database = Database(f"fresh_{next(_numbers)}", postgres)
    postgres.administer(roles.database(database.name))
    postgres.administer(roles.WITHIN, database.name)
    if migrated:
        asyncio.run(upgrade(database.url(roles.MIGRATE)))
    return database


@asynccontextmanager
async def index_locked(database: Database) -> AsyncIterator[None]:
    """Let nobody read or write the index while the block runs: a write waits, and is done after it."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        async with connection.transaction():
            await connection.execute("lock table reads.sighting in access exclusive mode")
            yield
    finally:
        await connection.close()
