-- When a row is to be acted on although nothing is read: a step to try again or to give
-- up waiting for, a saga past its deadline. Most rows are never due.
ALTER TABLE choreo_step ADD COLUMN due_at timestamptz;
ALTER TABLE choreo_step ADD COLUMN origin text;   -- JSON: what later events of the step refer to
ALTER TABLE choreo_saga ADD COLUMN due_at timestamptz;
ALTER TABLE choreo_saga ADD COLUMN origin text;
CREATE INDEX choreo_step_due ON choreo_step (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX choreo_saga_due ON choreo_saga (due_at) WHERE due_at IS NOT NULL;
