"""Every statement that ingest sends to PostgreSQL, by name. A test prepares each against the migrated schema."""

from typing import Final

WAIT_FOR_DISK: Final = """
select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'
"""
"""What is written counts as durable at once: its offsets move, and nobody sends it again."""

CREATE_INCOMING: Final = """
create temporary table if not exists incoming (
    pass_id uuid, captured_at timestamptz, plate_key text, revision integer, superseded_by text, plate text, owner text,
    region text, camera_id text, latitude double precision, longitude double precision, timezone text,
    clock_uncertainty_s real, skew_s double precision, received_at timestamptz, plate_raw text,
    plate_confidence real, region_confidence real, candidates bytea, make text, make_confidence real,
    model text, model_confidence real, colour text, colour_confidence real, body text, body_confidence real,
    heading_deg real, lane smallint, doubts text, normaliser_version smallint, said bytea, crop bytea,
    primary key (pass_id, captured_at, plate_key)
) on commit delete rows
"""
"""Where later revisions are copied to, each to be found again by its key for its values.

Columns are written out: `like` would need SELECT on the sightings.
"""

CREATE_FRESH: Final = """
create temporary table if not exists fresh (like pg_temp.incoming) on commit delete rows
"""
"""Where first revisions are copied to when some may be in the index already: an index on it would be for nothing."""

INSERT_FRESH: Final = """
insert into reads.sighting (
    pass_id, captured_at, plate_key, revision, superseded_by, plate, owner, region, camera_id, latitude, longitude,
    timezone, clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said, crop
) select
    pass_id, captured_at, plate_key, revision, superseded_by, plate, owner, region, camera_id, latitude, longitude,
    timezone, clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said, crop
from pg_temp.fresh
on conflict (pass_id, captured_at, plate_key) do nothing
"""
"""First revisions into the index: one replaces nothing."""

UPSERT: Final = """
insert into reads.sighting as t (
    pass_id, captured_at, plate_key, revision, superseded_by, plate, owner, region, camera_id, latitude, longitude,
    timezone, clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said, crop
) select
    pass_id, captured_at, plate_key, revision, superseded_by, plate, owner, region, camera_id, latitude, longitude,
    timezone, clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said, crop
from pg_temp.incoming
on conflict (pass_id, captured_at, plate_key) do update set (
    revision, superseded_by, plate, owner, region, camera_id, latitude, longitude,
    timezone, clock_uncertainty_s, skew_s, received_at, plate_raw, plate_confidence, region_confidence, candidates,
    make, make_confidence, model, model_confidence, colour, colour_confidence, body, body_confidence,
    heading_deg, lane, doubts, normaliser_version, said, crop
) = (
    select n.revision, n.superseded_by, n.plate, n.owner, n.region, n.camera_id, n.latitude, n.longitude,
        n.timezone, n.clock_uncertainty_s, n.skew_s, n.received_at, n.plate_raw, n.plate_confidence,
        n.region_confidence, n.candidates, n.make, n.make_confidence, n.model, n.model_confidence,
        n.colour, n.colour_confidence, n.body, n.body_confidence, n.heading_deg, n.lane, n.doubts, n.normaliser_version,
        n.said, n.crop
    from pg_temp.incoming n
    where n.pass_id = t.pass_id and n.captured_at = t.captured_at and n.plate_key = t.plate_key
) where excluded.revision > t.revision
"""
"""Later revisions into the index. Values come from `incoming` again: `excluded.x` would need SELECT on the column x."""

# What follows is of the maintaining role.

NOW: Final = "select clock_timestamp()"

MAKE_DAY: Final = "select reads.make_day($1)"

DAYS: Final = "select day from reads.days() as day"

OWNERS_BEFORE: Final = "select owner, reads from reads.owner_counts($1)"

OWNERS_OF_DAY: Final = "select owner, reads from reads.day_counts($1)"

DROP_DAY: Final = "select reads.drop_day($1)"

PURGE: Final = "select reads.purge($1, $2)"

FORGET_CLAIMS: Final = "delete from audit.claim where at < clock_timestamp() - interval '24 hours' returning at"

MAINTAINING: Final = ("NOW", "MAKE_DAY", "DAYS", "OWNERS_BEFORE", "OWNERS_OF_DAY", "DROP_DAY", "PURGE", "FORGET_CLAIMS")

# What follows is of the relaying role.

OUTBOX_WAITING: Final = "select id, topic, key, value from registry.outbox order by id limit $1"

OUTBOX_DONE: Final = "delete from registry.outbox where id = any($1::bigint[])"

OUTBOX_CAMERAS: Final = """
select camera_id, owner, name, latitude, longitude, timezone, heading_deg, clock_use, clock_offset_s,
    clock_uncertainty_s, key_prefix, key_sha256, active, registered_at, revision, lanes, format, handling,
    active_from, active_until, proof, digest_ha1, certificate_sha256, network, device_id, signing_secret
from registry.camera order by camera_id
"""

HEALTH_BEGIN: Final = """
insert into registry.camera_health (camera_id) select unnest($1::text[]) on conflict do nothing
"""

HEALTH_LOCK: Final = """
select camera_id, state from registry.camera_health where camera_id = any($1::text[]) order by camera_id for update
"""

HEALTH_PUT: Final = """
update registry.camera_health h set state = n.state, updated_at = clock_timestamp()
from unnest($1::text[], $2::bytea[]) as n (camera_id, state) where h.camera_id = n.camera_id
"""

WATCHING: Final = ("HEALTH_BEGIN", "HEALTH_LOCK", "HEALTH_PUT")
"""Of the role that keeps camera health."""

RELAYING: Final = ("OUTBOX_WAITING", "OUTBOX_DONE", "OUTBOX_CAMERAS")
