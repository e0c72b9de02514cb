"""Sightings: what the camera itself called make, model, colour and body."""

from schemas.migrations.run import run_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, let the index cover it, and let the gate return it."""
    run_file("0003_said.sql")


def downgrade() -> None:
    """Refuse: what cameras said would be lost."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
