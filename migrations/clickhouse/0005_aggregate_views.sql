-- Views over the aggregates: with 0002 and 0006 the analysts' contract.
--
-- The condition on the version takes of each bucket the newest computation. Sums may be taken over
-- any rows; rates have to be taken of sums.

CREATE OR REPLACE VIEW hissaback.v_hourly_clicks AS
SELECT
    hour, tenant_id, campaign_id, offer_id, link_id, country, device, clicks, bot_clicks
FROM hissaback.hourly_clicks
WHERE tenant_id != toUUID('00000000-0000-0000-0000-000000000000')
  AND (hour, version) IN (
      SELECT hour, max(version) FROM hissaback.hourly_clicks
      WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')
      GROUP BY hour
  );

CREATE OR REPLACE VIEW hissaback.v_hourly_conversions AS
SELECT
    hour, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    conversions, pending, in_review, confirmed, paid, rejected, reversed,
    confirmed + paid AS approved, orders, order_value,
    expected_commission AS gross_commission, posted_commission AS net_commission,
    expected_user, expected_creator,
    posted_subsidy AS subsidy, posted_fee AS platform_fee, posted_user AS user_earnings,
    posted_creator AS creator_earnings, paid_amount, reasons, reason_commission,
    sale_seconds, sale_times, ever_confirmed, ever_commission, confirmation_seconds,
    confirmation_times, reversals, reversed_commission
FROM hissaback.hourly_conversions
WHERE tenant_id != toUUID('00000000-0000-0000-0000-000000000000')
  AND (hour, version) IN (
      SELECT hour, max(version) FROM hissaback.hourly_conversions
      WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')
      GROUP BY hour
  );

-- Clicks and what they came to. Clicks have no currency: they stand in rows of their own, whose
-- currency is empty.
CREATE OR REPLACE VIEW hissaback.v_hourly_performance AS
SELECT
    hour, tenant_id, campaign_id, offer_id, link_id, country, device, '' AS currency,
    clicks, bot_clicks, toUInt64(0) AS conversions, toUInt64(0) AS approved,
    toUInt64(0) AS rejected, toUInt64(0) AS reversed, toUInt64(0) AS orders,
    toDecimal128(0, 6) AS order_value, toDecimal128(0, 6) AS gross_commission,
    toDecimal128(0, 6) AS net_commission, toDecimal128(0, 6) AS platform_fee,
    toDecimal128(0, 6) AS subsidy, toDecimal128(0, 6) AS user_earnings,
    toDecimal128(0, 6) AS creator_earnings
FROM hissaback.v_hourly_clicks
UNION ALL
SELECT
    hour, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    0, 0, conversions, approved, rejected, reversed, orders, order_value, gross_commission,
    net_commission, platform_fee, subsidy, user_earnings, creator_earnings
FROM hissaback.v_hourly_conversions;

CREATE OR REPLACE VIEW hissaback.v_daily_clicks AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, clicks, bot_clicks
FROM hissaback.daily_clicks
WHERE tenant_id != toUUID('00000000-0000-0000-0000-000000000000')
  AND (day, version) IN (
      SELECT day, max(version) FROM hissaback.daily_clicks
      WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')
      GROUP BY day
  );

CREATE OR REPLACE VIEW hissaback.v_daily_conversions AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    conversions, pending, in_review, confirmed, paid, rejected, reversed,
    confirmed + paid AS approved, orders, order_value,
    expected_commission AS gross_commission, posted_commission AS net_commission,
    expected_user, expected_creator,
    posted_subsidy AS subsidy, posted_fee AS platform_fee, posted_user AS user_earnings,
    posted_creator AS creator_earnings, paid_amount, reasons, reason_commission,
    sale_seconds, sale_times, ever_confirmed, ever_commission, confirmation_seconds,
    confirmation_times, reversals, reversed_commission
FROM hissaback.daily_conversions
WHERE tenant_id != toUUID('00000000-0000-0000-0000-000000000000')
  AND (day, version) IN (
      SELECT day, max(version) FROM hissaback.daily_conversions
      WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')
      GROUP BY day
  );

-- Clicks and what they came to. Clicks have no currency: they stand in rows of their own, whose
-- currency is empty.
CREATE OR REPLACE VIEW hissaback.v_daily_performance AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, '' AS currency,
    clicks, bot_clicks, toUInt64(0) AS conversions, toUInt64(0) AS approved,
    toUInt64(0) AS rejected, toUInt64(0) AS reversed, toUInt64(0) AS orders,
    toDecimal128(0, 6) AS order_value, toDecimal128(0, 6) AS gross_commission,
    toDecimal128(0, 6) AS net_commission, toDecimal128(0, 6) AS platform_fee,
    toDecimal128(0, 6) AS subsidy, toDecimal128(0, 6) AS user_earnings,
    toDecimal128(0, 6) AS creator_earnings
FROM hissaback.v_daily_clicks
UNION ALL
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    0, 0, conversions, approved, rejected, reversed, orders, order_value, gross_commission,
    net_commission, platform_fee, subsidy, user_earnings, creator_earnings
FROM hissaback.v_daily_conversions;

-- One row for each day, campaign and currency, with the usual rates. A campaign's clicks stand in
-- each of its currencies' rows, and a day without conversions has the currency ''.
CREATE OR REPLACE VIEW hissaback.v_daily_campaigns AS
SELECT
    day, tenant_id, campaign_id, currency, clicks, bot_clicks, conversions, approved, rejected,
    reversed, orders, order_value, gross_commission, net_commission, platform_fee, subsidy,
    user_earnings, creator_earnings,
    if(clicks > bot_clicks, conversions / (clicks - bot_clicks), NULL) AS conversion_rate,
    if(approved + rejected + reversed > 0, approved / (approved + rejected + reversed), NULL)
        AS approval_rate,
    if(clicks > bot_clicks, toFloat64(net_commission) / (clicks - bot_clicks), NULL)
        AS earnings_per_click,
    if(orders > 0, toFloat64(order_value) / orders, NULL) AS average_order
FROM
(
    SELECT
        day, tenant_id, campaign_id,
        sum(clicks) AS clicks, sum(bot_clicks) AS bot_clicks,
        groupUniqArrayIf(currency, currency != '') AS currencies
    FROM hissaback.v_daily_performance
    GROUP BY day, tenant_id, campaign_id
) AS traffic
ARRAY JOIN if(empty(currencies), [''], currencies) AS currency
LEFT JOIN
(
    SELECT
        day, tenant_id, campaign_id, currency,
        sum(conversions) AS conversions, sum(approved) AS approved, sum(rejected) AS rejected,
        sum(reversed) AS reversed, sum(orders) AS orders, sum(order_value) AS order_value,
        sum(gross_commission) AS gross_commission, sum(net_commission) AS net_commission,
        sum(platform_fee) AS platform_fee, sum(subsidy) AS subsidy,
        sum(user_earnings) AS user_earnings, sum(creator_earnings) AS creator_earnings
    FROM hissaback.v_daily_conversions
    GROUP BY day, tenant_id, campaign_id, currency
) AS earned USING (day, tenant_id, campaign_id, currency);

-- From click to payment, by day of the click.
CREATE OR REPLACE VIEW hissaback.v_funnel AS
SELECT
    day, tenant_id, campaign_id,
    sum(clicks) AS clicks, sum(human_clicks) AS human_clicks, sum(conversions) AS conversions,
    sum(approved) AS approved, sum(paid) AS paid
FROM
(
    SELECT
        day, tenant_id, campaign_id, clicks, clicks - bot_clicks AS human_clicks,
        toUInt64(0) AS conversions, toUInt64(0) AS approved, toUInt64(0) AS paid
    FROM hissaback.v_daily_clicks
    UNION ALL
    SELECT day, tenant_id, campaign_id, 0, 0, conversions, approved, paid
    FROM hissaback.v_daily_conversions
)
GROUP BY day, tenant_id, campaign_id;

-- Why claims have the status that they have. A claim with several reasons stands at each of them.
CREATE OR REPLACE VIEW hissaback.v_daily_reasons AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    reason, claims, reason_commission[reason] AS commission
FROM hissaback.v_daily_conversions
ARRAY JOIN mapKeys(reasons) AS reason, mapValues(reasons) AS claims;

-- Of the reasons, those that speak of fraud.
CREATE OR REPLACE VIEW hissaback.v_daily_fraud AS
SELECT * FROM hissaback.v_daily_reasons
WHERE reason IN ('duplicate_order', 'self_purchase', 'score', 'velocity');

-- How long after the click the sales came: claims by upper bound, which is counted in.
CREATE OR REPLACE VIEW hissaback.v_daily_sale_times AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    up_to_seconds, claims
FROM hissaback.v_daily_conversions
ARRAY JOIN mapKeys(sale_times) AS up_to_seconds, mapValues(sale_times) AS claims;

-- How long after the sale the confirmations came.
CREATE OR REPLACE VIEW hissaback.v_daily_confirmation_times AS
SELECT
    day, tenant_id, campaign_id, offer_id, link_id, country, device, currency,
    up_to_seconds, claims
FROM hissaback.v_daily_conversions
ARRAY JOIN mapKeys(confirmation_times) AS up_to_seconds, mapValues(confirmation_times) AS claims;

-- What of a cohort (the claims on one day's clicks that were ever confirmed) was reversed up to an
-- age, in days since the sale.
CREATE OR REPLACE VIEW hissaback.v_reversal_curve AS
SELECT
    cohort, tenant_id, campaign_id, offer_id, currency, confirmed, confirmed_commission, age_days,
    sum(claims) OVER ages AS reversed,
    sum(commission) OVER ages AS reversed_commission,
    reversed / confirmed AS reversal_rate
FROM
(
    SELECT
        day AS cohort, tenant_id, campaign_id, offer_id, currency,
        sum(ever_confirmed) AS confirmed, sum(ever_commission) AS confirmed_commission,
        sumMap(reversals) AS claims_by_age, sumMap(reversed_commission) AS commission_by_age
    FROM hissaback.v_daily_conversions
    GROUP BY cohort, tenant_id, campaign_id, offer_id, currency
    HAVING confirmed > 0
)
ARRAY JOIN
    mapKeys(claims_by_age) AS age_days,
    mapValues(claims_by_age) AS claims,
    mapValues(commission_by_age) AS commission
WINDOW ages AS (
    PARTITION BY cohort, tenant_id, campaign_id, offer_id, currency ORDER BY age_days
);

-- The same totals three times: of the events themselves, and of their aggregates by hour and by
-- day. Where `complete_up_to` is the same for events and aggregates, so are they; the audit compares
-- them, and those of the events with the ledger. Clicks are counted from the first month on that is
-- kept.
CREATE OR REPLACE VIEW hissaback.v_totals AS
WITH (SELECT toStartOfMonth(min(clicked_at)) FROM hissaback.clicks) AS kept_from
SELECT
    level, currency, sum(clicks) AS clicks, sum(bot_clicks) AS bot_clicks,
    sum(conversions) AS conversions, sum(pending) AS pending, sum(in_review) AS in_review,
    sum(confirmed) AS confirmed, sum(paid) AS paid, sum(rejected) AS rejected,
    sum(reversed) AS reversed, sum(gross_commission) AS gross_commission,
    sum(net_commission) AS net_commission, sum(subsidy) AS subsidy,
    sum(platform_fee) AS platform_fee, sum(user_earnings) AS user_earnings,
    sum(creator_earnings) AS creator_earnings, sum(paid_amount) AS paid_amount
FROM
(
    SELECT
        'events' AS level, toString(currency) AS currency, toUInt64(0) AS clicks,
        toUInt64(0) AS bot_clicks, toUInt64(1) AS conversions,
        toUInt64(status = 'pending') AS pending, toUInt64(status = 'review') AS in_review,
        toUInt64(status = 'confirmed') AS confirmed, toUInt64(status = 'paid') AS paid,
        toUInt64(status = 'rejected') AS rejected, toUInt64(status = 'reversed') AS reversed,
        toDecimal128(expected_commission, 6) AS gross_commission,
        toDecimal128(posted_commission, 6) AS net_commission,
        toDecimal128(posted_subsidy, 6) AS subsidy, toDecimal128(posted_fee, 6) AS platform_fee,
        toDecimal128(posted_user, 6) AS user_earnings,
        toDecimal128(posted_creator, 6) AS creator_earnings,
        toDecimal128(paid_amount, 6) AS paid_amount
    FROM hissaback.v_claims
    UNION ALL
    SELECT 'events', '', 1, toUInt64(bot), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM hissaback.v_clicks
    UNION ALL
    SELECT
        'hours', toString(currency), 0, 0, conversions, pending, in_review, confirmed, paid,
        rejected, reversed, gross_commission, net_commission, subsidy, platform_fee,
        user_earnings, creator_earnings, paid_amount
    FROM hissaback.v_hourly_conversions
    UNION ALL
    SELECT 'hours', '', clicks, bot_clicks, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM hissaback.v_hourly_clicks WHERE hour >= kept_from
    UNION ALL
    SELECT
        'days', toString(currency), 0, 0, conversions, pending, in_review, confirmed, paid,
        rejected, reversed, gross_commission, net_commission, subsidy, platform_fee,
        user_earnings, creator_earnings, paid_amount
    FROM hissaback.v_daily_conversions
    UNION ALL
    SELECT 'days', '', clicks, bot_clicks, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM hissaback.v_daily_clicks WHERE day >= kept_from
)
GROUP BY level, currency;

-- How far each partition of the log is in the aggregates.
CREATE OR REPLACE VIEW hissaback.v_aggregate_completeness AS
SELECT
    topic, partition, max(next_offset) AS next_offset, max(complete_up_to) AS complete_up_to
FROM hissaback.aggregate_positions
GROUP BY topic, partition;
