-- Entries that a unit hands to its process's relay, which publishes them from memory. A unit looks
-- for older entries of its keys first: an index by hash takes keys of any length.
ALTER TABLE choreo_outbox ADD COLUMN handed_by bigint;         -- whose relay was to have it
ALTER TABLE choreo_outbox ADD COLUMN handed_until timestamptz; -- when others leave it to that one no longer
CREATE INDEX choreo_outbox_key ON choreo_outbox USING hash (aggregateid);
