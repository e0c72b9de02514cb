"""Sightings: no plate in the planner's statistics."""

from schemas.migrations.run import run_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Take them out, and keep them out."""
    run_file("0010_statistics.sql")


def downgrade() -> None:
    """Refuse, as every migration does."""
    raise RuntimeError("this migration is not undone: services of before it run on this schema as they are")
