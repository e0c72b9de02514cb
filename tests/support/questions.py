"""A question as the door records it, made by hand: for tests of what the gate refuses."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from schemas.entries import Disclosure, Entry, canonical, disclose
from schemas.plate import plate_key

PLATE: Final = "QRS8210"
OWNER: Final = "aurora-pd"

APPEND: Final = """
select first from audit.append(array[$1::bytea], array[null::bytea], array[null::uuid], '{}', '{}', '{}')
"""
READ: Final = "select * from gate.trajectory($1, $2)"


def scope(owners: dict[str, int] | None = None) -> bytes:
    """Return the bytes of a permitted scope: owner -> days."""
    return canonical({"agency": OWNER, "owners": owners or {OWNER: 30}, "policy": "00", "purpose": "stolen_vehicle"})


def question(**changes: Any) -> Disclosure:
    """Return the committed question: where was `PLATE` in the last day, seen by `OWNER`."""
    now = datetime.now(UTC)
    return disclose(
        "question",
        {
            "type": "trajectory",
            "plate": PLATE,
            "plate_key": plate_key(PLATE),
            "match": "exact",
            "region": None,
            "from": (now - timedelta(days=1)).isoformat(),
            "to": (now + timedelta(days=1)).isoformat(),
            "scope": hashlib.sha256(scope()).hexdigest(),
            "limit": 100,
            "after": None,
            **changes,
        },
    )


def intent(asked: Disclosure) -> Entry:
    """Return the intent that records a question."""
    return Entry(
        kind="intent",
        public={"type": "trajectory", "at": datetime.now(UTC).isoformat(), "agency": OWNER},
        disclosures=(asked,),
    )


async def plant_read(superuser: Any, hours: float = 1.0) -> None:
    """Put one read of `PLATE` into the index, made so many hours ago, and the scope that permits to see it."""
    captured_at = datetime.now(UTC) - timedelta(hours=hours)
    await superuser.execute("select reads.make_day($1)", captured_at.date())
    await superuser.execute("select gate.put_scope($1)", scope())
    await superuser.execute(
        """insert into reads.sighting (pass_id, captured_at, plate_key, revision, plate, owner, camera_id, latitude,
               longitude, timezone, clock_uncertainty_s, skew_s, received_at, normaliser_version)
           values ($1, $2, $3, 0, $4, $5, 'c', 1, 2, 'UTC', 2, 0, $2, 1)""",
        uuid.uuid4(),
        captured_at,
        plate_key(PLATE),
        PLATE,
        OWNER,
    )


async def append(connection: asyncpg.Connection, entry: Entry) -> int:
    """Append an entry on a connection as it is, inside its transaction if it has one; return the index."""
    return int(await connection.fetchval(APPEND, entry.leaf()))
