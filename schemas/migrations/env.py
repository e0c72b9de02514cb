"""Alembic's environment: runs migrations over SQLAlchemy's async engine, on a connection handed in by the caller."""

from alembic import context
from sqlalchemy import Connection

from schemas.tables import METADATA


def _run() -> None:
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        include_schemas=True,
        version_table_schema="registry_history",
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
