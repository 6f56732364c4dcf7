//! The invariants that PostgreSQL can tell by itself: each a query for the rows that offend.
//!
//! Postings and payout items name a claim as it was called then; a report that is not undone tells
//! by its `conv_id` which claim it is today (`led_id`).

use super::report::Invariant;

/// An invariant, and the query whose rows offend against it.
pub(super) struct Check {
    pub(super) invariant: Invariant,
    pub(super) offending: &'static str,
}

const fn money(number: u8, name: &'static str, statement: &'static str) -> Invariant {
    Invariant {
        number,
        name,
        statement,
        money: true,
    }
}

const fn not_money(number: u8, name: &'static str, statement: &'static str) -> Invariant {
    Invariant {
        number,
        name,
        statement,
        money: false,
    }
}

/// Checked with the currencies' exponents, which PostgreSQL doesn't know.
pub(super) const WHOLE_MINOR_UNITS: Invariant = money(
    3,
    "whole_minor_units",
    "no amount has digits beyond its currency's minor unit",
);

pub(super) const CHECKS: &[Check] = &[
    Check {
        invariant: money(
            1,
            "positions_accounted",
            "per partition, reports and unmatched reports add up to the positions applied",
        ),
        offending: "
            SELECT source_partition, applied.count AS positions_applied,
                   coalesce(matched.count, 0) AS matched, coalesce(others.count, 0) AS unmatched
            FROM (SELECT source_partition,
                         p.next_offset + (SELECT count(*) FROM positions_applied_beyond b
                                          WHERE b.source_partition = p.source_partition) AS count
                  FROM positions_applied p) AS applied
            FULL JOIN (SELECT source_partition, count(*) FROM reports GROUP BY 1) AS matched
                 USING (source_partition)
            FULL JOIN (SELECT source_partition, count(*)
                       FROM unmatched_conversions GROUP BY 1) AS others USING (source_partition)
            WHERE coalesce(applied.count, 0)
                  <> coalesce(matched.count, 0) + coalesce(others.count, 0)",
    },
    Check {
        invariant: money(2, "positions_once", "each position is applied once"),
        offending: "
            SELECT source_partition, source_offset, count(*) AS rows
            FROM (SELECT source_partition, source_offset FROM reports
                  UNION ALL
                  SELECT source_partition, source_offset FROM unmatched_conversions) AS stored
            GROUP BY 1, 2 HAVING count(*) > 1
            UNION ALL
            SELECT source_partition, source_offset, 0
            FROM (SELECT source_partition, source_offset FROM reports
                  UNION ALL
                  SELECT source_partition, source_offset FROM unmatched_conversions) AS stored
            LEFT JOIN positions_applied p USING (source_partition)
            WHERE source_offset >= coalesce(p.next_offset, 0)
              AND NOT EXISTS (SELECT FROM positions_applied_beyond b
                              WHERE b.source_partition = stored.source_partition
                                AND b.source_offset = stored.source_offset)",
    },
    Check {
        invariant: not_money(
            1,
            "fates_add_up",
            "each claim has one first report, after which it is named, and each report one claim",
        ),
        offending: "
            SELECT led_id, NULL::bigint AS conv_id,
                   count(*) FILTER (WHERE fate IN ('ledgered', 'duplicate')) AS first_reports
            FROM reports WHERE led_id IS NOT NULL
            GROUP BY led_id
            HAVING count(*) FILTER (WHERE fate IN ('ledgered', 'duplicate')) <> 1
                OR count(*) FILTER (WHERE fate IN ('ledgered', 'duplicate')
                                      AND conv_id = led_id) <> 1
            UNION ALL
            SELECT led_id, conv_id, NULL FROM reports
            WHERE (led_id IS NULL) <> (fate = 'undone')
            UNION ALL
            SELECT NULL, conv_id, count(*) FROM reports WHERE fate <> 'undone'
            GROUP BY conv_id HAVING count(*) > 1
            UNION ALL
            SELECT c.led_id, c.conv_id, NULL FROM reports c JOIN ledger l USING (led_id)
            WHERE c.fate = 'duplicate' AND l.order_owner IS NULL",
    },
    Check {
        invariant: money(
            1,
            "heals_in_force",
            "a healed report has one heal in force, and is counted there only",
        ),
        offending: "
            SELECT c.heals_partition AS source_partition, c.heals_offset AS source_offset,
                   u.state, count(*) FILTER (WHERE c.fate <> 'undone') AS in_force
            FROM reports c
            LEFT JOIN unmatched_conversions u
                 ON u.source_partition = c.heals_partition AND u.source_offset = c.heals_offset
            WHERE c.heals_offset IS NOT NULL
            GROUP BY 1, 2, 3
            HAVING count(*) FILTER (WHERE c.fate <> 'undone') <> 1 OR u.state <> 'healed'
            UNION ALL
            SELECT u.source_partition, u.source_offset, u.state, 0
            FROM unmatched_conversions u
            WHERE u.state = 'healed'
              AND NOT EXISTS (SELECT FROM reports c
                              WHERE c.heals_partition = u.source_partition
                                AND c.heals_offset = u.source_offset)",
    },
    Check {
        invariant: money(2, "claim_has_one_row", "a claim has one ledger row"),
        offending: "SELECT led_id, count(*) AS rows FROM ledger GROUP BY 1 HAVING count(*) > 1",
    },
    Check {
        invariant: money(
            2,
            "rows_have_their_reports",
            "each ledger row has the report that names it, and each report its row",
        ),
        offending: "
            SELECT coalesce(l.led_id, c.led_id) AS led_id,
                   CASE WHEN l.led_id IS NULL THEN 'report without its ledger row'
                        WHEN c.led_id IS NULL THEN 'ledger row without its report'
                        ELSE 'click, tenant or shopper differ' END AS defect
            FROM ledger l
            FULL JOIN (SELECT * FROM reports WHERE conv_id = led_id) AS c
                 ON c.led_id = l.led_id
            WHERE l.led_id IS NULL OR c.led_id IS NULL
               OR (l.tenant_id, l.click_id, l.clicked_at, l.user_id)
                  IS DISTINCT FROM (c.tenant_id, c.click_id, c.clicked_at, c.user_id)
            UNION ALL
            SELECT c.led_id, 'report without its ledger row'
            FROM reports c
            WHERE c.led_id <> c.conv_id
              AND NOT EXISTS (SELECT FROM ledger l WHERE l.led_id = c.led_id)
            UNION ALL
            SELECT i.led_id, 'payout item without its report'
            FROM payout_items i
            WHERE NOT EXISTS (SELECT FROM reports c WHERE c.conv_id = i.led_id)",
    },
    Check {
        invariant: money(
            3,
            "parts_add_up",
            "user + creator + fee = commission + subsidy, per row and overall; no part is negative",
        ),
        offending: "
            SELECT led_id, currency, user_amount, creator_amount, expected_fee,
                   expected_commission, expected_subsidy, posted_user, posted_creator, posted_fee,
                   posted_commission, posted_subsidy
            FROM ledger
            WHERE user_amount + creator_amount + expected_fee
                  <> expected_commission + expected_subsidy
               OR posted_user + posted_creator + posted_fee <> posted_commission + posted_subsidy
               OR least(user_amount, creator_amount, expected_fee, expected_commission,
                        expected_subsidy, posted_user, posted_creator, posted_fee,
                        posted_commission, posted_subsidy, paid_amount) < 0
            UNION ALL
            SELECT NULL, currency, sum(user_amount), sum(creator_amount), sum(expected_fee),
                   sum(expected_commission), sum(expected_subsidy), sum(posted_user),
                   sum(posted_creator), sum(posted_fee), sum(posted_commission),
                   sum(posted_subsidy)
            FROM ledger GROUP BY currency
            HAVING sum(user_amount + creator_amount + expected_fee)
                   <> sum(expected_commission + expected_subsidy)
                OR sum(posted_user + posted_creator + posted_fee)
                   <> sum(posted_commission + posted_subsidy)",
    },
    Check {
        invariant: money(
            4,
            "transactions_sum_to_zero",
            "the postings of a transaction sum to zero per currency",
        ),
        offending: "
            SELECT transaction_id, currency, sum(amount) AS sum FROM postings
            GROUP BY transaction_id, currency HAVING sum(amount) <> 0",
    },
    Check {
        invariant: money(
            4,
            "posted_equals_postings",
            "what a row says is posted is the fold of its postings",
        ),
        offending: "
            WITH names AS (SELECT DISTINCT conv_id, led_id FROM reports
                           WHERE led_id IS NOT NULL),
            folded AS (
                SELECT coalesce(n.led_id, p.led_id) AS led_id,
                       coalesce(-sum(amount) FILTER (WHERE account = 'network_receivable'), 0)
                           AS commission,
                       coalesce(-sum(amount) FILTER (WHERE account = 'promotion_expense'), 0)
                           AS subsidy,
                       coalesce(sum(amount) FILTER (WHERE account = 'platform_revenue'), 0) AS fee,
                       coalesce(sum(amount) FILTER (WHERE account IN
                                ('user_payable', 'unclaimed')), 0) AS user_part,
                       coalesce(sum(amount) FILTER (WHERE account = 'creator_payable'), 0)
                           AS creator
                FROM postings p LEFT JOIN names n ON n.conv_id = p.led_id
                WHERE p.led_id IS NOT NULL GROUP BY 1)
            SELECT led_id, l.posted_commission, f.commission, l.posted_subsidy, f.subsidy,
                   l.posted_fee, f.fee, l.posted_user, f.user_part, l.posted_creator, f.creator
            FROM ledger l FULL JOIN folded f USING (led_id)
            WHERE coalesce(l.posted_commission, 0) <> coalesce(f.commission, 0)
               OR coalesce(l.posted_subsidy, 0) <> coalesce(f.subsidy, 0)
               OR coalesce(l.posted_fee, 0) <> coalesce(f.fee, 0)
               OR coalesce(l.posted_user, 0) <> coalesce(f.user_part, 0)
               OR coalesce(l.posted_creator, 0) <> coalesce(f.creator, 0)",
    },
    Check {
        invariant: money(
            4,
            "posted_to_the_holder",
            "a claim's postings stand with its tenant, its shopper and in its currency",
        ),
        offending: "
            SELECT l.led_id, p.account, p.tenant_id, p.user_id, p.currency, sum(p.amount) AS sum
            FROM postings p
            JOIN (SELECT DISTINCT conv_id, led_id FROM reports WHERE led_id IS NOT NULL) AS n
                 ON n.conv_id = p.led_id
            JOIN ledger l ON l.led_id = n.led_id
            WHERE p.tenant_id <> l.tenant_id OR p.currency <> l.currency
               OR p.account = 'payout_clearing'
               OR p.user_id IS DISTINCT FROM
                  CASE WHEN p.account = 'user_payable' THEN l.user_id END
               OR (p.account = 'unclaimed' AND l.user_id IS NOT NULL)
               OR (p.account = 'user_payable' AND l.user_id IS NULL)
            GROUP BY 1, 2, 3, 4, 5 HAVING sum(p.amount) <> 0",
    },
    Check {
        invariant: money(
            4,
            "payouts_are_posted",
            "a payout that isn't cancelled moves its amount from the payee to clearing",
        ),
        // The payout's state may be ahead of what the ledger has read back, but for a cancelled
        // one, which the ledger cancels and books itself.
        offending: "
            SELECT coalesce(p.payout_id, f.payout_id) AS payout_id, p.state, p.amount,
                   f.cleared, f.taken, f.elsewhere
            FROM payouts p
            FULL JOIN (
                SELECT o.payout_id,
                       coalesce(sum(o.amount) FILTER (WHERE o.account = 'payout_clearing'), 0)
                           AS cleared,
                       coalesce(sum(o.amount) FILTER (WHERE o.account = 'user_payable'), 0)
                           AS taken,
                       coalesce(sum(abs(o.amount)) FILTER (WHERE
                           o.account NOT IN ('payout_clearing', 'user_payable')
                           OR (o.tenant_id, o.user_id, o.currency)
                              IS DISTINCT FROM (q.tenant_id, q.user_id, q.currency)), 0)
                           AS elsewhere
                FROM postings o LEFT JOIN payouts q ON q.payout_id = o.payout_id
                WHERE o.payout_id IS NOT NULL GROUP BY 1) AS f ON f.payout_id = p.payout_id
            WHERE p.payout_id IS NULL OR coalesce(f.elsewhere, 0) <> 0
               OR coalesce(f.cleared, 0) <> CASE p.state WHEN 'cancelled' THEN 0 ELSE p.amount END
               OR coalesce(f.cleared, 0) <> -coalesce(f.taken, 0)",
    },
    Check {
        invariant: money(
            4,
            "paid_equals_funded",
            "what a row says is paid is the sum of its items on funded payouts to its shopper",
        ),
        // The dispatcher knows of a card before the ledger has read the step back: in between, the
        // row may say either.
        offending: "
            WITH names AS (SELECT DISTINCT conv_id, led_id, user_id FROM reports
                           WHERE led_id IS NOT NULL),
            paid AS (
                SELECT n.led_id,
                       coalesce(sum(i.amount) FILTER (WHERE EXISTS (
                           SELECT FROM payout_steps s
                           WHERE s.payout_id = p.payout_id AND s.step = 'funded')), 0) AS at_least,
                       sum(i.amount) AS at_most
                FROM payout_items i
                JOIN payouts p USING (payout_id)
                JOIN names n ON n.conv_id = i.led_id AND n.user_id = p.user_id
                WHERE p.state = 'funded' GROUP BY 1)
            SELECT led_id, l.paid_amount, coalesce(paid.at_least, 0) AS at_least,
                   coalesce(paid.at_most, 0) AS at_most
            FROM ledger l LEFT JOIN paid USING (led_id)
            WHERE l.paid_amount
                  NOT BETWEEN coalesce(paid.at_least, 0) AND coalesce(paid.at_most, 0)",
    },
    Check {
        invariant: money(5, "items_sum_to_payout", "the items of a payout sum to it"),
        offending: "
            SELECT p.payout_id, p.amount, coalesce(sum(i.amount), 0) AS items
            FROM payouts p LEFT JOIN payout_items i USING (payout_id)
            GROUP BY p.payout_id, p.amount
            HAVING coalesce(sum(i.amount), 0) <> p.amount",
    },
    Check {
        invariant: money(
            5,
            "one_card_per_payout",
            "a payout has at most one funded card, and a card one payout",
        ),
        offending: "
            WITH cards AS (
                SELECT payout_id, card_id FROM payouts WHERE card_id IS NOT NULL
                UNION
                SELECT payout_id, card_id FROM payout_steps
                WHERE step = 'funded' AND card_id IS NOT NULL)
            SELECT payout_id::text AS payout_id, NULL AS card_id, count(*) AS cards FROM cards
            GROUP BY 1 HAVING count(*) > 1
            UNION ALL
            SELECT NULL, card_id, count(*) FROM cards GROUP BY 2 HAVING count(*) > 1
            UNION ALL
            SELECT payout_id::text, card_id, NULL FROM payouts
            WHERE (state = 'funded') <> (paid_at IS NOT NULL)
               OR (card_id IS NOT NULL AND state <> 'funded')",
    },
    Check {
        invariant: money(
            5,
            "paid_within_credits",
            "payouts took no more of a claim than was ever credited for it",
        ),
        offending: "
            WITH names AS (SELECT DISTINCT conv_id, led_id FROM reports
                           WHERE led_id IS NOT NULL),
            credited AS (
                SELECT coalesce(n.led_id, o.led_id) AS led_id, o.user_id, o.currency,
                       sum(o.amount) AS amount
                FROM postings o LEFT JOIN names n ON n.conv_id = o.led_id
                WHERE o.led_id IS NOT NULL AND o.account = 'user_payable' AND o.amount > 0
                GROUP BY 1, 2, 3),
            taken AS (
                SELECT coalesce(n.led_id, i.led_id) AS led_id, p.user_id, p.currency,
                       sum(i.amount) AS amount
                FROM payout_items i JOIN payouts p USING (payout_id)
                LEFT JOIN names n ON n.conv_id = i.led_id
                WHERE p.state <> 'cancelled' GROUP BY 1, 2, 3)
            SELECT led_id, user_id, currency, taken.amount AS taken,
                   coalesce(credited.amount, 0) AS credited
            FROM taken LEFT JOIN credited USING (led_id, user_id, currency)
            WHERE taken.amount > coalesce(credited.amount, 0)",
    },
    Check {
        invariant: money(
            5,
            "debts_come_from_clawbacks",
            "a shopper's balance is negative only where a claim was taken back",
        ),
        offending: "
            SELECT tenant_id, user_id, currency, sum(amount) AS balance FROM postings
            WHERE account = 'user_payable'
            GROUP BY 1, 2, 3
            HAVING sum(amount) < 0
               AND count(*) FILTER (WHERE led_id IS NOT NULL AND amount < 0) = 0",
    },
    Check {
        invariant: not_money(
            8,
            "tenants_agree",
            "what belongs together belongs to one tenant",
        ),
        offending: "
            SELECT 'ledger' AS relation, l.led_id::text AS id, l.tenant_id
            FROM ledger l JOIN campaigns c USING (campaign_id) WHERE c.tenant_id <> l.tenant_id
            UNION ALL
            SELECT 'reports', c.conv_id::text, c.tenant_id
            FROM reports c JOIN ledger l ON l.led_id = c.led_id
            WHERE c.tenant_id <> l.tenant_id
            UNION ALL
            SELECT 'payout_items', i.payout_id::text, i.tenant_id
            FROM payout_items i JOIN payouts p USING (payout_id)
            WHERE i.tenant_id <> p.tenant_id
            UNION ALL
            SELECT 'links', l.link_id::text, l.tenant_id
            FROM links l JOIN campaigns c USING (campaign_id) WHERE c.tenant_id <> l.tenant_id",
    },
    Check {
        invariant: not_money(
            8,
            "isolation_is_forced",
            "whatever the API may read of a tenant is under forced row-level security",
        ),
        offending: "
            SELECT c.relname AS relation, c.relispartition AS partition,
                   c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced
            FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
              AND (has_any_column_privilege('hissaback_api', c.oid,
                                            'SELECT, INSERT, UPDATE')
                   OR has_any_column_privilege('hissaback_analyst', c.oid,
                                               'SELECT, INSERT, UPDATE'))
              AND (c.relispartition
                   OR (EXISTS (SELECT FROM pg_attribute a
                               WHERE a.attrelid = c.oid AND NOT a.attisdropped
                                 AND a.attname IN ('tenant_id', 'user_id'))
                       AND NOT (c.relrowsecurity AND c.relforcerowsecurity)))",
    },
];
