-- Which rows may be old enough to go. When a row came to be never changes, so that the
-- updates of a row, which touch no index, stay so.
ALTER TABLE choreo_step ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX choreo_step_created ON choreo_step (created_at);
CREATE INDEX choreo_saga_started ON choreo_saga (started_at);
