-- The log's own functions. All of them are SECURITY DEFINER and owned by roles that cannot log in.

-- A batch of entries: locks the head, stores each leaf at the next index, moves the RFC 6962 frontier, and returns where
-- the batch begins and the head after it. Look-ups name their leaf by its ordinal in the batch, from 1.
create function audit.append(
    leaves bytea[], secrets bytea[], data_keys uuid[],
    lookup_leaf integer[], lookup_field text[], lookup_mac bytea[],
    out first bigint, out size bigint, out root bytea
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    h audit.head;
    node bytea;
    n bigint;
    body jsonb;
    i integer;
begin
    if coalesce(cardinality(leaves), 0) = 0 then
        raise exception 'nothing to append' using errcode = 'PT400';
    end if;
    select * into strict h from audit.head for update;
    first := h.size;
    for i in 1 .. cardinality(leaves) loop
        node := sha256('\x00'::bytea || leaves[i]);
        body := convert_from(leaves[i], 'UTF8')::jsonb;
        if body ? 'ends' then
            if body->>'kind' not in ('outcome', 'denial', 'failure', 'abandoned') or not exists (
                select from audit.leaf l where l.idx = (body->>'ends')::bigint and l.kind in ('intent', 'page')
            ) then
                raise exception 'an end must name an intent or a page' using errcode = 'PT409';
            end if;
        elsif body->>'kind' = 'page' and not exists (
            select from audit.leaf l where l.idx = (body->>'intent')::bigint and l.kind = 'intent'
        ) then
            raise exception 'a page must name its intent' using errcode = 'PT409';
        end if;
        insert into audit.leaf (idx, leaf, hash, place, kind, ends, agency, purpose) values (
            h.size, leaves[i], node, sha256('\x02'::bytea || int8send(h.size) || node), body->>'kind',
            (body->>'ends')::bigint, body->>'agency', body->>'purpose'
        );
        n := h.size;
        while n & 1 = 1 loop
            node := sha256('\x01'::bytea || h.frontier[cardinality(h.frontier)] || node);
            h.frontier := h.frontier[1 : cardinality(h.frontier) - 1];
            n := n >> 1;
        end loop;
        h.frontier := h.frontier || node;
        h.size := h.size + 1;
    end loop;
    node := h.frontier[cardinality(h.frontier)];
    for i in reverse cardinality(h.frontier) - 1 .. 1 loop
        node := sha256('\x01'::bytea || h.frontier[i] || node);
    end loop;
    insert into audit.secret (idx, data_key, sealed)
        select first + s.ordinal - 1, k.id, s.sealed
        from unnest(secrets) with ordinality as s (sealed, ordinal)
        join unnest(data_keys) with ordinality as k (id, ordinal) using (ordinal)
        where s.sealed is not null;
    insert into audit.lookup (field, mac, idx)
        select f.field, f.mac, first + f.leaf - 1
        from unnest(lookup_leaf, lookup_field, lookup_mac) as f (leaf, field, mac)
        on conflict do nothing;
    update audit.head set size = h.size, root = node, frontier = h.frontier;
    size := h.size;
    root := node;
end $$;

-- The head moves by exactly the leaves that were added, and only while a commit is durable. The check runs at once and
-- again at commit, since a session can turn synchronous_commit off between the two.
create function audit.guard_head() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('synchronous_commit') in ('off', 'local') or current_setting('fsync') <> 'on'
       or current_setting('full_page_writes') <> 'on' then
        raise exception 'the audit log needs durable commits' using errcode = 'PT503';
    end if;
    if tg_op <> 'UPDATE' then
        raise exception 'the head of the audit log is only ever moved' using errcode = 'PT403';
    end if;
    return new;
end $$;

create function audit.guard_growth() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.size <= old.size or new.size - old.size <> (
        select count(*) from audit.leaf where idx >= old.size and idx < new.size
    ) then
        raise exception 'the head must move by the leaves that were added' using errcode = 'PT403';
    end if;
    return new;
end $$;

-- Of an empty log the root is SHA-256 of nothing (RFC 6962, 2.1).
insert into audit.head (size, root, frontier) values (0, sha256(''::bytea), '{}');

create trigger guard_growth before update on audit.head for each row execute function audit.guard_growth();
create trigger guard_head before insert or update or delete on audit.head
    for each row execute function audit.guard_head();
create trigger guard_head_truncate before truncate on audit.head execute function audit.guard_head();
create constraint trigger guard_head_commit after update on audit.head
    deferrable initially deferred for each row execute function audit.guard_head();

create function audit.put_data_key(id uuid, wrapped bytea) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into audit.data_key (id, wrapped) values ($1, $2);
$$;

-- The head, for whoever appends: a head that contradicts itself would make every append fail, so it is checked at start.
create function audit.state(out size bigint, out root bytea, out frontier bytea[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select h.size, h.root, h.frontier from audit.head h;
$$;

-- The intent that was recorded under an idempotency key, if any: a repeated request is answered under it.
create function audit.intent_of(claim bytea) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select min(idx) from audit.lookup where field = 'idempotency' and mac = claim;
$$;
