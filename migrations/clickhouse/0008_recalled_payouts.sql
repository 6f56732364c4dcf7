-- A payout that was given up after it was sent: its step `cancelled` counts attempts, and is final
-- over a card that was funded before it.
CREATE OR REPLACE VIEW hissaback.v_payouts AS
SELECT
    payout.payout_id AS payout_id, payout.tenant_id AS tenant_id, payout.user_id AS user_id,
    payout.currency AS currency, payout.amount AS amount, payout.as_of AS as_of,
    payout.method AS method, payout.item_claims AS item_claims,
    payout.item_amounts AS item_amounts, payout.requested_at AS requested_at,
    multiIf(
        steps.recalled > 0, 'cancelled',
        steps.funded > 0, 'funded',
        steps.cancelled > 0, 'cancelled',
        steps.newest != '', toString(steps.newest),
        'queued'
    ) AS state,
    if(steps.funded > 0 AND steps.recalled = 0, steps.funded_at, NULL) AS funded_at,
    steps.attempts AS attempts
FROM (SELECT * FROM hissaback.payouts FINAL) AS payout
LEFT JOIN
(
    SELECT
        payout_id,
        countIf(step = 'funded') AS funded,
        countIf(step = 'cancelled') AS cancelled,
        countIf(step = 'cancelled' AND attempt > 0) AS recalled,
        minIf(at, step = 'funded') AS funded_at,
        argMax(step, (at, source_offset)) AS newest,
        max(attempt) AS attempts
    FROM hissaback.payout_steps FINAL
    GROUP BY payout_id
) AS steps ON steps.payout_id = payout.payout_id;

ALTER TABLE hissaback.v_payouts
    MODIFY COMMENT 'One row for each payout, with the state that its steps add up to';

ALTER TABLE hissaback.v_payouts
    COMMENT COLUMN amount 'of the card',
    COMMENT COLUMN as_of 'of the run: only claims payable before it are in',
    COMMENT COLUMN method 'the rail: agcod',
    COMMENT COLUMN item_claims 'claims that it pays, one by one',
    COMMENT COLUMN item_amounts 'how much of each',
    COMMENT COLUMN state 'queued, or its newest step; a card that was cancelled stays cancelled, one that was funded funded, whatever is told again after it',
    COMMENT COLUMN attempts 'calls to the rail';
