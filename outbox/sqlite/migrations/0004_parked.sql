-- Records of sagas with which this service cannot go on, until it can. An index ends with
-- the rowid, and so keeps a saga's records in order.
CREATE TABLE choreo_parked (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    saga_id         TEXT NOT NULL,
    saga            TEXT NOT NULL,              -- name of the definition
    topic           TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset    INTEGER NOT NULL,
    record_time     INTEGER NOT NULL,           -- in milliseconds of Unix time
    record_key      BLOB,
    payload         BLOB,
    headers         BLOB,                       -- framed
    parked_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (saga_id, saga, topic, kafka_partition, kafka_offset)
) STRICT;
CREATE INDEX choreo_parked_order ON choreo_parked (saga_id, saga);

-- How many sagas are open is asked at each start. Most have ended.
CREATE INDEX choreo_saga_open ON choreo_saga (saga) WHERE state = 'open';
