"""Every statement of search's adapter, named. A test prepares each of them against the migrated schema."""

from typing import Final

TRAJECTORY: Final = "select * from gate.trajectory($1, $2)"

PUT_SCOPE: Final = "select gate.put_scope($1)"

OWNERS: Final = "select distinct owner from registry.camera"

# A key is claimed by whoever inserts it first, or first replaces one that is older than a day. No row comes back if
# somebody else holds it.
CLAIM: Final = """
insert into audit.claim as c (mac, body_mac) values ($1, $2)
on conflict (mac) do update set body_mac = excluded.body_mac, at = clock_timestamp(), done = false
    where c.at < clock_timestamp() - interval '24 hours'
returning at
"""

HELD_CLAIM: Final = """
select body_mac, at, done or at < clock_timestamp() - interval '30 seconds' as settled from audit.claim where mac = $1
"""

# Compare and set: of several who find a settled claim without an intent, one gets it.
TAKE_OVER: Final = """
update audit.claim set at = clock_timestamp(), done = false
where mac = $1 and at = $2 and (done or at < clock_timestamp() - interval '30 seconds')
returning at
"""

SETTLE: Final = "update audit.claim set done = true where mac = $1 and at = $2"

INTENT_OF: Final = "select audit.intent_of($1)"

# Many cameras at once, by id: two who register the same ones wait for one another, and never each for the other.
# Fewer rows come back than went in if an id or a certificate is taken: the caller rolls back.
ADD_CAMERAS: Final = """
insert into registry.camera
select * from jsonb_populate_recordset(null::registry.camera, $1::jsonb) as one order by one.camera_id
on conflict do nothing returning camera_id
"""

TELL_CAMERAS: Final = """
insert into registry.outbox (topic, key, value)
select $1, one.key, one.value from unnest($2::bytea[], $3::bytea[]) with ordinality as one (key, value, n) order by n
"""

TAKEN_CAMERAS: Final = """
select camera_id, certificate_sha256 from registry.camera
where camera_id = any($1::text[]) or certificate_sha256 = any($2::text[])
"""
