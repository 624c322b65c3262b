-- One whose definition is known takes the place of one that is not. The JSON has a quote in a text as
-- \", so that only the field itself is found.
ALTER TABLE choreo_tracker_saga ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
UPDATE choreo_tracker_saga SET unknown = 1 WHERE row IN (
	SELECT row FROM choreo_tracker_snapshot WHERE instr(snapshot, CAST('"definition_unknown":true' AS BLOB)) > 0);

-- How many sagas there are of each class: of those that have all of these in common. Triggers
-- keep it, so that it is right whoever changes the sagas, an older build as well.
CREATE TABLE choreo_tracker_count (
	saga    BLOB NOT NULL,
	version INTEGER NOT NULL,
	status  BLOB NOT NULL,
	is_open INTEGER NOT NULL,
	terms   BLOB NOT NULL,
	sagas   INTEGER NOT NULL,
	PRIMARY KEY (saga, version, status, is_open, terms)
) STRICT, WITHOUT ROWID;
INSERT INTO choreo_tracker_count (saga, version, status, is_open, terms, sagas)
	SELECT saga, version, status, ended = 9223372036854775807, terms, count(*) FROM choreo_tracker_saga GROUP BY 1, 2, 3, 4, 5;
-- For the oldest of a class.
CREATE INDEX choreo_tracker_saga_open ON choreo_tracker_saga (saga, version, status, terms, started) WHERE ended = 9223372036854775807;

CREATE TRIGGER choreo_tracker_saga_added AFTER INSERT ON choreo_tracker_saga BEGIN
	INSERT INTO choreo_tracker_count (saga, version, status, is_open, terms, sagas)
		VALUES (new.saga, new.version, new.status, new.ended = 9223372036854775807, new.terms, 1)
		ON CONFLICT DO UPDATE SET sagas = sagas + 1;
END;
CREATE TRIGGER choreo_tracker_saga_removed AFTER DELETE ON choreo_tracker_saga BEGIN
	UPDATE choreo_tracker_count SET sagas = sagas - 1 WHERE saga = old.saga AND version = old.version AND status = old.status
		AND is_open = (old.ended = 9223372036854775807) AND terms = old.terms;
END;
CREATE TRIGGER choreo_tracker_saga_changed AFTER UPDATE ON choreo_tracker_saga
WHEN (old.saga, old.version, old.status, old.terms, old.ended = 9223372036854775807)
	IS NOT (new.saga, new.version, new.status, new.terms, new.ended = 9223372036854775807) BEGIN
	UPDATE choreo_tracker_count SET sagas = sagas - 1 WHERE saga = old.saga AND version = old.version AND status = old.status
		AND is_open = (old.ended = 9223372036854775807) AND terms = old.terms;
	INSERT INTO choreo_tracker_count (saga, version, status, is_open, terms, sagas)
		VALUES (new.saga, new.version, new.status, new.ended = 9223372036854775807, new.terms, 1)
		ON CONFLICT DO UPDATE SET sagas = sagas + 1;
END;
