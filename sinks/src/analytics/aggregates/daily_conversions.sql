-- Claims on clicks of the days that begin at {days}, which lie in one month, from their hours.
INSERT INTO hissaback.daily_conversions
    (day, version, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
     conversions, pending, in_review, confirmed, paid, rejected, reversed, orders, order_value,
     expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
     posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
     reasons, reason_commission, sale_seconds, sale_times, ever_confirmed, ever_commission,
     confirmation_seconds, confirmation_times, reversals, reversed_commission)
SELECT
    toDate(hour), {version}, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    sum(conversions), sum(pending), sum(in_review), sum(confirmed), sum(paid), sum(rejected),
    sum(reversed), sum(orders), sum(order_value), sum(expected_commission), sum(expected_subsidy),
    sum(expected_fee), sum(expected_user), sum(expected_creator), sum(posted_commission),
    sum(posted_subsidy), sum(posted_fee), sum(posted_user), sum(posted_creator), sum(paid_amount),
    sumMap(reasons), sumMap(reason_commission), sum(sale_seconds), sumMap(sale_times),
    sum(ever_confirmed), sum(ever_commission), sum(confirmation_seconds),
    sumMap(confirmation_times), sumMap(reversals), sumMap(reversed_commission)
FROM hissaback.hourly_conversions
WHERE hour >= toDateTime({from}, 'UTC') AND hour < toDateTime({until}, 'UTC')
  AND toUnixTimestamp(toStartOfDay(hour)) IN ({days})
  AND tenant_id != toUUID('00000000-0000-0000-0000-000000000000')
  AND (hour, version) IN (
      SELECT hour, max(version) FROM hissaback.hourly_conversions
      WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')
        AND hour >= toDateTime({from}, 'UTC') AND hour < toDateTime({until}, 'UTC')
      GROUP BY hour
  )
GROUP BY
    toDate(hour), tenant_id, campaign_id, offer_id, link_id, country, device, currency
UNION ALL
SELECT
    toDate(toDateTime(arrayJoin([{days}]), 'UTC')), {version},
    toUUID('00000000-0000-0000-0000-000000000000'),
    toUUID('00000000-0000-0000-0000-000000000000'), 0,
    toUUID('00000000-0000-0000-0000-000000000000'), '', '', '',
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    map(), map(), 0, map(), 0, 0, 0, map(), map(), map()
