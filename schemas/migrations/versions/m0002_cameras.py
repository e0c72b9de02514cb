"""Cameras: lanes, format, handling, active period, and how one proves itself."""

from schemas.migrations.run import run_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns."""
    run_file("0002_cameras.sql")


def downgrade() -> None:
    """Refuse: a camera that is handled as ephemeral would come back as one whose reads are kept."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
