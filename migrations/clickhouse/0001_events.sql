-- Analytics: what analysts query. Derived from the log: it can be thrown away and rebuilt.
--
-- * Delivery is at least once, so every table replaces by identity: the sorting key, and the
--   partition key too, are made of columns that the identity fixes, and FINAL (in the views) shows
--   one row each. A batch that is inserted again carries the same insert_deduplication_token, and
--   is dropped whole while it lies within the table's window.
-- * Absent is never zero: amounts and times that may be unknown are Nullable. Where a name or a
--   code is unknown, the text is empty.
-- * Amounts are decimals to six places in the currency beside them; times are UTC.
-- * No TTL: tables are partitioned by month, and retention drops months by the product's own
--   clock, which the demo and a replay set.
--
-- One statement ends with a semicolon at the end of a line; each can be run again.

CREATE DATABASE IF NOT EXISTS hissaback ENGINE = Atomic;

CREATE TABLE IF NOT EXISTS hissaback.clicks
(
    click_id         Int64 CODEC(Delta, ZSTD),
    clicked_at       DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    received_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    tenant_id        UUID,
    campaign_id      UUID,
    link_id          UUID,
    offer_id         Int32,
    user_id          Nullable(UUID),
    country          LowCardinality(String),
    device           LowCardinality(String),
    origin           LowCardinality(String) COMMENT 'redirect or api',
    signals          UInt8 COMMENT 'bits: 1 bot, 2 data centre, 4 proxy',
    address_hash     String COMMENT 'keyed hash, hex',
    address_prefix   LowCardinality(String) COMMENT '/24 or /48',
    referrer         String COMMENT 'page without its query',
    appended_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    source_partition Int32,
    source_offset    Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(clicked_at)
ORDER BY (tenant_id, toDate(clicked_at), campaign_id, click_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic clicks. Identity: click_id';

CREATE TABLE IF NOT EXISTS hissaback.conversions
(
    source_partition      Int32,
    source_offset         Int64 CODEC(Delta, ZSTD),
    event_id              Int64 COMMENT 'kept by the heals of a report; 0 for an unreadable record',
    received_at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    appended_at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    report_source         LowCardinality(String) COMMENT 'postback, csv or api',
    as_of                 Nullable(DateTime64(3, 'UTC')) COMMENT 'of the snapshot, for csv and api',
    network_id            Int32,
    offer_id              Nullable(Int32) COMMENT 'as the network names it',
    network_conversion_id String,
    txn_id                String,
    goal_id               String,
    status                LowCardinality(String) COMMENT 'what the network says of it',
    sale_amount           Nullable(Decimal(20, 6)),
    payout                Nullable(Decimal(20, 6)) COMMENT 'amount or percentage, by the network',
    currency              LowCardinality(String) COMMENT 'empty: the default of the network',
    converted_at          Nullable(DateTime64(3, 'UTC')) COMMENT 'the time that the network gives',
    country               LowCardinality(String),
    heals                 String COMMENT 'position of the parked report that this one heals',
    heal_author           LowCardinality(String) COMMENT 'operator or machine',
    precedence            UInt64 COMMENT 'of several decisions on one report the first counts'
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(received_at)
ORDER BY (toDate(received_at), source_partition, source_offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'One row for each record of topic conversions. Identity: its position. Fates: the ledger';

CREATE TABLE IF NOT EXISTS hissaback.decisions
(
    source_partition Int32 COMMENT 'position of the report in topic conversions',
    source_offset    Int64 CODEC(Delta, ZSTD),
    event_id         Int64,
    received_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    decided_at       DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    outcome          LowCardinality(String) COMMENT 'matched, unmatched, ignored or poisoned',
    reason           LowCardinality(String) COMMENT 'why it is unmatched or ignored',
    error            String COMMENT 'why a poisoned record is unreadable',
    click_id         Nullable(Int64),
    clicked_at       Nullable(DateTime64(3, 'UTC')),
    tenant_id        Nullable(UUID),
    campaign_id      Nullable(UUID),
    link_id          Nullable(UUID),
    offer_id         Nullable(Int32) COMMENT 'of the click',
    user_id          Nullable(UUID),
    click_country    LowCardinality(String),
    tenant_version   Nullable(Int32),
    campaign_version Nullable(Int32),
    offer_version    Nullable(Int32),
    rules_version    Nullable(Int32),
    score            Int32,
    signals          Array(LowCardinality(String)),
    self_purchase    LowCardinality(String) COMMENT 'phone or email, where it equals a member''s',
    currency         LowCardinality(String) COMMENT 'of the commission and its parts',
    commission       Nullable(Decimal(20, 6)) COMMENT 'of this report taken alone',
    subsidy          Nullable(Decimal(20, 6)),
    fee              Nullable(Decimal(20, 6)),
    user_part        Nullable(Decimal(20, 6)),
    creator_part     Nullable(Decimal(20, 6)),
    precedence       UInt64,
    INDEX tenant tenant_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(received_at)
ORDER BY (toDate(received_at), source_partition, source_offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic decisions. Identity: position of the report in topic conversions';

-- A claim keeps its name when a heal moves it to another click, so that nothing of the click may be
-- in the keys. The month is that of the claim's first report, which its name holds: milliseconds
-- since 2020 in the upper bits. Names grow with time, so that a span of them is a span of time.
CREATE TABLE IF NOT EXISTS hissaback.ledger_entries
(
    claim               Int64 COMMENT 'event id of the lowest-ranked report',
    click_id            Int64,
    clicked_at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    tenant_id           UUID,
    campaign_id         UUID,
    link_id             UUID,
    offer_id            Int32,
    user_id             Nullable(UUID),
    country             LowCardinality(String),
    first_received_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    converted_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    payable_at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    status              LowCardinality(String),
    reasons             Array(LowCardinality(String)),
    sale_amount         Nullable(Decimal(20, 6)) COMMENT 'in the reported currency',
    currency            LowCardinality(String) COMMENT 'of everything below',
    expected_commission Decimal(20, 6),
    expected_subsidy    Decimal(20, 6),
    expected_fee        Decimal(20, 6),
    expected_user       Decimal(20, 6),
    expected_creator    Decimal(20, 6),
    posted_commission   Decimal(20, 6),
    posted_subsidy      Decimal(20, 6),
    posted_fee          Decimal(20, 6),
    posted_user         Decimal(20, 6),
    posted_creator      Decimal(20, 6),
    paid_amount         Decimal(20, 6),
    retired             Bool COMMENT 'the claim goes by another name, or its reports moved away',
    epoch               Int64,
    sequence            Int64,
    changed_at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    version             UInt128 MATERIALIZED
        bitOr(bitShiftLeft(toUInt128(epoch), 64), toUInt128(sequence)) COMMENT 'the highest counts'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(bitShiftRight(claim, 22) + 1577836800000, 'UTC'))
ORDER BY claim
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic ledger: newest state of each claim. Identity: claim';

CREATE TABLE IF NOT EXISTS hissaback.ledger_changes
(
    epoch              Int64,
    sequence           Int64,
    changed_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    claim              Int64,
    click_id           Int64,
    clicked_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    tenant_id          UUID,
    campaign_id        UUID,
    status             LowCardinality(String),
    retired            Bool,
    currency           LowCardinality(String),
    posted_commission  Decimal(20, 6) COMMENT 'what stood in the books after it',
    posted_subsidy     Decimal(20, 6),
    posted_fee         Decimal(20, 6),
    posted_user        Decimal(20, 6),
    posted_creator     Decimal(20, 6),
    paid_amount        Decimal(20, 6),
    posting_accounts   Array(LowCardinality(String)) COMMENT 'what was posted by it, line by line',
    posting_users      Array(Nullable(UUID)),
    posting_currencies Array(LowCardinality(String)),
    posting_amounts    Array(Decimal(20, 6))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(clicked_at)
ORDER BY (tenant_id, toDate(clicked_at), campaign_id, click_id, claim, epoch, sequence)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic ledger: how each claim got where it is. Identity: epoch and sequence';

CREATE TABLE IF NOT EXISTS hissaback.payouts
(
    payout_id    UUID,
    tenant_id    UUID,
    user_id      UUID,
    currency     LowCardinality(String),
    amount       Decimal(20, 6),
    as_of        DateTime64(3, 'UTC') COMMENT 'of the run: only claims payable before it are in',
    method       LowCardinality(String),
    item_claims  Array(Int64),
    item_amounts Array(Decimal(20, 6)),
    requested_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(as_of)
ORDER BY (tenant_id, toDate(as_of), payout_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic payouts. Identity: payout_id';

CREATE TABLE IF NOT EXISTS hissaback.payout_steps
(
    payout_id     UUID,
    step          LowCardinality(String),
    attempt       Int32,
    at            DateTime64(3, 'UTC'),
    detail        String COMMENT 'error code and type as the rail gave them',
    source_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (payout_id, step, attempt, at)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Topic payout-results. Identity: payout_id, step, attempt and time';

-- Both values only grow, so that rows merge by their maximum.
CREATE TABLE IF NOT EXISTS hissaback.positions
(
    topic          LowCardinality(String),
    partition      Int32,
    next_offset    SimpleAggregateFunction(max, UInt64) COMMENT 'every record below it is in',
    complete_up_to SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
        COMMENT 'every record that the log took before it is in'
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, partition)
COMMENT 'How far each partition of the log is in';
