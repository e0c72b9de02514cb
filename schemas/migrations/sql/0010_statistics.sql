-- No plate in the planner's statistics: what a day's are made of is sampled from its reads, and stays until the day is
-- analysed again, or dropped, however long before that a read was purged. Nothing is asked that needs them: a plate's
-- trajectory is read from the one index that there is for it.

-- Keeps a day's plates, and what is made of them, out of its statistics.
create function reads.no_statistics(of_day regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named text;
begin
    foreach named in array array['plate_key', 'plate', 'plate_raw', 'superseded_by', 'candidates', 'said', 'crop', 'pass_id'] loop
        execute format('alter table %s alter column %I set statistics 0', of_day, named);
    end loop;
end $$;

revoke all on function reads.no_statistics(regclass) from public;
alter function reads.no_statistics(regclass) owner to platetrail_keeper;

create or replace function reads.make_day(day date) returns boolean
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
    perform reads.no_statistics(('reads.' || named)::regclass);
    return true;
end $$;

select reads.no_statistics('reads.sighting');
select reads.no_statistics(inhrelid) from pg_inherits where inhparent = 'reads.sighting'::regclass;

-- What is there already: PostgreSQL before 18 lets nobody but a superuser take it out. There it goes with its day.
do $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        perform pg_clear_attribute_stats('reads', c.relname::text, a.attname::text, inherited)
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.attstattarget = 0
        cross join (values (false), (true)) as which (inherited)
        where c.relnamespace = 'reads'::regnamespace and c.relkind in ('r', 'p');
    end if;
end $$;

-- Without them the planner takes a plate for far more frequent than it is. However large it takes a trajectory to be, it
-- is a few rows of one index: no further processes, and nothing compiled.
alter function gate.trajectory(bigint, bytea) set max_parallel_workers_per_gather to 0;
alter function gate.trajectory(bigint, bytea) set jit to off;
