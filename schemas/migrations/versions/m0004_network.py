"""Cameras: the network that may speak for one."""

from schemas.migrations.run import run_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    run_file("0004_network.sql")


def downgrade() -> None:
    """Refuse: whose word counts for a camera would be forgotten."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
