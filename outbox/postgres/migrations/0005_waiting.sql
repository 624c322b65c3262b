-- What waits without a time, for an operator or for an answer from outside: few of many rows.
-- The column is one of its own so that the updates of other rows, in whose state nothing
-- of that changes, touch no index.
ALTER TABLE choreo_step ADD COLUMN held boolean NOT NULL
    GENERATED ALWAYS AS (state = 'undo-failed' OR state = 'pending' AND due_at IS NULL) STORED;
CREATE INDEX choreo_step_held ON choreo_step (created_at) WHERE held;
