-- What the analytics sink has inserted into ClickHouse, per partition of the log.
--
-- A batch's bounds are stored here before it is inserted, and cleared together with the step
-- forward once ClickHouse has acknowledged it: after a crash in between, the same records make
-- the same block with the same deduplication token.
CREATE TABLE analytics_positions (
    topic               text    NOT NULL,
    partition           integer NOT NULL CHECK (partition >= 0),
    -- Every record below it is in ClickHouse.
    next_offset         bigint  NOT NULL CHECK (next_offset >= 0),
    -- Last record of the batch that begins at next_offset and may be in ClickHouse or not.
    pending_last_offset bigint  CHECK (pending_last_offset >= next_offset),
    PRIMARY KEY (topic, partition)
);

COMMENT ON TABLE analytics_positions IS
    'Progress of the analytics sink; holds no tenant''s data, so no row-level security';

GRANT SELECT, INSERT, UPDATE ON analytics_positions TO hissaback_writer;
GRANT SELECT ON analytics_positions TO hissaback_operator;
