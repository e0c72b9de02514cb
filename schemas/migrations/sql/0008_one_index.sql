-- The key of a sighting and the index that covers a trajectory become one: the key's index cost as many page writes a
-- read as all others together, and answered no question. Conflicts are found whatever the order of the key's columns.
-- It is built anew, which takes as long as the index is large: nothing is written or asked meanwhile.

alter table reads.sighting drop constraint sighting_pkey;
drop index reads.sighting_by_plate;

-- Covers a trajectory: what the gate filters by and returns is in the index, in the order in which it returns it.
alter table reads.sighting add constraint sighting_pkey primary key (plate_key, captured_at, pass_id) include (
    plate, owner, region, superseded_by, camera_id, latitude, longitude, timezone, clock_uncertainty_s, skew_s,
    plate_raw, plate_confidence, region_confidence, candidates, make, make_confidence, model, model_confidence,
    colour, colour_confidence, body, body_confidence, doubts, said, crop
);
