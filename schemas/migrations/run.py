"""Run migrations, `await upgrade(url)`, and what comes before the first: `await administer(url, statements)`."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection, make_url, pool, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from schemas.migrations.roles import MIGRATE

HISTORY_SCHEMA: Final = "registry_history"
"""Schema of Alembic's version table: `public` stays empty and closed."""


def run_file(name: str) -> None:
    """Run a file of `schemas/migrations/sql/` on the migration's connection.

    The whole file goes through the simple query protocol in one call: asyncpg prepares no text of several statements.
    """
    sql = (resources.files("schemas.migrations") / "sql" / name).read_text(encoding="utf-8")

    async def execute(connection: Any) -> None:
        await connection.execute(sql)

    adapted: Any = op.get_bind().connection.dbapi_connection
    adapted.run_async(execute)


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


class WrongRole(Exception):
    """The database takes whoever would migrate it for another role: what that one makes would be another's."""


def is_url(url: str) -> bool:
    """Tell whether a text is a PostgreSQL URL that `upgrade` can take."""
    try:
        return make_url(url).drivername == "postgresql"
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        return False


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at a PostgreSQL URL of the migrating role to a revision, in one transaction.

    Raises WrongRole, and what asyncpg and SQLAlchemy raise; nothing is changed then.
    """
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            # Asked of the server: a URL need not name its user, or may name two.
            if (await connection.execute(text("select current_user"))).scalar_one() != MIGRATE:
                raise WrongRole
            await connection.execute(text(f"create schema if not exists {HISTORY_SCHEMA}"))
            await connection.run_sync(_upgrade, revision)
    finally:
        await engine.dispose()


async def administer(url: str, statements: Iterable[str], database: str = "") -> None:
    """Run statements at a PostgreSQL URL of a superuser, in another database than its own if one is named.

    Ends with the first that fails.
    Each text is a transaction. Raises what asyncpg and SQLAlchemy raise, whose texts may hold a password.
    """
    place = make_url(url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        place.set(database=database) if database else place, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
    )
    try:
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            for statement in statements:
                await driver.execute(statement)  # the simple query protocol: a text may hold several statements
    finally:
        await engine.dispose()
