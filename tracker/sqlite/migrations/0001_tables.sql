-- Texts are kept as their bytes, so that they compare byte by byte, and hold what they may.
-- Times are nanoseconds since 1970; ended is the largest integer for a saga that has not.
CREATE TABLE choreo_tracker_saga (
	row        INTEGER PRIMARY KEY,
	saga       BLOB NOT NULL,
	id         BLOB NOT NULL,
	version    INTEGER NOT NULL,
	status     BLOB NOT NULL,
	log_offset INTEGER NOT NULL,
	started    INTEGER NOT NULL,
	updated    INTEGER NOT NULL,
	ended      INTEGER NOT NULL,
	terms      BLOB NOT NULL, -- each between two bytes 0xFF
	parts      BLOB NOT NULL,
	tags       BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX choreo_tracker_saga_name ON choreo_tracker_saga (saga, id);
CREATE INDEX choreo_tracker_saga_started ON choreo_tracker_saga (started, saga, id);
CREATE INDEX choreo_tracker_saga_updated ON choreo_tracker_saga (updated, saga, id);
CREATE INDEX choreo_tracker_saga_ended ON choreo_tracker_saga (ended, saga, id);
-- The last column is there so that counts by status need the index alone.
CREATE INDEX choreo_tracker_saga_status_started ON choreo_tracker_saga (status, started, saga, id, ended);
CREATE INDEX choreo_tracker_saga_status_updated ON choreo_tracker_saga (status, updated, saga, id);
-- Most sagas have ended, and have no terms: those that have some are met here alone.
CREATE INDEX choreo_tracker_saga_busy_started ON choreo_tracker_saga (started, saga, id) WHERE terms <> x'';
CREATE INDEX choreo_tracker_saga_busy_updated ON choreo_tracker_saga (updated, saga, id) WHERE terms <> x'';

-- Apart, so that the rows that are searched are narrow.
CREATE TABLE choreo_tracker_snapshot (
	row      INTEGER PRIMARY KEY,
	snapshot BLOB NOT NULL
) STRICT;

CREATE TABLE choreo_tracker_term (
	term BLOB NOT NULL,
	row  INTEGER NOT NULL,
	PRIMARY KEY (term, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE choreo_tracker_position (
	topic        BLOB NOT NULL,
	partition_id INTEGER NOT NULL,
	next         INTEGER NOT NULL,
	PRIMARY KEY (topic, partition_id)
) STRICT, WITHOUT ROWID;
