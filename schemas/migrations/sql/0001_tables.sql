-- Run by the role platetrail_migrate in a database of its own. No contrib module is used, so that the embedded
-- PostgreSQL can run it, and every unique constraint of the sightings holds plate_key, so that the index can be
-- distributed by it.

create schema registry;
create schema reads;
create schema audit;
create schema gate;

-- The camera registry and the outbox through which it reaches the stream.

create table registry.camera (
    camera_id text primary key check (camera_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    owner text not null check (owner ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text not null,
    latitude double precision not null check (latitude between -90 and 90),
    longitude double precision not null check (longitude between -180 and 180),
    timezone text not null,
    heading_deg double precision,
    clock_use text not null default 'trusted' check (clock_use in ('trusted', 'offset', 'arrival')),
    clock_offset_s double precision not null default 0,
    clock_uncertainty_s double precision not null default 2 check (clock_uncertainty_s >= 0),
    key_prefix text not null unique,
    key_sha256 text not null,
    active boolean not null default true,
    registered_at timestamptz not null default clock_timestamp(),
    revision integer not null default 0
);

create table registry.outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key bytea not null,
    value bytea not null,
    at timestamptz not null default clock_timestamp()
);

-- The index: one partition a day of capture (UTC). There is no default partition: a read without a day is our fault.

create table reads.sighting (
    pass_id uuid not null,
    captured_at timestamptz not null,
    plate_key text not null,
    revision integer not null,
    superseded_by text,
    plate text,
    owner text not null,
    region text,
    camera_id text not null,
    latitude double precision not null,
    longitude double precision not null,
    timezone text not null,
    clock_uncertainty_s real not null,
    skew_s double precision not null,
    received_at timestamptz not null,
    plate_raw text check (length(plate_raw) <= 32),
    plate_confidence real,
    region_confidence real,
    candidates bytea,
    make text check (length(make) <= 40),
    make_confidence real,
    model text check (length(model) <= 40),
    model_confidence real,
    colour text check (length(colour) <= 40),
    colour_confidence real,
    body text check (length(body) <= 40),
    body_confidence real,
    heading_deg real,
    lane smallint,
    doubts text,
    normaliser_version smallint not null,
    primary key (pass_id, captured_at, plate_key)
) partition by range (captured_at);

comment on column reads.sighting.candidates is 'JSON bytes: [{"plate", "confidence"}], at most ten';
comment on column reads.sighting.doubts is 'comma-separated names of the doubts known when the read was indexed';

-- Covers a trajectory: what the gate filters by and returns is in the index, in time order for a plate key.
create index sighting_by_plate on reads.sighting (plate_key, captured_at desc) include (
    plate, owner, region, pass_id, superseded_by, camera_id, latitude, longitude, timezone, clock_uncertainty_s, skew_s,
    plate_raw, plate_confidence, region_confidence, candidates, make, make_confidence, model, model_confidence,
    colour, colour_confidence, body, body_confidence, doubts
);
create index sighting_by_camera on reads.sighting (camera_id, captured_at);

-- The audit log. A leaf is stored as the bytes that were hashed; every other column can be made anew from it.

create table audit.head (
    one boolean primary key default true check (one),
    size bigint not null,
    root bytea not null,
    frontier bytea[] not null
);

create table audit.leaf (
    idx bigint primary key check (idx >= 0),
    leaf bytea not null check (length(leaf) <= 16384),
    hash bytea not null check (length(hash) = 32),
    place bytea not null check (length(place) = 32),
    kind text not null,
    ends bigint,
    agency text,
    purpose text,
    tx xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp()
);

comment on column audit.leaf.hash is 'RFC 6962 leaf hash: SHA-256(0x00 || leaf)';
comment on column audit.leaf.place is 'SHA-256(0x02 || idx as 8 bytes || hash): names both of two swapped leaves';

create unique index leaf_ends on audit.leaf (ends) where ends is not null;
create index leaf_opening on audit.leaf (idx) where kind in ('intent', 'page');
create index leaf_at on audit.leaf (at);

create table audit.data_key (
    id uuid primary key,
    wrapped bytea not null,
    at timestamptz not null default clock_timestamp()
);

create table audit.secret (
    idx bigint primary key,
    data_key uuid not null references audit.data_key,
    sealed bytea not null
);

create table audit.lookup (
    field text not null,
    mac bytea not null,
    idx bigint not null,
    primary key (field, mac, idx)
);

create table audit.claim (
    mac bytea primary key,
    body_mac bytea not null,
    at timestamptz not null default clock_timestamp(),
    done boolean not null default false
);

comment on table audit.claim is 'Idempotency keys of 24 hours: HMAC of (person, key), HMAC of the body';

-- Permitted scopes: insert-only, named by the hash of their bytes.

create table gate.scope (
    hash bytea primary key,
    body bytea not null,
    at timestamptz not null default clock_timestamp()
);

create table gate.scope_owner (
    hash bytea not null references gate.scope,
    owner text not null,
    days integer not null check (days > 0),
    primary key (hash, owner)
);
