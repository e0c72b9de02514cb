-- Who may do what. Owners of functions cannot log in; of reading the index, reading the log, purging and owning, no role
-- that can log in has two (but for the owner of the schema, which runs migrations and nothing else).

revoke all on schema registry, reads, audit, gate from public;
revoke all on all functions in schema registry, reads, audit, gate from public;
revoke all on schema public from public;

grant usage on schema audit to platetrail_append, platetrail_appender, platetrail_gate, platetrail_auditing, platetrail_sealer, platetrail_search, platetrail_maintain;
grant usage on schema gate to platetrail_search, platetrail_gate;
grant usage on schema reads to platetrail_ingest, platetrail_gate, platetrail_maintain, platetrail_keeper;
grant usage on schema registry to platetrail_search, platetrail_relay;

-- Appending.
grant create on schema audit to platetrail_appender;
grant select, insert on audit.leaf to platetrail_appender;
grant insert on audit.secret, audit.data_key to platetrail_appender;
grant select, insert on audit.lookup to platetrail_appender;
grant select, update on audit.head to platetrail_appender;
alter function audit.append(bytea[], bytea[], uuid[], integer[], text[], bytea[]) owner to platetrail_appender;
alter function audit.guard_growth() owner to platetrail_appender;
alter function audit.put_data_key(uuid, bytea) owner to platetrail_appender;
alter function audit.intent_of(bytea) owner to platetrail_appender;
alter function audit.state() owner to platetrail_appender;
revoke create on schema audit from platetrail_appender;
grant execute on function audit.append(bytea[], bytea[], uuid[], integer[], text[], bytea[]) to platetrail_append;
grant execute on function audit.put_data_key(uuid, bytea) to platetrail_append;
grant execute on function audit.state() to platetrail_append;
grant execute on function audit.intent_of(bytea) to platetrail_search;

-- Asking.
grant create on schema gate to platetrail_gate;
grant select on audit.leaf, audit.head to platetrail_gate;
grant select on reads.sighting to platetrail_gate;
grant select, insert on gate.scope, gate.scope_owner to platetrail_gate;
alter function gate.question(bigint, bytea) owner to platetrail_gate;
alter function gate.put_scope(bytea) owner to platetrail_gate;
alter function gate.trajectory(bigint, bytea) owner to platetrail_gate;
revoke create on schema gate from platetrail_gate;
grant execute on function gate.put_scope(bytea), gate.trajectory(bigint, bytea) to platetrail_search;

-- The registry, behind act; and claims of idempotency keys.
grant select, insert, update on registry.camera to platetrail_search;
grant insert on registry.outbox to platetrail_search;
grant select, insert, update, delete on audit.claim to platetrail_search;
grant select on registry.camera to platetrail_relay;
grant select, delete on registry.outbox to platetrail_relay;

-- Indexing: an upsert needs to see the key and the revision, and nothing else.
grant insert, update on reads.sighting to platetrail_ingest;
grant select (pass_id, captured_at, plate_key, revision) on reads.sighting to platetrail_ingest;

-- Reading the log.
grant select on audit.leaf, audit.head, audit.secret, audit.data_key, audit.lookup to platetrail_auditing;
grant select on audit.leaf, audit.head to platetrail_sealer;

-- Keeping days.
grant create on schema reads to platetrail_keeper;
alter table reads.sighting owner to platetrail_keeper;
alter function reads.make_day(date) owner to platetrail_keeper;
alter function reads.days() owner to platetrail_keeper;
alter function reads.drop_day(date) owner to platetrail_keeper;
alter function reads.purge(text, timestamptz) owner to platetrail_keeper;
alter function reads.owner_counts(timestamptz) owner to platetrail_keeper;
alter function reads.day_counts(date) owner to platetrail_keeper;
grant execute on function reads.make_day(date), reads.days(), reads.drop_day(date), reads.purge(text, timestamptz) to platetrail_maintain;
grant execute on function reads.owner_counts(timestamptz), reads.day_counts(date) to platetrail_maintain;
grant select (at), delete on audit.claim to platetrail_maintain;
