//! The hold on payouts: a broken money invariant raises it, and only an operator lifts it.

use std::fmt;

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use serde::Serialize;
use sqlx::{PgConnection, Row};

/// A hold that is open. JSON: its fields; shown, a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayoutHold {
    /// Number of the hold.
    pub hold_id: i64,
    /// When it was noticed.
    pub raised_at: Timestamp,
    /// Which invariant, as the audit calls it.
    pub invariant: String,
    /// How many rows offended against it then.
    pub figure: i64,
    /// The first of them, as they were.
    pub offending_rows: serde_json::Value,
}

impl fmt::Display for PayoutHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            raised_at,
            invariant,
            figure,
            ..
        } = self;
        write!(
            f,
            "payouts are held since {raised_at}: {invariant} was broken by {figure} rows; they go \
             on once an operator has lifted the hold"
        )
    }
}

/// The open hold, if there is one.
///
/// # Errors
/// When the database can't be read.
pub async fn open(connection: &mut PgConnection) -> sqlx::Result<Option<PayoutHold>> {
    let row = sqlx::query(
        "SELECT hold_id, raised_at, invariant, figure, offending_rows FROM payout_holds
         WHERE lifted_at IS NULL",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(PayoutHold {
            hold_id: row.try_get("hold_id")?,
            raised_at: row.try_get::<DateTime<Utc>, _>("raised_at")?.into(),
            invariant: row.try_get("invariant")?,
            figure: row.try_get("figure")?,
            offending_rows: row.try_get("offending_rows")?,
        })
    })
    .transpose()
}
