"""Sightings: the picture of the plate alone, by reference."""

from schemas.migrations.run import run_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, let the index cover it, and let the gate return it."""
    run_file("0006_crop.sql")


def downgrade() -> None:
    """Refuse: which picture belongs to which read would be lost."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
