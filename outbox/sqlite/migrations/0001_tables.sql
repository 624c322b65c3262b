-- A step of one saga that this service owns: one row for each, kept after the end.
CREATE TABLE choreo_step (
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
    PRIMARY KEY (saga_id, saga, step)
) STRICT;

-- A saga that this service started.
CREATE TABLE choreo_saga (
    saga_id         TEXT NOT NULL,
    saga            TEXT NOT NULL,
    version         INTEGER NOT NULL,
    state           TEXT NOT NULL,              -- open, closed
    attempt         INTEGER NOT NULL,
    home            INTEGER NOT NULL,
    announced       INTEGER NOT NULL,
    kept            INTEGER NOT NULL,
    bypassed        INTEGER NOT NULL,
    stuck           INTEGER NOT NULL,
    noted           TEXT,
    settled         TEXT,
    inputs          BLOB,
    output_step     TEXT,
    output_type     TEXT NOT NULL,
    output          BLOB,
    failure_class   TEXT,
    failure_code    TEXT,
    failure_message TEXT,
    started_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (saga_id, saga)
) STRICT;

-- Records on their way to the log, deleted once it has them.
CREATE TABLE choreo_outbox (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL,              -- a UUID
    aggregatetype   TEXT NOT NULL,              -- topic
    aggregateid     TEXT NOT NULL,              -- key
    type            TEXT NOT NULL,
    payload         BLOB,
    kafka_partition INTEGER NOT NULL,
    record_key      BLOB,                       -- where the key is no text
    headers         BLOB,                       -- framed
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
