-- No plate in the planner's statistics: what a day's are made of is sampled from its reads, and stays until the day is
-- analysed again, or dropped, however long before that a read was purged. Nothing is asked that needs them: a plate's
-- trajectory is read from the one index that there is for it.

-- Keeps plates, and what is made of them, out of a table's statistics from now on. What is there already goes at once on
-- PostgreSQL 18; before that nobody but a superuser can take it out, and it goes with its day.
create function reads.no_statistics(of_table regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named text;
    of_name constant text := (select relname from pg_class where oid = of_table);
begin
    -- Those that it has: a day that was taken out of the table before a migration lacks what that added.
    for named in select attname from pg_attribute where attrelid = of_table and not attisdropped and attname in (
        'plate_key', 'plate', 'plate_raw', 'superseded_by', 'candidates', 'said', 'crop', 'pass_id'
    ) loop
        execute format('alter table %s alter column %I set statistics 0', of_table, named);
        if current_setting('server_version_num')::integer >= 180000 then
            perform pg_clear_attribute_stats('reads', of_name, named, false);
            perform pg_clear_attribute_stats('reads', of_name, named, true);
        end if;
    end loop;
end $$;

revoke all on function reads.no_statistics(regclass) from public;
alter function reads.no_statistics(regclass) owner to platetrail_keeper;

create or replace function reads.make_day(day date) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named constant text := 'sighting_' || to_char(day, 'YYYYMMDD');
    is_new constant boolean := to_regclass('reads.' || named) is null;
    of_day regclass;
begin
    if is_new then
        execute format(
            'create table reads.%I partition of reads.sighting for values from (%L) to (%L)',
            named, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
        );
    end if;
    of_day := ('reads.' || named)::regclass;
    -- Of a day that there is, too: one that was made by this function as it was, while it became what it is.
    perform from pg_attribute where attrelid = of_day and attname = 'plate_key' and attstattarget = 0;
    if not found then
        perform reads.no_statistics(of_day);
    end if;
    return is_new;
end $$;

-- Whole days that were taken out of the table are in the schema still.
select reads.no_statistics(oid) from pg_class
where relnamespace = 'reads'::regnamespace and relname ~ '^sighting(_\d{8})?$' and relkind in ('r', 'p');

-- Without them the planner takes a plate for far more frequent than it is. However large it takes a trajectory to be, it
-- is a few rows of one index: no further processes, and nothing compiled.
alter function gate.trajectory(bigint, bytea) set max_parallel_workers_per_gather to 0;
alter function gate.trajectory(bigint, bytea) set jit to off;
