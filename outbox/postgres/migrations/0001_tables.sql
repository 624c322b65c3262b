-- A step of one saga that this service owns: one row for each, kept after the end.
CREATE TABLE choreo_step (
    saga_id         text NOT NULL,
    saga            text NOT NULL,              -- name of the definition
    step            text NOT NULL,
    version         integer NOT NULL,           -- of the definition
    state           text NOT NULL,              -- waiting, completed, undone, …
    attempt         integer NOT NULL,
    home            integer NOT NULL,           -- the saga's partition
    announced       boolean NOT NULL,
    kept            boolean NOT NULL,
    bypassed        boolean NOT NULL,
    stuck           boolean NOT NULL,
    noted           text,                       -- JSON array of steps; "" is the start
    settled         text,                       -- JSON array of steps
    inputs          bytea,                      -- framed
    output_step     text,                       -- where it is not this step's own
    output_type     text NOT NULL,              -- content type
    output          bytea,
    failure_class   text,
    failure_code    text,
    failure_message text,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (saga_id, saga, step)
) WITH (
    -- Room for the updates of a row on its own page.
    fillfactor = 90,
    -- Not before the table has many pages: statistics of a tiny one suggest to read all
    -- of it, and prepared statements would go on doing so while it grows.
    autovacuum_analyze_threshold = 2000,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = 2000
);

-- A saga that this service started.
CREATE TABLE choreo_saga (
    saga_id         text NOT NULL,
    saga            text NOT NULL,
    version         integer NOT NULL,
    state           text NOT NULL,              -- open, closed
    attempt         integer NOT NULL,
    home            integer NOT NULL,
    announced       boolean NOT NULL,
    kept            boolean NOT NULL,
    bypassed        boolean NOT NULL,
    stuck           boolean NOT NULL,
    noted           text,
    settled         text,
    inputs          bytea,
    output_step     text,
    output_type     text NOT NULL,
    output          bytea,
    failure_class   text,
    failure_code    text,
    failure_message text,
    started_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (saga_id, saga)
) WITH (
    fillfactor = 90,
    autovacuum_analyze_threshold = 2000,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = 2000
);

-- Records on their way to the log, deleted once it has them.
CREATE TABLE choreo_outbox (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL,
    aggregatetype   text NOT NULL,              -- topic
    aggregateid     text NOT NULL,              -- key
    type            text NOT NULL,
    payload         bytea,
    kafka_partition integer NOT NULL,
    record_key      bytea,                      -- where the key is no text
    headers         bytea,                      -- framed
    created_at      timestamptz NOT NULL DEFAULT now()
) WITH (
    -- All rows die young: clean up early, and at full speed.
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 100000
);
