//! The ledger at one moment: its rows, and how far it had read the log.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use schemas::{EventId, Position, Timestamp, Topic};
use sinks::ledger::{
    CONSUMER, LedgerError,
    claim_rows::{self, ClaimRow},
};
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use stream::Log;

use super::{ReplayError, reading::Watermark};

/// Before every click.
const NEVER: Timestamp = Timestamp::from_millis(i64::MIN);

/// A transaction that sees one moment until it ends.
pub(crate) struct Moment {
    transaction: Transaction<'static, Postgres>,
    pub watermark: Watermark,
    pub retired_before: Timestamp,
    /// Whether all that was decided about payouts stands in the log below the watermark. If not,
    /// claims may show as paid, or not, ahead of it.
    pub payouts_at_rest: bool,
}

impl Moment {
    pub async fn open(pool: &PgPool, log: &dyn Log) -> Result<Self, ReplayError> {
        let mut transaction = pool.begin().await?;
        for setting in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // It stays open, and mostly idle, while the log is read.
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ] {
            sqlx::query(setting).execute(&mut *transaction).await?;
        }
        let (rebuilding, retired_before): (bool, Option<DateTime<Utc>>) =
            sqlx::query_as("SELECT rebuilding, reports_retired_before FROM ledger_epoch")
                .fetch_one(&mut *transaction)
                .await?;
        if rebuilding {
            return Err(ReplayError::Rebuilding);
        }
        let rows = sqlx::query(
            "SELECT topic, partition, next_offset FROM consumer_positions WHERE consumer = $1",
        )
        .bind(CONSUMER)
        .fetch_all(&mut *transaction)
        .await?;
        let mut watermark = BTreeMap::new();
        for row in &rows {
            let topic: Topic = row
                .try_get::<&str, _>("topic")?
                .parse()
                .map_err(LedgerError::Invalid)?;
            let partition = (topic, row.try_get("partition")?);
            watermark.insert(partition, row.try_get("next_offset")?);
        }
        let unsent: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM outbox WHERE topic IN ('payouts', 'payout-results'))",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let watermark = Watermark(watermark);
        let read = check_ends(log, &watermark).await?;
        Ok(Self {
            transaction,
            watermark,
            retired_before: retired_before.map_or(NEVER, Timestamp::from),
            payouts_at_rest: !unsent && read,
        })
    }

    /// The connection of the transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Before when claims are final, if any are.
    pub fn retired_before(&self) -> Option<Timestamp> {
        (self.retired_before != NEVER).then_some(self.retired_before)
    }

    /// The rows that are wanted, by claim. Memory: about 40 bytes each.
    pub(super) async fn rows(
        &mut self,
        wanted: impl Fn(&ClaimRow) -> bool,
    ) -> Result<Rows, ReplayError> {
        let mut rows = Rows::default();
        let retired_before = self.retired_before;
        let mut all = std::pin::pin!(claim_rows::all(&mut self.transaction));
        while let Some(row) = all.try_next().await? {
            if row.clicked_at() < retired_before || !wanted(&row) {
                continue;
            }
            let mark = Mark {
                fingerprint: row.fingerprint()?,
                seen: AtomicBool::new(false),
            };
            if rows.0.insert(row.claim(), mark).is_some() {
                let claim = row.claim();
                return Err(LedgerError::Invalid(format!("claim {claim} has two rows")).into());
            }
        }
        Ok(rows)
    }

    /// The rows of some claims.
    pub async fn rows_of(
        &mut self,
        claims: &[EventId],
    ) -> Result<HashMap<EventId, ClaimRow>, ReplayError> {
        let rows = claim_rows::of_claims(&mut self.transaction, claims).await?;
        Ok(rows.into_iter().map(|row| (row.claim(), row)).collect())
    }

    pub async fn close(self) -> Result<(), ReplayError> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Fails where the ledger has read more than there is; tells whether it has read all about payouts.
async fn check_ends(log: &dyn Log, watermark: &Watermark) -> Result<bool, ReplayError> {
    let mut payouts_read = true;
    for (topic, partition) in watermark.0.keys().copied() {
        let next = watermark.end((topic, partition));
        let high = log.watermarks(topic, partition).await?.high;
        if next > high {
            let position = Position {
                topic,
                partition,
                offset: next,
            };
            return Err(ReplayError::LogLost { position, high });
        }
        payouts_read &= next == high || !matches!(topic, Topic::Payouts | Topic::PayoutResults);
    }
    Ok(payouts_read)
}

/// Rows of the ledger, as far as they have to be told apart.
#[derive(Debug, Default)]
pub(super) struct Rows(HashMap<EventId, Mark>);

#[derive(Debug)]
struct Mark {
    fingerprint: u64,
    seen: AtomicBool,
}

/// How a claim of a fold stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Equal,
    Different,
    Missing,
}

impl Rows {
    /// Looks a claim up, and notes that the fold has it.
    pub fn find(&self, row: &ClaimRow) -> Result<Found, LedgerError> {
        let Some(mark) = self.0.get(&row.claim()) else {
            return Ok(Found::Missing);
        };
        mark.seen.store(true, Ordering::Relaxed);
        Ok(if mark.fingerprint == row.fingerprint()? {
            Found::Equal
        } else {
            Found::Different
        })
    }

    /// Rows of claims that no fold had.
    pub fn unseen(&self) -> Vec<EventId> {
        let unseen = self
            .0
            .iter()
            .filter(|(_, mark)| !mark.seen.load(Ordering::Relaxed));
        let mut unseen: Vec<_> = unseen.map(|(claim, _)| *claim).collect();
        unseen.sort_unstable();
        unseen
    }
}
