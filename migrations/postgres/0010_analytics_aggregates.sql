-- Which aggregates in ClickHouse are older than what they are computed from.

-- An hour of clicks that something came for. It is marked in the transaction that moves the
-- position past the batch, and forgotten once its aggregates are computed, unless it was marked
-- again meanwhile.
CREATE TABLE analytics_stale_hours (
    hour   timestamptz PRIMARY KEY CHECK (date_trunc('hour', hour, 'UTC') = hour),
    clicks boolean NOT NULL,
    mark   uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE analytics_stale_hours IS
    'Hours whose aggregates in ClickHouse have to be computed anew; holds no tenant''s data';
COMMENT ON COLUMN analytics_stale_hours.hour IS 'Beginning of the hour of clicks.';
COMMENT ON COLUMN analytics_stale_hours.clicks IS
    'Whether its clicks have to be counted anew; its claims have to be anyway.';
COMMENT ON COLUMN analytics_stale_hours.mark IS
    'Another one with each batch, so that none is lost that comes during the computation.';

-- Computations are numbered: of each bucket the highest number counts.
CREATE TABLE analytics_computations (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL
);
INSERT INTO analytics_computations (version) VALUES (0);
COMMENT ON TABLE analytics_computations IS
    'Number of the last computation of aggregates; one row, no tenant''s data';
COMMENT ON COLUMN analytics_computations.one IS 'There is one row.';
COMMENT ON COLUMN analytics_computations.version IS
    'Taken by a computation before it reads; never below what ClickHouse has.';

GRANT SELECT, INSERT, UPDATE, DELETE ON analytics_stale_hours TO hissaback_writer;
GRANT SELECT, UPDATE ON analytics_computations TO hissaback_writer;
GRANT SELECT ON analytics_stale_hours, analytics_computations TO hissaback_operator;
