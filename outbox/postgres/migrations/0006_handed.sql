-- Entries that a unit hands to its process's relay, which publishes them from memory. A unit looks
-- for older entries of its keys first: an index by hash takes keys of any length.
ALTER TABLE choreo_outbox ADD COLUMN handed_by bigint;   -- whose relay was to have it
CREATE INDEX choreo_outbox_key ON choreo_outbox USING hash (aggregateid);
-- For some seconds from its commit, and not from the begin of its transaction, others leave such
-- an entry alone.
ALTER TABLE choreo_outbox ALTER COLUMN created_at SET DEFAULT clock_timestamp();
