-- Which rows may be old enough to go: by when a row came to be, in the order of the rowids.
-- SQLite adds no column whose default is the time, so that the table is made anew.
CREATE TABLE choreo_step_new (
    saga_id         TEXT NOT NULL,
    saga            TEXT NOT NULL,              -- name of the definition
    step            TEXT NOT NULL,
    version         INTEGER NOT NULL,           -- of the definition
    state           TEXT NOT NULL,              -- waiting, completed, undone, …
    attempt         INTEGER NOT NULL,
    home            INTEGER NOT NULL,           -- the saga's partition
    announced       INTEGER NOT NULL,
    kept            INTEGER NOT NULL,
    bypassed        INTEGER NOT NULL,
    stuck           INTEGER NOT NULL,
    noted           TEXT,                       -- JSON array of steps; "" is the start
    settled         TEXT,                       -- JSON array of steps
    inputs          BLOB,                       -- framed
    output_step     TEXT,                       -- where it is not this step's own
    output_type     TEXT NOT NULL,              -- content type
    output          BLOB,
    failure_class   TEXT,
    failure_code    TEXT,
    failure_message TEXT,
    updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    due_at          INTEGER,                    -- in microseconds of Unix time
    origin          TEXT,                       -- JSON: what later events of the step refer to
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (saga_id, saga, step)
) STRICT;
INSERT INTO choreo_step_new (
    saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck,
    noted, settled, inputs, output_step, output_type, output, failure_class, failure_code,
    failure_message, updated_at, due_at, origin)
SELECT
    saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck,
    noted, settled, inputs, output_step, output_type, output, failure_class, failure_code,
    failure_message, updated_at, due_at, origin
FROM choreo_step ORDER BY rowid;
DROP TABLE choreo_step;
ALTER TABLE choreo_step_new RENAME TO choreo_step;
CREATE INDEX choreo_step_due ON choreo_step (due_at) WHERE due_at IS NOT NULL;
