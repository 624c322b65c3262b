-- Records of sagas with which this service cannot go on, until it can.
CREATE TABLE choreo_parked (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id         text NOT NULL,
    saga            text NOT NULL,              -- name of the definition
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    record_time     bigint NOT NULL,            -- in milliseconds of Unix time
    record_key      bytea,
    payload         bytea,
    headers         bytea,                      -- framed
    parked_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (saga_id, saga, topic, kafka_partition, kafka_offset)
) WITH (
    -- Empty most of the time, and all at once full or empty again. Its payloads are large:
    -- clean up early, and at full speed.
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0,
    -- Not before it has many pages, as with the others.
    autovacuum_analyze_threshold = 2000
);
CREATE INDEX choreo_parked_order ON choreo_parked (saga_id, saga, seq);

-- How many sagas are open is asked at each start. Most have ended.
CREATE INDEX choreo_saga_open ON choreo_saga (saga) WHERE state = 'open';
