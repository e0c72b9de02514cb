-- The picture of the plate alone, by reference: the SHA-256 of its bytes, which lie outside the database.
-- The covering index is built anew, which takes as long as the index is large: nothing is written or asked meanwhile.

alter table reads.sighting add column crop bytea check (octet_length(crop) = 32);

comment on column reads.sighting.crop is 'SHA-256 of the picture of the plate alone';

drop index reads.sighting_by_plate;
create index sighting_by_plate on reads.sighting (plate_key, captured_at desc) include (
    plate, owner, region, pass_id, superseded_by, camera_id, latitude, longitude, timezone, clock_uncertainty_s, skew_s,
    plate_raw, plate_confidence, region_confidence, candidates, make, make_confidence, model, model_confidence,
    colour, colour_confidence, body, body_confidence, doubts, said, crop
);

-- The gate returns it, so its function is another one.
drop function gate.trajectory(bigint, bytea);

-- One page of a plate's sightings in time order, and one row more if there are more. Everything that bounds the read
-- comes from the recorded question: plate, window, region, scope, position and limit.
create function gate.trajectory(entry bigint, disclosure bytea) returns table (
    pass_id uuid, captured_at timestamptz, plate text, region text, owner text, camera_id text,
    latitude double precision, longitude double precision, timezone text, clock_uncertainty_s real, skew_s double precision,
    plate_raw text, plate_confidence real, region_confidence real, candidates bytea,
    make text, make_confidence real, model text, model_confidence real,
    colour text, colour_confidence real, body text, body_confidence real, doubts text, said bytea, crop bytea
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    q constant jsonb := gate.question(entry, disclosure);
    q_key constant text := q->>'plate_key';
    q_plate constant text := case when q->>'match' = 'exact' then q->>'plate' end;
    q_region constant text := q->>'region';
    q_from constant timestamptz := (q->>'from')::timestamptz;
    q_to constant timestamptz := (q->>'to')::timestamptz;
    q_scope constant bytea := decode(q->>'scope', 'hex');
    q_after constant timestamptz := coalesce((q->'after'->>'captured_at')::timestamptz, '-infinity');
    q_after_pass constant uuid := coalesce((q->'after'->>'pass_id')::uuid, '00000000-0000-0000-0000-000000000000');
    q_limit constant integer := (q->>'limit')::integer;
    q_now constant timestamptz := clock_timestamp();
begin
    if q->>'type' is distinct from 'trajectory' or q->>'match' not in ('exact', 'lookalike')
       or q_key is null or q_from is null or q_to is null or q_scope is null
       or (q->>'match' = 'exact' and q_plate is null)
       or q_limit is null or q_limit not between 1 and 1000
       or q_key like '~%' then
        raise exception 'the recorded question is not one for a trajectory' using errcode = 'PT403';
    end if;
    return query
        select s.pass_id, s.captured_at, s.plate, s.region, s.owner, s.camera_id,
               s.latitude, s.longitude, s.timezone, s.clock_uncertainty_s, s.skew_s,
               s.plate_raw, s.plate_confidence, s.region_confidence, s.candidates,
               s.make, s.make_confidence, s.model, s.model_confidence,
               s.colour, s.colour_confidence, s.body, s.body_confidence, s.doubts, s.said, s.crop
        from reads.sighting s
        join gate.scope_owner o on o.hash = q_scope and o.owner = s.owner
        where s.plate_key = q_key
          and s.captured_at >= q_from and s.captured_at < q_to
          and s.captured_at >= q_after
          and (s.captured_at, s.pass_id) > (q_after, q_after_pass)
          and (q_plate is null or s.plate = q_plate)
          and (q_region is null or s.region is null or s.region = q_region
               or s.region like q_region || '-%' or q_region like s.region || '-%')
          and s.superseded_by is null
          and s.captured_at > q_now - make_interval(days => o.days)
        order by s.captured_at, s.pass_id
        limit q_limit + 1;
end $$;

revoke all on function gate.trajectory(bigint, bytea) from public;
grant create on schema gate to platetrail_gate;
alter function gate.trajectory(bigint, bytea) owner to platetrail_gate;
revoke create on schema gate from platetrail_gate;
grant execute on function gate.trajectory(bigint, bytea) to platetrail_search;
