-- Clicks of the hours {hours}, which lie in one month: whole, with the markers of the computation.
INSERT INTO hissaback.hourly_clicks
    (hour, version, tenant_id, campaign_id, offer_id, link_id, country, device, clicks, bot_clicks)
SELECT
    toStartOfHour(clicked_at), {version}, tenant_id, campaign_id, offer_id, link_id, country,
    device, count(), countIf(bitTest(signals, 0))
FROM hissaback.clicks FINAL
WHERE clicked_at >= fromUnixTimestamp64Second({from}, 'UTC')
  AND clicked_at < fromUnixTimestamp64Second({until}, 'UTC')
  AND toUnixTimestamp(toStartOfHour(clicked_at)) IN ({hours})
GROUP BY ALL
UNION ALL
SELECT
    toDateTime(arrayJoin([{hours}]), 'UTC'), {version},
    toUUID('00000000-0000-0000-0000-000000000000'),
    toUUID('00000000-0000-0000-0000-000000000000'), 0,
    toUUID('00000000-0000-0000-0000-000000000000'), '', '', 0, 0
