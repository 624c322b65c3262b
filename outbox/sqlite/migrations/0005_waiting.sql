-- What waits without a time, for an operator or for an answer from outside: few of many rows.
CREATE INDEX choreo_step_held ON choreo_step (created_at)
    WHERE state = 'undo-failed' OR state = 'pending' AND due_at IS NULL;
