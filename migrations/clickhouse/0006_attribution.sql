-- Attribution over several touches, for analysis only: who is paid is the claim's own click. A
-- touch is a click of the claim's shopper in its tenant, not by a known bot, in the 30 days up to
-- the sale; and always the claim's own click. The credits of a claim sum to its commission in each
-- model, to the minor unit: what doesn't divide goes, a unit each, to the largest remainders, the
-- earlier touch first. Of a touch's time counts, by time decay, twice as much as of one 7 days
-- before.
--
-- Conditions on what is of the claim (its name, tenant, shopper, sale, status, currency) reach the
-- claims before they are joined: they are the hash table, which the clicks stream by.
CREATE OR REPLACE VIEW hissaback.v_attribution AS
WITH
    paths AS
    (
        SELECT
            claim, tenant_id, user_id, converted_at, status, currency, commission, claim_click,
            arraySort(groupArray((touch_at, touch_click, touch_campaign, touch_offer, touch_link)))
                AS touches
        FROM
        (
            SELECT
                claim, tenant_id, user_id, converted_at, status, currency,
                posted_commission AS commission, click_id AS claim_click, clicked_at AS touch_at,
                click_id AS touch_click, campaign_id AS touch_campaign, offer_id AS touch_offer,
                link_id AS touch_link
            FROM hissaback.v_claims
            UNION ALL
            SELECT
                sale.claim, sale.tenant_id, sale.user_id, sale.converted_at, sale.status,
                sale.currency, sale.posted_commission, sale.click_id, click.clicked_at,
                click.click_id, click.campaign_id, click.offer_id, click.link_id
            FROM hissaback.v_clicks AS click
            INNER JOIN hissaback.v_claims AS sale
                ON click.tenant_id = sale.tenant_id AND click.user_id = sale.user_id
            WHERE click.clicked_at <= sale.converted_at
              AND click.clicked_at > sale.converted_at - INTERVAL 30 DAY
              AND click.click_id != sale.click_id
              AND NOT click.bot
        )
        GROUP BY
            claim, tenant_id, user_id, converted_at, status, currency, commission, claim_click
    ),
    multiIf(
        currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX',
            'VND', 'VUV', 'XAF', 'XOF', 'XPF'), 1,
        currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'), 1000,
        100
    ) AS per_unit,
    toInt256(toDecimal128(commission, 6) * per_unit) AS units,
    arrayEnumerate(touches) AS numbers,
    arrayMap(
        touch -> toInt256(1 + round(1e9 * exp2(
            -greatest(0, dateDiff('millisecond', touch.1, converted_at)) / 604800000
        ))),
        touches
    ) AS weights,
    arrayMap(weight -> intDiv(units * weight, arraySum(weights)), weights) AS shares,
    arraySlice(
        arraySort(
            number -> (-(units * weights[number] % arraySum(weights)), number), numbers
        ),
        1, units - arraySum(shares)
    ) AS rounded_up,
    arrayMap(number -> if(number = 1, units, 0), numbers) AS first_units,
    arrayMap(number -> if(number = length(touches), units, 0), numbers) AS last_units,
    arrayMap(
        number -> intDiv(units, length(touches)) + (number <= units % length(touches)), numbers
    ) AS linear_units,
    arrayMap(number -> shares[number] + has(rounded_up, number), numbers) AS decayed_units
SELECT
    claim, tenant_id, user_id, converted_at, status, currency, commission,
    number AS touch_number, length(touches) AS touch_count, touches[number].2 AS click_id,
    touches[number].1 AS clicked_at, touches[number].3 AS campaign_id,
    touches[number].4 AS offer_id, touches[number].5 AS link_id,
    click_id = claim_click AS paid_for,
    toDecimal128(first_units[number], 6) / per_unit AS first_click,
    toDecimal128(last_units[number], 6) / per_unit AS last_click,
    toDecimal128(linear_units[number], 6) / per_unit AS linear,
    toDecimal128(decayed_units[number], 6) / per_unit AS time_decay
FROM paths
ARRAY JOIN numbers AS number;

-- The same, a row for each touch and model.
CREATE OR REPLACE VIEW hissaback.v_attribution_credits AS
SELECT
    claim, tenant_id, user_id, converted_at, status, currency, commission, touch_number,
    touch_count, click_id, clicked_at, campaign_id, offer_id, link_id, paid_for,
    scored.1 AS model, scored.2 AS credit
FROM hissaback.v_attribution
ARRAY JOIN [
    ('first_click', first_click), ('last_click', last_click), ('linear', linear),
    ('time_decay', time_decay)
] AS scored;
