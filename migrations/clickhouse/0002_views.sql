-- The analysts' contract: views with stable names over deduplicated state.

CREATE OR REPLACE VIEW hissaback.v_clicks AS
SELECT
    click_id, clicked_at, received_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
    device, origin, bitTest(signals, 0) AS bot, bitTest(signals, 1) AS data_centre,
    bitTest(signals, 2) AS proxy, address_hash, address_prefix, referrer
FROM hissaback.clicks FINAL;

-- One row for each report, as the network sent it.
CREATE OR REPLACE VIEW hissaback.v_conversions AS
SELECT
    source_partition, source_offset, event_id, received_at, appended_at, report_source, as_of,
    network_id, offer_id, network_conversion_id, txn_id, goal_id, status, sale_amount, payout,
    currency, converted_at, country, heals, heal_author
FROM hissaback.conversions FINAL;

-- One row for each report: what was decided on it, taken alone.
CREATE OR REPLACE VIEW hissaback.v_decisions AS
SELECT
    source_partition, source_offset, event_id, received_at, decided_at, outcome, reason, error,
    click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, click_country,
    tenant_version, campaign_version, offer_version, rules_version, score, signals, self_purchase,
    currency, commission, subsidy, fee, user_part, creator_part
FROM hissaback.decisions FINAL;

-- One row for each claim: its state in the ledger.
CREATE OR REPLACE VIEW hissaback.v_claims AS
SELECT
    claim, click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id, country,
    first_received_at, converted_at, payable_at, status, reasons, sale_amount, currency,
    expected_commission, expected_subsidy, expected_fee, expected_user, expected_creator,
    posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator, paid_amount,
    changed_at
FROM hissaback.ledger_entries FINAL
WHERE NOT retired;

-- One row for each change of a claim. After a restore of the ledger a new epoch tells again what
-- was lost with the old one: compare states, and sum postings within one epoch only.
CREATE OR REPLACE VIEW hissaback.v_ledger_changes AS
SELECT
    epoch, sequence, changed_at, claim, click_id, clicked_at, tenant_id, campaign_id, status,
    retired, currency, posted_commission, posted_subsidy, posted_fee, posted_user,
    posted_creator, paid_amount, posting_accounts, posting_users, posting_currencies,
    posting_amounts
FROM hissaback.ledger_changes FINAL;

-- One row for each payout, with the state that its steps add up to. `funded` and `cancelled` are
-- final, whatever is told again after them.
CREATE OR REPLACE VIEW hissaback.v_payouts AS
SELECT
    payout.payout_id AS payout_id, payout.tenant_id AS tenant_id, payout.user_id AS user_id,
    payout.currency AS currency, payout.amount AS amount, payout.as_of AS as_of,
    payout.method AS method, payout.item_claims AS item_claims,
    payout.item_amounts AS item_amounts, payout.requested_at AS requested_at,
    multiIf(
        steps.funded > 0, 'funded',
        steps.cancelled > 0, 'cancelled',
        steps.newest != '', toString(steps.newest),
        'queued'
    ) AS state,
    if(steps.funded > 0, steps.funded_at, NULL) AS funded_at,
    steps.attempts AS attempts
FROM (SELECT * FROM hissaback.payouts FINAL) AS payout
LEFT JOIN
(
    SELECT
        payout_id,
        countIf(step = 'funded') AS funded,
        countIf(step = 'cancelled') AS cancelled,
        minIf(at, step = 'funded') AS funded_at,
        argMax(step, (at, source_offset)) AS newest,
        max(attempt) AS attempts
    FROM hissaback.payout_steps FINAL
    GROUP BY payout_id
) AS steps ON steps.payout_id = payout.payout_id;

-- How far each partition of the log is in: an answer is complete up to the least of its topic's.
CREATE OR REPLACE VIEW hissaback.v_completeness AS
SELECT
    topic, partition, max(next_offset) AS next_offset, max(complete_up_to) AS complete_up_to
FROM hissaback.positions
GROUP BY topic, partition;
