-- Cameras whose vendor signs what it sends: the vendor's own id, by which a message finds its camera, and the secret that
-- vendor and operator share. A retired camera keeps them; another one may have its id then.

alter table registry.camera
    drop constraint camera_proof_check,
    add constraint camera_proof_check check (proof in ('key', 'digest', 'url', 'certificate', 'signature')),
    add column device_id text,
    add column signing_secret text,
    add check ((proof = 'signature') = (device_id is not null)),
    add check ((proof = 'signature') = (signing_secret is not null));

create unique index camera_by_device on registry.camera (format, device_id) where active;
