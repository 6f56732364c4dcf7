-- Clicks of the days that begin at {days}, which lie in one month, from their hours.
INSERT INTO hissaback.daily_clicks
    (day, version, tenant_id, campaign_id, offer_id, link_id, country, device, clicks, bot_clicks)
SELECT
    toDate(hour), {version}, tenant_id, campaign_id, offer_id, link_id, country, device,
    sum(clicks), sum(bot_clicks)
FROM hissaback.v_hourly_clicks
WHERE hour >= toDateTime({from}, 'UTC') AND hour < toDateTime({until}, 'UTC')
  AND toUnixTimestamp(toStartOfDay(hour)) IN ({days})
GROUP BY ALL
UNION ALL
SELECT
    toDate(toDateTime(arrayJoin([{days}]), 'UTC')), {version},
    toUUID('00000000-0000-0000-0000-000000000000'),
    toUUID('00000000-0000-0000-0000-000000000000'), 0,
    toUUID('00000000-0000-0000-0000-000000000000'), '', '', 0, 0
