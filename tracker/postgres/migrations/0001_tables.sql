-- Texts are kept as their bytes, so that they compare byte by byte, and hold what they may.
-- Times are nanoseconds since 1970; ended is the largest bigint for a saga that has not.
CREATE TABLE choreo_tracker_saga (
	saga       bytea NOT NULL,
	id         bytea NOT NULL,
	version    bigint NOT NULL,
	status     bytea NOT NULL,
	log_offset bigint NOT NULL,
	started    bigint NOT NULL,
	updated    bigint NOT NULL,
	ended      bigint NOT NULL,
	terms      bytea[] NOT NULL,
	parts      bytea NOT NULL,
	tags       bytea NOT NULL,
	snapshot   json NOT NULL,
	PRIMARY KEY (saga, id)
) WITH (toast_tuple_target = 128); -- so that the rows that are searched are narrow: the snapshot lies apart
CREATE INDEX choreo_tracker_saga_started ON choreo_tracker_saga (started, saga, id);
CREATE INDEX choreo_tracker_saga_updated ON choreo_tracker_saga (updated, saga, id);
CREATE INDEX choreo_tracker_saga_ended ON choreo_tracker_saga (ended, saga, id);
-- The last column is there so that counts by status need the index alone.
CREATE INDEX choreo_tracker_saga_status_started ON choreo_tracker_saga (status, started, saga, id, ended);
CREATE INDEX choreo_tracker_saga_status_updated ON choreo_tracker_saga (status, updated, saga, id);
-- Most sagas have ended, and have no terms: those that have some are met here alone.
CREATE INDEX choreo_tracker_saga_busy_started ON choreo_tracker_saga (started, saga, id) WHERE terms <> '{}';
CREATE INDEX choreo_tracker_saga_busy_updated ON choreo_tracker_saga (updated, saga, id) WHERE terms <> '{}';
CREATE INDEX choreo_tracker_saga_terms ON choreo_tracker_saga USING gin (terms);

CREATE TABLE choreo_tracker_position (
	topic        bytea NOT NULL,
	partition_id integer NOT NULL,
	next         bigint NOT NULL,
	PRIMARY KEY (topic, partition_id)
);
