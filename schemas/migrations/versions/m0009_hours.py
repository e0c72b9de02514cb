"""Gate and purge: days of 24 hours in every time zone."""

from schemas.migrations.run import run_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Set the time zone of both."""
    run_file("0009_hours.sql")


def downgrade() -> None:
    """Refuse, as every migration does."""
    raise RuntimeError("this migration is not undone: services of before it run on this schema as they are")
