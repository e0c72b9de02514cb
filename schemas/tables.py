"""The tables, as SQLAlchemy Core values: what administrative queries use, and what a test holds the migrations to."""

from typing import Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.types import UserDefinedType

METADATA: Final = MetaData()


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name."""
        return "xid8"


_TIME: Final = TIMESTAMP(timezone=True)
_NOW: Final = text("clock_timestamp()")

CAMERA: Final = Table(
    "camera",
    METADATA,
    Column("camera_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("heading_deg", Double),
    Column("clock_use", Text, nullable=False, server_default=text("'trusted'")),
    Column("clock_offset_s", Double, nullable=False, server_default=text("0")),
    Column("clock_uncertainty_s", Double, nullable=False, server_default=text("2")),
    Column("key_prefix", Text, nullable=False, unique=True),
    Column("key_sha256", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("registered_at", _TIME, nullable=False, server_default=_NOW),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("lanes", Integer),
    Column("format", Text),
    Column("handling", Text, nullable=False, server_default=text("'standard'")),
    Column("active_from", _TIME),
    Column("active_until", _TIME),
    Column("proof", Text, nullable=False, server_default=text("'key'")),
    Column("digest_ha1", Text),
    Column("certificate_sha256", Text, unique=True),
    Column("network", Text),
    Column("device_id", Text),
    Column("signing_secret", Text),
    schema="registry",
)

Index("camera_by_device", CAMERA.c.format, CAMERA.c.device_id, unique=True, postgresql_where=CAMERA.c.active)

CAMERA_HEALTH: Final = Table(
    "camera_health",
    METADATA,
    Column("camera_id", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False, server_default=text("'\\x'::bytea")),
    Column("updated_at", _TIME, nullable=False, server_default=_NOW),
    schema="registry",
)

OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    schema="registry",
)

_COVERED: Final = (
    "plate", "owner", "region", "superseded_by", "camera_id", "latitude", "longitude", "timezone",
    "clock_uncertainty_s", "skew_s", "plate_raw", "plate_confidence", "region_confidence", "candidates", "make",
    "make_confidence", "model", "model_confidence", "colour", "colour_confidence", "body", "body_confidence", "doubts",
    "said", "crop",
)  # fmt: skip
"""What the index of the key holds besides: a trajectory is read from it alone."""

SIGHTING: Final = Table(
    "sighting",
    METADATA,
    Column("pass_id", Uuid, nullable=False),
    Column("captured_at", _TIME, nullable=False),
    Column("plate_key", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("superseded_by", Text),
    Column("plate", Text),
    Column("owner", Text, nullable=False),
    Column("region", Text),
    Column("camera_id", Text, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("clock_uncertainty_s", REAL, nullable=False),
    Column("skew_s", Double, nullable=False),
    Column("received_at", _TIME, nullable=False),
    Column("plate_raw", Text),
    Column("plate_confidence", REAL),
    Column("region_confidence", REAL),
    Column("candidates", LargeBinary),
    Column("make", Text),
    Column("make_confidence", REAL),
    Column("model", Text),
    Column("model_confidence", REAL),
    Column("colour", Text),
    Column("colour_confidence", REAL),
    Column("body", Text),
    Column("body_confidence", REAL),
    Column("heading_deg", REAL),
    Column("lane", SmallInteger),
    Column("doubts", Text),
    Column("normaliser_version", SmallInteger, nullable=False),
    Column("said", LargeBinary),
    Column("crop", LargeBinary),
    PrimaryKeyConstraint("plate_key", "captured_at", "pass_id", name="sighting_pkey", postgresql_include=_COVERED),
    schema="reads",
    postgresql_partition_by="RANGE (captured_at)",
)

Index("sighting_by_camera", SIGHTING.c.camera_id, SIGHTING.c.captured_at)

HEAD: Final = Table(
    "head",
    METADATA,
    Column("one", Boolean, CheckConstraint("one"), primary_key=True, server_default=text("true")),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("frontier", ARRAY(LargeBinary), nullable=False),
    schema="audit",
)

LEAF: Final = Table(
    "leaf",
    METADATA,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("place", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ends", BigInteger),
    Column("agency", Text),
    Column("purpose", Text),
    Column("tx", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    schema="audit",
)
Index("leaf_ends", LEAF.c.ends, unique=True, postgresql_where=LEAF.c.ends.is_not(None))
Index("leaf_opening", LEAF.c.idx, postgresql_where=LEAF.c.kind.in_(["intent", "page"]))
Index("leaf_at", LEAF.c.at)

DATA_KEY: Final = Table(
    "data_key",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    schema="audit",
)

SECRET: Final = Table(
    "secret",
    METADATA,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("data_key", Uuid, ForeignKey("audit.data_key.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    schema="audit",
)

LOOKUP: Final = Table(
    "lookup",
    METADATA,
    Column("field", Text, primary_key=True),
    Column("mac", LargeBinary, primary_key=True),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    schema="audit",
)

CLAIM: Final = Table(
    "claim",
    METADATA,
    Column("mac", LargeBinary, primary_key=True),
    Column("body_mac", LargeBinary, nullable=False),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    schema="audit",
)

SCOPE: Final = Table(
    "scope",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    schema="gate",
)

SCOPE_OWNER: Final = Table(
    "scope_owner",
    METADATA,
    Column("hash", LargeBinary, ForeignKey("gate.scope.hash"), primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("days", Integer, nullable=False),
    schema="gate",
)
