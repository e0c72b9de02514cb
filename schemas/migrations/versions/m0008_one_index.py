"""Sightings: one index for the key and for a plate's trajectory."""

from schemas.migrations.run import run_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Build the one, drop the two."""
    run_file("0008_one_index.sql")


def downgrade() -> None:
    """Refuse, as every migration does."""
    raise RuntimeError("this migration is not undone: services of before it run on this schema as they are")
