//! What is to be paid, and what there is to pay it with.

use std::collections::BTreeMap;

use processors::rules::payouts::PayoutState;
use rust_decimal::Decimal;
use schemas::{Amount, Timestamp};
use sqlx::Row;

use super::{Store, StoreError, rows};
use crate::payouts::agcod::Funds;

/// What there is to watch of payouts that aren't paid yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How many there are in each state.
    pub counts: BTreeMap<PayoutState, i64>,
    /// Their sum, in units.
    pub unpaid: Amount,
    /// How long ago the oldest of them was requested.
    pub oldest_unpaid_ms: i64,
    /// What the rail last said is left, and how long ago that was.
    pub funds: Option<(Amount, i64)>,
}

impl Store {
    /// What there is to watch of payouts that aren't paid yet.
    pub async fn standing(&self, now: Timestamp) -> Result<Standing, StoreError> {
        let rows = sqlx::query(
            "SELECT state, count(*) AS count, sum(amount) AS amount, min(as_of) AS oldest_at
             FROM payouts
             WHERE method = $1 AND state NOT IN ('funded', 'cancelled')
             GROUP BY state",
        )
        .bind(self.channel)
        .fetch_all(&self.pool)
        .await?;
        let mut standing = Standing {
            counts: BTreeMap::new(),
            unpaid: Amount::ZERO,
            oldest_unpaid_ms: 0,
            funds: None,
        };
        for row in &rows {
            let state = rows::state(row)?;
            standing.counts.insert(state, row.try_get("count")?);
            standing.unpaid = add(standing.unpaid, row.try_get("amount")?);
            let age_ms = rows::instant(row, "oldest_at")?.map_or(0, |at| now.millis_since(at));
            standing.oldest_unpaid_ms = standing.oldest_unpaid_ms.max(age_ms);
        }
        let funds = sqlx::query(
            "SELECT funds, extract(epoch FROM clock_timestamp() - funds_at)::bigint AS age_seconds
             FROM payout_channels WHERE channel = $1 AND funds IS NOT NULL",
        )
        .bind(self.channel)
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = funds {
            let age_seconds: i64 = row.try_get("age_seconds")?;
            standing.funds = Some((
                add(Amount::ZERO, row.try_get("funds")?),
                age_seconds * 1_000,
            ));
        }
        Ok(standing)
    }

    /// Whether it is this caller's turn to ask for the funds: nobody has within `interval_ms`.
    pub async fn funds_due(&self, interval_ms: i64) -> Result<bool, StoreError> {
        let due = sqlx::query_scalar(
            "SELECT NOT EXISTS (
                 SELECT FROM payout_channels
                 WHERE channel = $1
                   AND funds_at > clock_timestamp() - $2 * interval '1 millisecond')",
        )
        .bind(self.channel)
        .bind(interval_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok(due)
    }

    /// Keeps what the rail says is left.
    pub async fn note_funds(&self, funds: Funds) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO payout_channels (channel, funds, funds_currency, funds_at)
             VALUES ($1, $2, $3, clock_timestamp())
             ON CONFLICT (channel) DO UPDATE
             SET funds = excluded.funds, funds_currency = excluded.funds_currency,
                 funds_at = excluded.funds_at",
        )
        .bind(self.channel)
        .bind(funds.amount.to_decimal())
        .bind(funds.currency.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Sums far beyond what an amount holds stay at its limit: they are watched, not booked.
fn add(sum: Amount, amount: Decimal) -> Amount {
    let amount = Amount::from_decimal(amount).map_or(i64::MAX, Amount::micros);
    Amount::from_micros(sum.micros().saturating_add(amount))
}
