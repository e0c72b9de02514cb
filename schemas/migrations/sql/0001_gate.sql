-- The gate: the functions through which alone the index can be read.

-- Raises unless the entry is an intent or page inside the tree, committed by another transaction, at most 60 s old by the
-- wall clock, and commits to exactly these disclosure bytes; returns the question they hold.
create function gate.question(entry bigint, disclosure bytea) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    l audit.leaf;
    body jsonb;
    opened jsonb;
begin
    select f.* into l from audit.leaf f, audit.head h where f.idx = entry and f.idx < h.size;
    if not found then
        raise exception 'no such entry in the log' using errcode = 'PT403';
    end if;
    -- Without this a session could append, read and roll back, and no record would remain. An open transaction's own
    -- leaf is still in progress here, in a savepoint too.
    if pg_xact_status(l.tx) is distinct from 'committed' then
        raise exception 'the entry is not committed' using errcode = 'PT403';
    end if;
    -- The wall clock, not now(): that stands still in an open transaction.
    if l.at < clock_timestamp() - interval '60 seconds' or l.at > clock_timestamp() + interval '5 seconds' then
        raise exception 'the entry is not fresh' using errcode = 'PT403';
    end if;
    body := convert_from(l.leaf, 'UTF8')::jsonb;
    if body->>'kind' not in ('intent', 'page') then
        raise exception 'the entry is no question' using errcode = 'PT403';
    end if;
    if body->'commitments'->>'question' is distinct from
       rtrim(translate(encode(sha256(disclosure), 'base64'), '+/', '-_'), '=') then
        raise exception 'the entry records another question' using errcode = 'PT403';
    end if;
    opened := convert_from(disclosure, 'UTF8')::jsonb;
    if opened->>1 is distinct from 'question' then
        raise exception 'the disclosure is of another field' using errcode = 'PT403';
    end if;
    return opened->2;
end $$;

-- Scopes are named by the SHA-256 of their bytes: canonical JSON with "owners": {owner: days}.
create function gate.put_scope(body bytea) returns bytea
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bytea := sha256(body);
begin
    insert into gate.scope (hash, body) values (named, body) on conflict do nothing;
    if found then
        insert into gate.scope_owner (hash, owner, days)
            select named, e.key, e.value::integer from jsonb_each_text(convert_from(body, 'UTF8')::jsonb->'owners') e;
    end if;
    return named;
end $$;

-- One page of a plate's sightings in time order, and one row more if there are more. Everything that bounds the read
-- comes from the recorded question: plate, window, region, scope, position and limit.
create function gate.trajectory(entry bigint, disclosure bytea) returns table (
    pass_id uuid, captured_at timestamptz, plate text, region text, owner text, camera_id text,
    latitude double precision, longitude double precision, timezone text, clock_uncertainty_s real, skew_s double precision,
    plate_raw text, plate_confidence real, region_confidence real, candidates bytea,
    make text, make_confidence real, model text, model_confidence real,
    colour text, colour_confidence real, body text, body_confidence real, doubts text
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
               s.colour, s.colour_confidence, s.body, s.body_confidence, s.doubts
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
