"""Cameras: the vendor's own id of one, and the secret that its vendor signs with."""

from schemas.migrations.run import run_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns, and let the proof be a signature."""
    run_file("0007_signature.sql")


def downgrade() -> None:
    """Refuse: cameras that prove themselves by a signature would have no proof left."""
    raise RuntimeError("this migration is not undone: restore a backup instead")
