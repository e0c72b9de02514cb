-- The camera network that may speak for a camera, through a topic of that network's own. Nobody may, unless its agency
-- says so.

alter table registry.camera
    add column network text check (network ~ '^[a-z0-9][a-z0-9-]{0,62}$');
