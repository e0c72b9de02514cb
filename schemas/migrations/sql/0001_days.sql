-- Days of the index: made ahead, dropped when the longest retention has passed, and purged owner by owner before that.

create function reads.make_day(day date) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named constant text := 'sighting_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('reads.' || named) is not null then
        return false;
    end if;
    execute format(
        'create table reads.%I partition of reads.sighting for values from (%L) to (%L)',
        named, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
    );
    return true;
end $$;

create function reads.days() returns setof date
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select to_date(right(c.relname, 8), 'YYYYMMDD')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'reads.sighting'::regclass order by 1;
$$;

create function reads.drop_day(day date) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named constant text := 'sighting_' || to_char(day, 'YYYYMMDD');
begin
    if day >= (clock_timestamp() at time zone 'UTC')::date - 1 then
        raise exception 'a day that is still being written is not dropped' using errcode = 'PT403';
    end if;
    if to_regclass('reads.' || named) is null then
        return false;
    end if;
    execute format('drop table reads.%I', named);
    return true;
end $$;

create function reads.purge(of_owner text, before timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone bigint;
begin
    if before > clock_timestamp() - interval '1 day' then
        raise exception 'reads younger than a day are not purged' using errcode = 'PT403';
    end if;
    delete from reads.sighting where owner = of_owner and captured_at < before;
    get diagnostics gone = row_count;
    return gone;
end $$;

-- How many reads each owner has from before a time: whose rules a purge must ask.
create function reads.owner_counts(before timestamptz) returns table (owner text, reads bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.owner, count(*) from reads.sighting s where s.captured_at < before group by s.owner;
$$;

-- The same of one day, which takes no more reads until the transaction ends: what dropping it will destroy.
create function reads.day_counts(day date) returns table (owner text, reads bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named constant text := 'sighting_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('reads.' || named) is not null then
        execute format('lock table reads.%I in share mode', named);
        return query execute format('select s.owner, count(*) from reads.%I s group by s.owner', named);
    end if;
end $$;
