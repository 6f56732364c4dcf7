-- Two creators, eight clicks, six claims and two payouts of October 2026, small enough to be added up
-- by hand. Creator 1 has one campaign (c1) with two links, creator 2 one (c2) with one.

INSERT INTO hissaback.clicks
    (click_id, clicked_at, received_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
     device, origin, signals, address_hash, address_prefix, referrer, appended_at,
     source_partition, source_offset)
SELECT
    click_id, clicked_at, clicked_at,
    if(creator = 1, '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'),
    if(creator = 1, '00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-0000000000c2'),
    toUUID(concat('00000000-0000-0000-0000-00000000000', link)),
    offer_id,
    if(user = 0, NULL, toUUID(concat('00000000-0000-0000-0000-0000000000a', toString(user)))),
    country, device, 'redirect', signals, '', '203.0.113.0/24', '', clicked_at, 0, click_id
FROM values(
    'click_id Int64, clicked_at DateTime64(3, ''UTC''), creator UInt8, link String, offer_id Int32,
     user UInt8, country String, device String, signals UInt8',
    (1, '2026-10-01 10:00:00', 1, 'a', 7, 1, 'IN', 'mobile', 0),
    (2, '2026-10-01 11:00:00', 1, 'a', 7, 2, 'IN', 'desktop', 0),
    (3, '2026-10-01 12:00:00', 1, 'b', 7, 1, 'IN', 'mobile', 0),
    (4, '2026-10-01 12:30:00', 1, 'b', 7, 0, 'US', 'mobile', 1),
    (5, '2026-10-02 10:00:00', 2, 'c', 8, 3, 'IN', 'mobile', 0),
    (6, '2026-10-02 10:30:00', 2, 'c', 8, 3, 'IN', 'tablet', 0),
    (7, '2026-10-09 10:00:00', 2, 'c', 8, 2, 'IN', 'mobile', 0),
    (8, '2026-10-09 23:00:00', 2, 'c', 8, 4, 'IN', 'mobile', 4)
);

-- How each claim got where it is. Claims 1, 3 and 5 stand; 2 was clawed back after 13 days; 4 waits
-- in review; 6 is a duplicate.
CREATE TABLE hissaback.steps
(
    claim Int64, sequence Int64, changed_at DateTime64(3, 'UTC'), status String,
    reasons Array(String), sale_amount Decimal(20, 6), commission Decimal(20, 6),
    user_part Decimal(20, 6), creator_part Decimal(20, 6), posted UInt8, paid Decimal(20, 6),
    converted_at DateTime64(3, 'UTC'), click_id Int64
)
ENGINE = Memory;

INSERT INTO hissaback.steps VALUES
    (1, 1, '2026-10-01 12:30:00', 'pending', [], 1999, 159.92, 95.95, 63.97, 0, 0, '2026-10-01 12:20:00', 1),
    (1, 2, '2026-10-11 12:30:00', 'confirmed', [], 1999, 159.92, 95.95, 63.97, 1, 0, '2026-10-01 12:20:00', 1),
    (1, 9, '2026-11-05 10:00:00', 'paid', [], 1999, 159.92, 95.95, 63.97, 1, 95.95, '2026-10-01 12:20:00', 1),
    (2, 3, '2026-10-02 11:00:00', 'confirmed', [], 500, 40, 24, 16, 1, 0, '2026-10-01 12:00:00', 2),
    (2, 8, '2026-10-15 11:00:00', 'reversed', ['network_cancelled'], 500, 40, 24, 16, 0, 0, '2026-10-01 12:00:00', 2),
    (3, 4, '2026-10-01 12:40:00', 'pending', [], 1000, 80, 48, 32, 0, 0, '2026-10-01 12:40:00', 3),
    (4, 5, '2026-10-01 12:30:10', 'review', ['score'], 9999, 799.92, 479.95, 319.97, 0, 0, '2026-10-01 12:30:10', 4),
    (5, 6, '2026-10-02 11:00:00', 'pending', [], 1000, 100, 60, 40, 0, 0, '2026-10-02 11:00:00', 5),
    (5, 10, '2026-10-04 10:00:00', 'confirmed', [], 1000, 100, 60, 40, 1, 0, '2026-10-02 11:00:00', 5),
    (6, 7, '2026-10-09 10:10:00', 'rejected', ['duplicate_order'], 1000, 100, 60, 40, 0, 0, '2026-10-09 10:10:00', 7);

INSERT INTO hissaback.ledger_entries
    (claim, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
     first_received_at, converted_at, payable_at, status, reasons, sale_amount, currency,
     expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
     posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
     retired, epoch, sequence, changed_at)
SELECT
    step.claim, step.click_id, click.clicked_at, click.tenant_id, click.campaign_id, click.link_id,
    click.offer_id, click.user_id, click.country,
    min(step.changed_at) OVER (PARTITION BY step.claim), step.converted_at,
    step.converted_at + INTERVAL 30 DAY, step.status, step.reasons, step.sale_amount, 'INR',
    step.commission, 0, 0, step.user_part, step.creator_part,
    step.commission * step.posted, 0, 0, step.user_part * step.posted,
    step.creator_part * step.posted, step.paid, false, 1, step.sequence, step.changed_at
FROM hissaback.steps AS step
INNER JOIN hissaback.clicks AS click ON click.click_id = step.click_id;

INSERT INTO hissaback.ledger_changes
    (epoch, sequence, changed_at, claim, click_id, clicked_at, tenant_id, campaign_id, status,
     retired, currency, posted_commission, posted_subsidy, posted_fee, posted_user,
     posted_creator, paid_amount)
SELECT
    1, step.sequence, step.changed_at, step.claim, step.click_id, click.clicked_at,
    click.tenant_id, click.campaign_id, step.status, false, 'INR',
    step.commission * step.posted, 0, 0, step.user_part * step.posted,
    step.creator_part * step.posted, step.paid
FROM hissaback.steps AS step
INNER JOIN hissaback.clicks AS click ON click.click_id = step.click_id;

DROP TABLE hissaback.steps SYNC;

-- Seven reports of the six claims, and two that found no click.
INSERT INTO hissaback.conversions
    (source_partition, source_offset, event_id, received_at, appended_at, report_source,
     network_id, status, precedence)
SELECT
    0, number, 1000 + number, toDateTime64('2026-10-01 13:00:00', 3, 'UTC') + toIntervalHour(number)
        AS received_at,
    received_at, 'postback', if(number = 8, 2, 1), 'approved', 1
FROM numbers(9);

INSERT INTO hissaback.decisions
    (source_partition, source_offset, event_id, received_at, decided_at, outcome, reason, error,
     click_id, score, precedence)
SELECT
    0, number, 1000 + number, toDateTime64('2026-10-01 13:00:00', 3, 'UTC') + toIntervalHour(number)
        AS received_at,
    received_at, if(number < 7, 'matched', 'unmatched'), if(number < 7, '', 'unknown_click'), '',
    if(number < 7, number + 1, 99), 0, 1
FROM numbers(9);

INSERT INTO hissaback.payouts
    (payout_id, tenant_id, user_id, currency, amount, as_of, method, item_claims, item_amounts,
     requested_at)
VALUES
    ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-000000000001',
     '00000000-0000-0000-0000-0000000000a1', 'INR', 95, '2026-10-31 20:00:00', 'agcod', [1], [95],
     '2026-10-31 20:00:01'),
    ('00000000-0000-0000-0000-0000000000f2', '00000000-0000-0000-0000-000000000002',
     '00000000-0000-0000-0000-0000000000a3', 'INR', 60, '2026-10-31 20:00:00', 'agcod', [5], [60],
     '2026-10-31 20:00:01');

INSERT INTO hissaback.payout_steps (payout_id, step, attempt, at, detail, source_offset) VALUES
    ('00000000-0000-0000-0000-0000000000f1', 'sending', 1, '2026-10-31 20:00:02', '', 0),
    ('00000000-0000-0000-0000-0000000000f1', 'funded', 1, '2026-10-31 20:00:05', '', 1);

INSERT INTO hissaback.positions VALUES
    ('clicks', 0, 9, '2026-11-05 10:00:00'), ('ledger', 0, 9, '2026-11-05 10:00:00'),
    ('ledger', 1, 0, '2026-11-05 09:59:00')
