-- How each camera does, as its reports add up. No plate, and no read: numbers by camera.

create table registry.camera_health (
    camera_id text primary key,
    state bytea not null default '\x'::bytea check (octet_length(state) <= 65536),
    updated_at timestamptz not null default clock_timestamp()
);

comment on column registry.camera_health.state is 'JSON bytes: schemas.health.CameraState; empty: nothing yet';

-- The role is one that installations from before make with `platetrail db init`; their database does not let it in yet.
do $$ begin
    execute format('grant connect on database %I to platetrail_health', current_database());
end $$;

grant usage on schema registry to platetrail_health;
grant select, insert, update on registry.camera_health to platetrail_health;
grant select on registry.camera_health to platetrail_search;
