//! An order has one owner within the days of the rule, where the offer rejects duplicates (design
//! section 9, invariant 2).
//!
//! The offer's policy and the rule's days are pinned in the decisions, which PostgreSQL can't read:
//! it finds neighbouring owners, and the decision of the later one tells.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use processors::rules::history::Report;
use schemas::{
    Timestamp, codec,
    events::{Decision, DuplicatePolicy},
};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    AuditError,
    report::{Finding, Invariant},
};

pub(super) const INVARIANT: Invariant = Invariant {
    number: 2,
    name: "order_has_one_owner",
    statement: "an order has one owner in 30 days, where the offer rejects duplicates",
    money: true,
};

const SHOWN_MAX: usize = 20;

/// Owners that follow another owner of the same order, with their decision.
const FOLLOWING_OWNERS: &str = "
    SELECT o.led_id, o.earlier, o.txn_id, o.first_received_at, o.earlier_received_at, c.decision
    FROM (SELECT led_id, txn_id, offer_id, first_received_at, clicked_at,
                 lag(led_id) OVER same_order AS earlier,
                 lag(first_received_at) OVER same_order AS earlier_received_at
          FROM ledger
          WHERE order_owner IS NULL AND txn_id IS NOT NULL
          WINDOW same_order AS (PARTITION BY network_id, offer_id, txn_id, goal_id
                                ORDER BY first_received_at, led_id)) AS o
    JOIN conversions c ON c.conv_id = o.led_id AND c.led_id = o.led_id
    WHERE o.earlier IS NOT NULL
      AND EXISTS (SELECT FROM offer_versions v
                  WHERE v.offer_id = o.offer_id AND v.duplicate_orders = 'reject'
                    AND v.txn_id_names_order)
    ORDER BY o.led_id";

pub(super) async fn check(connection: &mut PgConnection) -> Result<Finding, AuditError> {
    let mut rows = sqlx::query(FOLLOWING_OWNERS).fetch(connection);
    let mut offending = BTreeMap::new();
    let mut figure = 0;
    while let Some(row) = rows.try_next().await? {
        if owns_too_soon(&row)? {
            figure += 1;
            if offending.len() < SHOWN_MAX {
                let led_id: i64 = row.try_get("led_id")?;
                let shown = serde_json::json!({
                    "led_id": led_id,
                    "earlier": row.try_get::<i64, _>("earlier")?,
                    "txn_id": row.try_get::<&str, _>("txn_id")?,
                });
                offending.insert(led_id, shown);
            }
        }
    }
    Ok(Finding::of_rows(
        INVARIANT,
        figure,
        offending.into_values().collect(),
    ))
}

fn owns_too_soon(row: &PgRow) -> Result<bool, AuditError> {
    let invalid = |what: String| AuditError::Invalid(what);
    let decision: Decision = codec::decode(row.try_get("decision")?)
        .map_err(|error| invalid(format!("a decision: {error}")))?;
    let report = Report::from_decision(&decision)
        .ok_or_else(|| invalid(format!("{} is no matched report", decision.source)))?;
    let instant = |column: &str| {
        let at: chrono::DateTime<chrono::Utc> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(Timestamp::from(at))
    };
    let rejects = match report.matched.terms.duplicate_orders {
        DuplicatePolicy::Reject => report.matched.terms.txn_id_names_order,
        DuplicatePolicy::Accept => false,
    };
    let days = report.matched.rules.duplicate_days;
    let owned_until = instant("earlier_received_at")?.plus_days(days);
    Ok(rejects && instant("first_received_at")? < owned_until)
}
