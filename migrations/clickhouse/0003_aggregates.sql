-- Aggregates by hour and day of the click, which clicks and claims have in common. The sink
-- recomputes a whole bucket from the deduplicated base whenever a batch touches it: a sum over
-- what arrives would count a repetition twice and never take a clawback back.
--
-- * A computation of a bucket is one insert into one partition, of rows with its version and of a
--   marker row under the tenant 0. The newest marker tells which rows of a bucket count, so that
--   a reader sees a bucket whole, as it was before or as it is after, and what is in a bucket no
--   more counts no more. Read them through the views.
-- * Claims lie in the hour of their click. `device` is that of the click, and empty until the
--   click is in.
-- * Clicks are kept for a time, aggregates for good: a bucket is recomputed only when something
--   comes for it.

CREATE TABLE IF NOT EXISTS hissaback.hourly_clicks
(
    hour         DateTime('UTC'),
    version      UInt64 COMMENT 'of the computation of the whole hour' CODEC(Delta, ZSTD),
    tenant_id    UUID,
    campaign_id  UUID,
    offer_id     Int32,
    link_id      UUID,
    country      LowCardinality(String),
    device       LowCardinality(String),
    clicks       UInt64 COMMENT 'all of them' CODEC(T64, ZSTD),
    bot_clicks   UInt64 COMMENT 'of them, those of known bots' CODEC(T64, ZSTD)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant_id, hour, campaign_id, offer_id, link_id, country, device)
COMMENT 'Clicks by hour of the click';

CREATE TABLE IF NOT EXISTS hissaback.hourly_conversions
(
    hour         DateTime('UTC'),
    version      UInt64 COMMENT 'of the computation of the whole hour' CODEC(Delta, ZSTD),
    tenant_id    UUID,
    campaign_id  UUID,
    offer_id     Int32,
    link_id      UUID,
    country      LowCardinality(String),
    device       LowCardinality(String),
    currency     LowCardinality(String) COMMENT 'of every amount',
    conversions  UInt64 COMMENT 'claims, whatever their status' CODEC(T64, ZSTD),
    pending      UInt64 CODEC(T64, ZSTD),
    in_review    UInt64 CODEC(T64, ZSTD),
    confirmed    UInt64 CODEC(T64, ZSTD),
    paid         UInt64 CODEC(T64, ZSTD),
    rejected     UInt64 CODEC(T64, ZSTD),
    reversed     UInt64 CODEC(T64, ZSTD),
    orders       UInt64 COMMENT 'confirmed or paid, with a known sale amount' CODEC(T64, ZSTD),
    order_value  Decimal(38, 6) COMMENT 'sale amounts of the orders',
    expected_commission Decimal(38, 6) COMMENT 'expected_*: as decided, whatever the status',
    expected_subsidy    Decimal(38, 6),
    expected_fee        Decimal(38, 6),
    expected_user       Decimal(38, 6),
    expected_creator    Decimal(38, 6),
    posted_commission   Decimal(38, 6) COMMENT 'posted_*: what stands in the books',
    posted_subsidy      Decimal(38, 6),
    posted_fee          Decimal(38, 6),
    posted_user         Decimal(38, 6),
    posted_creator      Decimal(38, 6),
    paid_amount         Decimal(38, 6),
    reasons             Map(LowCardinality(String), UInt64) COMMENT 'claims by reason of status',
    reason_commission   Map(LowCardinality(String), Decimal(38, 6))
        COMMENT 'expected commission by reason of status',
    sale_seconds        UInt64 COMMENT 'from click to sale, all claims together',
    sale_times          Map(UInt32, UInt64) COMMENT 'claims by upper bound of the seconds',
    ever_confirmed      UInt64 COMMENT 'claims that were confirmed, now or before',
    ever_commission     Decimal(38, 6) COMMENT 'the most that was posted of them',
    confirmation_seconds UInt64 COMMENT 'from sale to confirmation, all claims together',
    confirmation_times  Map(UInt32, UInt64) COMMENT 'claims by upper bound of the seconds',
    reversals           Map(UInt16, UInt64) COMMENT 'reversed claims by days since the sale',
    reversed_commission Map(UInt16, Decimal(38, 6)) COMMENT 'of ever_commission, those of reversals'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant_id, hour, campaign_id, offer_id, link_id, country, device, currency)
COMMENT 'Conversions by hour of the click';

CREATE TABLE IF NOT EXISTS hissaback.daily_clicks
(
    day          Date,
    version      UInt64 COMMENT 'of the computation of the whole day' CODEC(Delta, ZSTD),
    tenant_id    UUID,
    campaign_id  UUID,
    offer_id     Int32,
    link_id      UUID,
    country      LowCardinality(String),
    device       LowCardinality(String),
    clicks       UInt64 COMMENT 'all of them' CODEC(T64, ZSTD),
    bot_clicks   UInt64 COMMENT 'of them, those of known bots' CODEC(T64, ZSTD)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant_id, day, campaign_id, offer_id, link_id, country, device)
COMMENT 'Clicks by day of the click';

CREATE TABLE IF NOT EXISTS hissaback.daily_conversions
(
    day          Date,
    version      UInt64 COMMENT 'of the computation of the whole day' CODEC(Delta, ZSTD),
    tenant_id    UUID,
    campaign_id  UUID,
    offer_id     Int32,
    link_id      UUID,
    country      LowCardinality(String),
    device       LowCardinality(String),
    currency     LowCardinality(String) COMMENT 'of every amount',
    conversions  UInt64 COMMENT 'claims, whatever their status' CODEC(T64, ZSTD),
    pending      UInt64 CODEC(T64, ZSTD),
    in_review    UInt64 CODEC(T64, ZSTD),
    confirmed    UInt64 CODEC(T64, ZSTD),
    paid         UInt64 CODEC(T64, ZSTD),
    rejected     UInt64 CODEC(T64, ZSTD),
    reversed     UInt64 CODEC(T64, ZSTD),
    orders       UInt64 COMMENT 'confirmed or paid, with a known sale amount' CODEC(T64, ZSTD),
    order_value  Decimal(38, 6) COMMENT 'sale amounts of the orders',
    expected_commission Decimal(38, 6) COMMENT 'expected_*: as decided, whatever the status',
    expected_subsidy    Decimal(38, 6),
    expected_fee        Decimal(38, 6),
    expected_user       Decimal(38, 6),
    expected_creator    Decimal(38, 6),
    posted_commission   Decimal(38, 6) COMMENT 'posted_*: what stands in the books',
    posted_subsidy      Decimal(38, 6),
    posted_fee          Decimal(38, 6),
    posted_user         Decimal(38, 6),
    posted_creator      Decimal(38, 6),
    paid_amount         Decimal(38, 6),
    reasons             Map(LowCardinality(String), UInt64) COMMENT 'claims by reason of status',
    reason_commission   Map(LowCardinality(String), Decimal(38, 6))
        COMMENT 'expected commission by reason of status',
    sale_seconds        UInt64 COMMENT 'from click to sale, all claims together',
    sale_times          Map(UInt32, UInt64) COMMENT 'claims by upper bound of the seconds',
    ever_confirmed      UInt64 COMMENT 'claims that were confirmed, now or before',
    ever_commission     Decimal(38, 6) COMMENT 'the most that was posted of them',
    confirmation_seconds UInt64 COMMENT 'from sale to confirmation, all claims together',
    confirmation_times  Map(UInt32, UInt64) COMMENT 'claims by upper bound of the seconds',
    reversals           Map(UInt16, UInt64) COMMENT 'reversed claims by days since the sale',
    reversed_commission Map(UInt16, Decimal(38, 6)) COMMENT 'of ever_commission, those of reversals'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant_id, day, campaign_id, offer_id, link_id, country, device, currency)
COMMENT 'Conversions by day of the click';

-- Where each claim ever stood: a claim that moves to another click leaves an hour behind.
CREATE TABLE IF NOT EXISTS hissaback.claim_hours
(
    claim Int64,
    hour  DateTime('UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (claim, hour)
COMMENT 'Hours of the clicks that a claim stood or stands with';

INSERT INTO hissaback.claim_hours
SELECT DISTINCT claim, toStartOfHour(clicked_at) FROM hissaback.ledger_changes;

CREATE TABLE IF NOT EXISTS hissaback.aggregate_positions
(
    topic          LowCardinality(String),
    partition      Int32,
    next_offset    SimpleAggregateFunction(max, UInt64)
        COMMENT 'every record below it is in the aggregates',
    complete_up_to SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
        COMMENT 'every record that the log took before it is in the aggregates'
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, partition)
COMMENT 'How far each partition of the log is in the aggregates';

-- A new program that computes them otherwise raises it, and computes all again.
CREATE TABLE IF NOT EXISTS hissaback.aggregate_definition
(
    version SimpleAggregateFunction(max, UInt32) COMMENT 'by which all buckets were marked'
)
ENGINE = AggregatingMergeTree
ORDER BY tuple()
COMMENT 'By which definition the aggregates are computed';

-- The views of 0002 again, which say now that rows that replace each other lie in one partition: each
-- sorting key fixes its partition key. So the engine leaves out the months that a query doesn't ask
-- for, and merges within a month, and a month of one part not at all.

CREATE OR REPLACE VIEW hissaback.v_clicks AS
SELECT
    click_id, clicked_at, received_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
    device, origin, bitTest(signals, 0) AS bot, bitTest(signals, 1) AS data_centre,
    bitTest(signals, 2) AS proxy, address_hash, address_prefix, referrer
FROM hissaback.clicks FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW hissaback.v_conversions AS
SELECT
    source_partition, source_offset, event_id, received_at, appended_at, report_source, as_of,
    network_id, offer_id, network_conversion_id, txn_id, goal_id, status, sale_amount, payout,
    currency, converted_at, country, heals, heal_author
FROM hissaback.conversions FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW hissaback.v_decisions AS
SELECT
    source_partition, source_offset, event_id, received_at, decided_at, outcome, reason, error,
    click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, click_country,
    tenant_version, campaign_version, offer_version, rules_version, score, signals, self_purchase,
    currency, commission, subsidy, fee, user_part, creator_part
FROM hissaback.decisions FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW hissaback.v_claims AS
SELECT
    claim, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
    first_received_at, converted_at, payable_at, status, reasons, sale_amount, currency,
    expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
    posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
    changed_at
FROM hissaback.ledger_entries FINAL
WHERE NOT retired
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW hissaback.v_ledger_changes AS
SELECT
    epoch, sequence, changed_at, claim, click_id, clicked_at, tenant_id, campaign_id, status,
    retired, currency, posted_commission, posted_subsidy, posted_fee, posted_user,
    posted_creator, paid_amount, posting_accounts, posting_users, posting_currencies,
    posting_amounts
FROM hissaback.ledger_changes FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
