-- Claims on clicks of the hours {hours}, which lie in one month: whole, with the markers of the
-- computation. Claims lie in the order of their names, and changes in that of their clicks: so the
-- changes tell which claims to look at.
INSERT INTO hissaback.hourly_conversions
    (hour, version, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
     conversions, pending, in_review, confirmed, paid, rejected, reversed, orders, order_value,
     expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
     posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
     reasons, reason_commission, sale_seconds, sale_times, ever_confirmed, ever_commission,
     confirmation_seconds, confirmation_times, reversals, reversed_commission)
WITH
    [60, 300, 900, 3600, 10800, 21600, 43200, 86400, 259200, 604800, 1209600, 2592000,
     4294967295] AS bounds,
    history AS
    (
        SELECT
            claim, click_id,
            max(posted_commission) AS most_commission,
            max(status IN ('confirmed', 'paid', 'reversed')) AS was_confirmed,
            minOrNullIf(changed_at, status IN ('confirmed', 'paid')) AS confirmed_at,
            minOrNullIf(changed_at, status = 'reversed') AS reversed_at
        FROM hissaback.ledger_changes FINAL
        WHERE clicked_at >= fromUnixTimestamp64Second({from}, 'UTC')
          AND clicked_at < fromUnixTimestamp64Second({until}, 'UTC')
          AND toUnixTimestamp(toStartOfHour(clicked_at)) IN ({hours})
          AND NOT retired
        GROUP BY claim, click_id
    ),
    standing AS
    (
        SELECT * FROM hissaback.ledger_entries FINAL
        WHERE claim IN (SELECT claim FROM history)
          AND toUnixTimestamp(toStartOfHour(clicked_at)) IN ({hours})
          AND NOT retired
    ),
    devices AS
    (
        SELECT click_id, any(device) AS device FROM hissaback.clicks
        WHERE clicked_at >= fromUnixTimestamp64Second({from}, 'UTC')
          AND clicked_at < fromUnixTimestamp64Second({until}, 'UTC')
          AND click_id IN (SELECT click_id FROM standing)
        GROUP BY click_id
    ),
    claims AS
    (
        SELECT
            standing.*, devices.device AS device,
            most_commission, was_confirmed, confirmed_at, reversed_at,
            status IN ('confirmed', 'paid') AND sale_amount IS NOT NULL AS ordered,
            arrayDistinct(reasons) AS why,
            greatest(0, dateDiff('second', clicked_at, converted_at)) AS sale_after,
            greatest(0, dateDiff('second', converted_at, confirmed_at)) AS confirmed_after,
            least(65535, greatest(0, age('day', converted_at, reversed_at))) AS reversed_after
        FROM standing
        INNER JOIN history USING (claim, click_id)
        LEFT JOIN devices USING click_id
    )
SELECT
    toStartOfHour(clicked_at), {version}, tenant_id, campaign_id, offer_id, link_id, country,
    device, currency, count(), countIf(status = 'pending'), countIf(status = 'review'),
    countIf(status = 'confirmed'), countIf(status = 'paid'), countIf(status = 'rejected'),
    countIf(status = 'reversed'), countIf(ordered), ifNull(sumIf(sale_amount, ordered), 0),
    sum(expected_commission), sum(expected_subsidy), sum(expected_fee), sum(expected_user),
    sum(expected_creator), sum(posted_commission), sum(posted_subsidy), sum(posted_fee),
    sum(posted_user), sum(posted_creator), sum(paid_amount),
    sumMap(mapFromArrays(why, arrayMap(reason -> toUInt64(1), why))),
    sumMap(mapFromArrays(why, arrayMap(reason -> toDecimal128(expected_commission, 6), why))),
    sum(sale_after),
    sumMap(map(toUInt32(arrayFirst(bound -> bound >= sale_after, bounds)), toUInt64(1))),
    sum(was_confirmed), sumIf(most_commission, was_confirmed),
    ifNull(sum(confirmed_after), 0),
    sumMapIf(
        map(
            toUInt32(arrayFirst(bound -> bound >= ifNull(confirmed_after, 0), bounds)),
            toUInt64(1)
        ),
        confirmed_at IS NOT NULL
    ),
    sumMapIf(map(toUInt16(ifNull(reversed_after, 0)), toUInt64(1)), status = 'reversed'),
    sumMapIf(
        map(toUInt16(ifNull(reversed_after, 0)), toDecimal128(most_commission, 6)),
        status = 'reversed'
    )
FROM claims
GROUP BY
    toStartOfHour(clicked_at), tenant_id, campaign_id, offer_id, link_id, country, device, currency
UNION ALL
SELECT
    toDateTime(arrayJoin([{hours}]), 'UTC'), {version},
    toUUID('00000000-0000-0000-0000-000000000000'),
    toUUID('00000000-0000-0000-0000-000000000000'), 0,
    toUUID('00000000-0000-0000-0000-000000000000'), '', '', '',
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    map(), map(), 0, map(), 0, 0, 0, map(), map(), map()
