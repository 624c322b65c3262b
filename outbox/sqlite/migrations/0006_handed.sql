-- Entries that a unit hands to its process's relay, which publishes them from memory. A unit looks
-- for older entries of its keys first.
ALTER TABLE choreo_outbox ADD COLUMN handed_by INTEGER;    -- whose relay was to have it
ALTER TABLE choreo_outbox ADD COLUMN handed_until INTEGER; -- when others leave it to that one no longer
CREATE INDEX choreo_outbox_key ON choreo_outbox (aggregateid);
