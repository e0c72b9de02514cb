-- What the registry knows of a camera beside its place and clock. Every column has a default, so that rows and records
-- from before stay what they were.

alter table registry.camera
    add column lanes integer check (lanes between 1 and 64),
    add column format text,
    add column handling text not null default 'standard' check (handling in ('standard', 'ephemeral')),
    add column active_from timestamptz,
    add column active_until timestamptz,
    add column proof text not null default 'key' check (proof in ('key', 'digest', 'url', 'certificate')),
    add column digest_ha1 text,
    add column certificate_sha256 text unique,
    add check (active_from < active_until),
    add check ((proof = 'digest') = (digest_ha1 is not null)),
    add check ((proof = 'certificate') = (certificate_sha256 is not null));
