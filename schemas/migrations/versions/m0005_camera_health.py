"""Camera health: a row for each camera."""

from schemas.migrations.run import run_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    run_file("0005_camera_health.sql")


def downgrade() -> None:
    """Refuse, as every migration does."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
