-- Clicks of the day that begins at {day_start}, from its hours.
INSERT INTO hissaback.daily_clicks
    (day, version, tenant_id, campaign_id, offer_id, link_id, country, device, clicks, bot_clicks)
SELECT
    toDate(hour), {version}, tenant_id, campaign_id, offer_id, link_id, country, device,
    sum(clicks), sum(bot_clicks)
FROM hissaback.v_hourly_clicks
WHERE hour >= toDateTime({day_start}, 'UTC') AND hour < toDateTime({day_end}, 'UTC')
GROUP BY ALL
UNION ALL
SELECT
    toDate(toDateTime({day_start}, 'UTC')), {version},
    toUUID('00000000-0000-0000-0000-000000000000'),
    toUUID('00000000-0000-0000-0000-000000000000'), 0,
    toUUID('00000000-0000-0000-0000-000000000000'), '', '', 0, 0
