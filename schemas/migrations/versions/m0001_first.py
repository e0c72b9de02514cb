"""Registry, index, audit log and gate."""

from schemas.migrations.run import run_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything. The order is tables, log, gate, days, rights."""
    for name in ("tables", "log", "gate", "days", "rights"):
        run_file(f"0001_{name}.sql")


def downgrade() -> None:
    """Refuse: an audit log that a migration can drop is none."""
    raise RuntimeError("the first migration is not undone: drop the database instead")
