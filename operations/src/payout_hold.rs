//! Payouts stop when a money invariant is broken, and stay stopped when it holds again by itself:
//! somebody has to say that they may go on (design sections 7 and 9).
//!
//! While a hold is open, payout runs refuse, and nothing is announced or sent to the gift-card
//! service. What was sent before is heard of, and messages go out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool, types::Json};
use stream::Log;

use crate::{
    audit::{self, AuditError, Finding},
    commands::{TEXT_BYTES_MAX, checked},
};

pub use sinks::ledger::payout_hold::{PayoutHold, open};

/// Figures by invariant: what payouts go on despite.
pub type Accepted = BTreeMap<String, i64>;

/// How an operator lifts a hold.
#[derive(Debug, Clone)]
pub struct Lifting {
    /// Who decided it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Even while an invariant is broken. Payouts go on until more rows offend against it.
    pub anyway: bool,
}

/// A hold that was lifted. JSON: the hold's fields, and `accepted`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lifted {
    /// What was open.
    #[serde(flatten)]
    pub hold: PayoutHold,
    /// What was still broken.
    pub accepted: Accepted,
}

/// A hold of the past.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct PastHold {
    /// Number of the hold.
    pub hold_id: i64,
    /// When it was noticed.
    pub raised_at: DateTime<Utc>,
    /// Which invariant, as the audit calls it.
    pub invariant: String,
    /// How many rows offended against it then.
    pub figure: i64,
    /// When payouts went on.
    pub lifted_at: DateTime<Utc>,
    /// Who let them.
    pub lifted_by: String,
    /// Why.
    pub reason: String,
}

/// Why a hold was not lifted.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// An author or reason that says nothing, or too much.
    #[error("`{0}` must be a text of 1 to {TEXT_BYTES_MAX} bytes without NULs")]
    Text(&'static str),
    /// There is none.
    #[error("payouts are not held")]
    NotHeld,
    /// What raised it, or something like it, is still so.
    #[error(
        "{} still broken: repair it, or lift the hold anyway, and payouts go on until it gets worse",
        .0.join(", ")
    )]
    StillBroken(Vec<&'static str>),
    /// The invariants can't be checked.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The database fails.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Raises a hold where money invariants are broken, and gives the open one: the new one, or that
/// of before. Findings that say otherwise, or nothing about money, raise none. `pool` is the
/// writer's or an operator's.
///
/// # Errors
/// When the database refuses.
pub async fn raise(pool: &PgPool, findings: &[Finding]) -> sqlx::Result<Option<PayoutHold>> {
    let mut transaction = pool.begin().await?;
    let accepted = accepted(&mut transaction).await?;
    let worse = |finding: &&Finding| {
        let known = accepted.get(finding.invariant.name).copied();
        finding.invariant.money && finding.broken() && finding.figure > known.unwrap_or_default()
    };
    if let Some(finding) = findings.iter().find(worse) {
        let raised = sqlx::query(
            "INSERT INTO payout_holds (invariant, figure, offending_rows) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(finding.invariant.name)
        .bind(finding.figure)
        .bind(Json(&finding.offending_rows))
        .execute(&mut *transaction)
        .await?;
        if raised.rows_affected() > 0 {
            let detail = serde_json::json!({ "figure": finding.figure });
            note(
                &mut transaction,
                "audit",
                "raise_payout_hold",
                finding.invariant.name,
                detail,
            )
            .await?;
            tracing::error!(
                invariant = finding.invariant.name,
                figure = %finding.figure,
                rows = ?finding.offending_rows,
                "a money invariant is broken: payouts are held"
            );
        }
    }
    let hold = open(&mut transaction).await?;
    transaction.commit().await?;
    Ok(hold)
}

/// What payouts go on despite, since the last hold was lifted.
async fn accepted(connection: &mut PgConnection) -> sqlx::Result<Accepted> {
    let accepted: Option<Option<Json<Accepted>>> =
        sqlx::query_scalar("SELECT accepted FROM payout_holds ORDER BY hold_id DESC LIMIT 1")
            .fetch_optional(connection)
            .await?;
    Ok(accepted
        .flatten()
        .map(|accepted| accepted.0)
        .unwrap_or_default())
}

/// Lets payouts go on, as an operator decides.
///
/// # Errors
/// See [`LiftError`].
pub async fn lift(pool: &PgPool, log: &dyn Log, lifting: &Lifting) -> Result<Lifted, LiftError> {
    let author = checked(&lifting.author).ok_or(LiftError::Text("author"))?;
    let reason = checked(&lifting.reason).ok_or(LiftError::Text("reason"))?;
    let broken = audit::broken_money_invariants(pool, log).await?;
    if !broken.is_empty() && !lifting.anyway {
        let names = broken.iter().map(|finding| finding.invariant.name);
        return Err(LiftError::StillBroken(names.collect()));
    }
    let accepted: Accepted = broken
        .iter()
        .map(|finding| (finding.invariant.name.to_owned(), finding.figure))
        .collect();
    let mut transaction = pool.begin().await?;
    let hold = open(&mut transaction).await?.ok_or(LiftError::NotHeld)?;
    let lifted = sqlx::query(
        "UPDATE payout_holds
         SET lifted_at = greatest(raised_at, now()), lifted_by = $2, reason = $3, accepted = $4
         WHERE hold_id = $1 AND lifted_at IS NULL",
    )
    .bind(hold.hold_id)
    .bind(author)
    .bind(reason)
    .bind(Json(&accepted))
    .execute(&mut *transaction)
    .await?;
    if lifted.rows_affected() == 0 {
        return Err(LiftError::NotHeld);
    }
    let detail = serde_json::json!({
        "hold_id": hold.hold_id, "reason": reason, "accepted": accepted,
    });
    note(
        &mut transaction,
        author,
        "lift_payout_hold",
        &hold.invariant,
        detail,
    )
    .await?;
    transaction.commit().await?;
    tracing::warn!(
        author,
        invariant = hold.invariant,
        "the hold on payouts is lifted"
    );
    Ok(Lifted { hold, accepted })
}

/// Holds that were lifted, the last one first, up to `count`.
///
/// # Errors
/// When the database can't be read.
pub async fn past(pool: &PgPool, count: i64) -> sqlx::Result<Vec<PastHold>> {
    sqlx::query_as(
        "SELECT hold_id, raised_at, invariant, figure, lifted_at, lifted_by, reason
         FROM payout_holds WHERE lifted_at IS NOT NULL ORDER BY hold_id DESC LIMIT $1",
    )
    .bind(count)
    .fetch_all(pool)
    .await
}

async fn note(
    connection: &mut PgConnection,
    author: &str,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO audit_log (author, action, subject, detail) VALUES ($1, $2, $3, $4)")
        .bind(author)
        .bind(action)
        .bind(subject)
        .bind(detail)
        .execute(connection)
        .await?;
    Ok(())
}
