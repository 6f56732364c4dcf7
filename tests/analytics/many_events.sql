-- Events in the shapes of a growing platform, deterministic: 90 days up to the end of October 2026,
-- 200 creators of whom few have most, 1,000 campaigns, 5,000 links, 300 offers, a million shoppers.
-- {clicks:UInt64} clicks; every 22nd becomes a claim with one report and two changes.

INSERT INTO hissaback.clicks
    (click_id, clicked_at, received_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
     device, origin, signals, address_hash, address_prefix, referrer, appended_at,
     source_partition, source_offset)
WITH
    number AS n,
    fromUnixTimestamp64Milli(
        toInt64(1785715200000 + intDiv(n * 7776000000, {clicks:UInt64})), 'UTC'
    ) AS at,
    toUInt32(floor(200 * pow((cityHash64(n, 1) % 100000) / 100000, 2))) AS creator,
    creator * 5 + cityHash64(n, 2) % 5 AS campaign,
    campaign * 5 + cityHash64(n, 3) % 5 AS link
SELECT
    bitOr(bitShiftLeft(toUnixTimestamp64Milli(at) - 1577836800000, 22), toInt64(n % 4096)), at, at,
    toUUID(concat('00000000-0000-0000-0000-', leftPad(lower(hex(creator)), 12, '0'))),
    toUUID(concat('00000000-0000-0000-0001-', leftPad(lower(hex(campaign)), 12, '0'))),
    toUUID(concat('00000000-0000-0000-0002-', leftPad(lower(hex(link)), 12, '0'))),
    toInt32(campaign % 300),
    if(
        cityHash64(n, 4) % 10 < 6,
        toUUID(concat('00000000-0000-0000-0003-',
            leftPad(lower(hex(cityHash64(n, 5) % 1000000)), 12, '0'))),
        NULL
    ),
    ['IN', 'IN', 'IN', 'IN', 'IN', 'IN', 'IN', 'AE', 'US', 'GB'][1 + cityHash64(n, 6) % 10],
    ['mobile', 'mobile', 'mobile', 'desktop', 'tablet'][1 + cityHash64(n, 7) % 5],
    'redirect', if(cityHash64(n, 8) % 50 = 0, 1, 0), lower(hex(cityHash64(n, 9) % 3000000)),
    concat('203.0.', toString(cityHash64(n, 9) % 256), '.0/24'), '', at,
    toInt32(n % 12), toInt64(intDiv(n, 12))
FROM numbers({clicks:UInt64});

CREATE TABLE hissaback.sold ENGINE = Memory AS
SELECT
    rowNumberInAllBlocks() AS sale, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id,
    user_id, country, source_partition,
    cityHash64(click_id, 1) % 100 AS luck,
    clicked_at + toIntervalSecond(cityHash64(click_id, 2) % 86400) AS converted_at,
    converted_at + toIntervalSecond(20) AS reported_at,
    converted_at + toIntervalHour(24 + cityHash64(click_id, 3) % 600) AS decided_at,
    bitOr(bitShiftLeft(toUnixTimestamp64Milli(reported_at) - 1577836800000, 22),
        bitAnd(click_id, 4095)) AS claim,
    multiIf(luck < 70, 'confirmed', luck < 80, 'paid', luck < 88, 'pending', luck < 93, 'reversed',
        luck < 97, 'rejected', 'review') AS status,
    multiIf(status = 'rejected', ['duplicate_order'], status = 'review', ['score'],
        status = 'reversed', ['network_cancelled'], []) AS reasons,
    toDecimal64(200 + cityHash64(click_id, 4) % 4800, 6) AS sale_amount,
    toDecimal64(round(toFloat64(sale_amount) * 0.08, 2), 6) AS commission,
    toDecimal64(round(toFloat64(commission) * 0.6, 2), 6) AS user_part,
    commission - user_part AS creator_part,
    toUInt8(status IN ('confirmed', 'paid')) AS posted
FROM hissaback.clicks
WHERE (source_offset * 12 + source_partition) % 22 = 0;

INSERT INTO hissaback.conversions
    (source_partition, source_offset, event_id, received_at, appended_at, report_source, network_id,
     offer_id, txn_id, status, sale_amount, currency, converted_at, country, precedence)
SELECT
    source_partition, sale, claim, reported_at, reported_at, 'postback', 1, offer_id,
    concat('T', toString(sale)), 'approved', sale_amount, 'INR', converted_at, country, 1
FROM hissaback.sold;

INSERT INTO hissaback.decisions
    (source_partition, source_offset, event_id, received_at, decided_at, outcome, reason, click_id,
     clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, click_country, score, currency,
     commission, subsidy, fee, user_part, creator_part, precedence)
SELECT
    source_partition, sale, claim, reported_at, reported_at,
    if(sale % 50 = 0, 'unmatched', 'matched'), if(sale % 50 = 0, 'unknown_click', ''), click_id,
    clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country, 0, 'INR', commission,
    0, 0, user_part, creator_part, 1
FROM hissaback.sold;

INSERT INTO hissaback.ledger_entries
    (claim, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
     first_received_at, converted_at, payable_at, status, reasons, sale_amount, currency,
     expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
     posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
     retired, epoch, sequence, changed_at)
SELECT
    claim, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
    reported_at, converted_at, converted_at + INTERVAL 30 DAY, status, reasons, sale_amount, 'INR',
    commission, 0, 0, user_part, creator_part,
    commission * posted, 0, 0, user_part * posted, creator_part * posted,
    user_part * (status = 'paid'), false, 1, 2 * sale + 1,
    if(status = 'pending', reported_at, decided_at)
FROM hissaback.sold;

INSERT INTO hissaback.ledger_changes
    (epoch, sequence, changed_at, claim, click_id, clicked_at, tenant_id, campaign_id, status,
     retired, currency, posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator,
     paid_amount)
SELECT
    1, 2 * sale + step, if(step = 0, reported_at, decided_at), claim, click_id, clicked_at,
    tenant_id, campaign_id,
    if(step = 0, if(status = 'reversed', 'confirmed', 'pending'), status), false, 'INR',
    commission * filled, 0, 0, user_part * filled, creator_part * filled,
    user_part * (step = 1 AND status = 'paid')
FROM
(
    SELECT
        *, arrayJoin([0, 1]) AS step,
        if(step = 0, toUInt8(status = 'reversed'), posted) AS filled
    FROM hissaback.sold
);

INSERT INTO hissaback.payouts
    (payout_id, tenant_id, user_id, currency, amount, as_of, method, item_claims, item_amounts,
     requested_at)
SELECT
    toUUID(concat('00000000-0000-0000-0004-', leftPad(lower(hex(sale)), 12, '0'))), tenant_id,
    assumeNotNull(user_id), 'INR', user_part, converted_at + INTERVAL 31 DAY, 'agcod', [claim],
    [user_part], converted_at + INTERVAL 31 DAY
FROM hissaback.sold
WHERE status = 'paid' AND user_id IS NOT NULL;

INSERT INTO hissaback.payout_steps (payout_id, step, attempt, at, detail, source_offset)
SELECT payout_id, 'funded', 1, requested_at + toIntervalSecond(3), '', rowNumberInAllBlocks()
FROM hissaback.payouts;

DROP TABLE hissaback.sold SYNC
