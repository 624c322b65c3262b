-- One whose definition is known takes the place of one that is not. The JSON has a quote in a text as
-- \", so that only the field itself is found.
ALTER TABLE choreo_tracker_saga ADD COLUMN unknown boolean NOT NULL DEFAULT false;
UPDATE choreo_tracker_saga SET unknown = true WHERE position('"definition_unknown":true' IN snapshot::text) > 0;

-- How many sagas there are of each class: of those that have all of these in common. Triggers
-- keep it, so that it is right whoever changes the sagas, an older build as well. A class may have
-- several rows, whose sum counts.
CREATE TABLE choreo_tracker_count (
	saga    bytea NOT NULL,
	version bigint NOT NULL,
	status  bytea NOT NULL,
	is_open boolean NOT NULL,
	terms   bytea[] NOT NULL,
	sagas   bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000); -- its rows come and go
INSERT INTO choreo_tracker_count (saga, version, status, is_open, terms, sagas)
	SELECT saga, version, status, ended = 9223372036854775807, terms, count(*) FROM choreo_tracker_saga GROUP BY 1, 2, 3, 4, 5;
-- For the oldest of a class.
CREATE INDEX choreo_tracker_saga_open ON choreo_tracker_saga
	(hash_array_extended(ARRAY[saga, status, int8send(version)] || terms, 0), started) WHERE ended = 9223372036854775807;

CREATE FUNCTION choreo_tracker_saga_count() RETURNS trigger LANGUAGE plpgsql AS $count$
DECLARE
	columns text := 'saga, version, status, ended, terms';
	changes text;
BEGIN
	IF TG_OP = 'DELETE' THEN
		changes := format('SELECT -1 AS change, %s FROM choreo_old', columns);
	ELSIF NOT EXISTS (SELECT FROM choreo_new) THEN
		RETURN NULL; -- a statement that may insert or update fires for either
	ELSIF TG_OP = 'INSERT' THEN
		changes := format('SELECT 1 AS change, %s FROM choreo_new', columns);
	ELSE
		changes := format('SELECT 1 AS change, %s FROM choreo_new UNION ALL SELECT -1, %1$s FROM choreo_old', columns);
	END IF;
	-- The caller's search_path need not have the schema.
	EXECUTE format('INSERT INTO %I.choreo_tracker_count (saga, version, status, is_open, terms, sagas)
		SELECT saga, version, status, ended = 9223372036854775807, terms, sum(change) FROM (%s) c
		GROUP BY 1, 2, 3, 4, 5 HAVING sum(change) <> 0', TG_TABLE_SCHEMA, changes);
	RETURN NULL;
END
$count$;
CREATE TRIGGER choreo_tracker_saga_added AFTER INSERT ON choreo_tracker_saga
	REFERENCING NEW TABLE AS choreo_new FOR EACH STATEMENT EXECUTE FUNCTION choreo_tracker_saga_count();
CREATE TRIGGER choreo_tracker_saga_changed AFTER UPDATE ON choreo_tracker_saga
	REFERENCING OLD TABLE AS choreo_old NEW TABLE AS choreo_new FOR EACH STATEMENT EXECUTE FUNCTION choreo_tracker_saga_count();
CREATE TRIGGER choreo_tracker_saga_removed AFTER DELETE ON choreo_tracker_saga
	REFERENCING OLD TABLE AS choreo_old FOR EACH STATEMENT EXECUTE FUNCTION choreo_tracker_saga_count();
