//! The dispatch of payouts in PostgreSQL.
//!
//! Three rules hold here. A payout changes state under the row lock of `payouts`, so that either
//! we send it or the ledger cancels it. Each step goes to the log through the outbox, in the
//! transaction that takes it. And no request is handed out before the outbox row of its step
//! `sending` is gone, which means that the log has it.
//!
//! Locks: `payouts` before `payout_dispatch`, many at once with SKIP LOCKED or in the order of
//! their ids, and `payout_rates` last; so dispatchers share the work and never wait for each other
//! in a circle.

mod attempts;
mod cards;
mod channels;
mod claim_codes;
pub mod delivery_reports;
pub mod funds;
mod messages;
pub mod rates;
pub mod recalls;
mod results;
mod rows;

use schemas::{PayoutId, Timestamp};
use sqlx::{PgPool, Row};
use stream::commit_points::{self, CommitPoint};

pub use attempts::{Attempt, Concluded, Settlement};
pub use channels::{Backlog, CommandOrder};
pub use claim_codes::Rotation;
pub use messages::{CardContent, Content, MessageResult, PendingMessage, Recipient};

use super::lifecycle::Dispatch;
use crate::ledger::LedgerError;

/// How many payouts one transaction takes up, where it takes many.
const BATCH: i64 = 200;

/// The database fails, or holds what nobody wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database fails.
    #[error("the database of payouts fails")]
    Database(#[from] sqlx::Error),
    /// A step can't be put into the outbox.
    #[error("a payout step can't be reported")]
    Outbox(#[from] LedgerError),
    /// A payout is in a state that no version of ours writes.
    #[error("no payout can be in state {0:?}")]
    UnknownState(String),
    /// A column holds a value that no version of ours writes.
    #[error("payout {payout_id}: column {column} is unreadable")]
    Unreadable {
        /// The payout.
        payout_id: PayoutId,
        /// The column.
        column: &'static str,
    },
}

/// The dispatch tables, for one channel.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    channel: &'static str,
}

impl Store {
    /// The tables behind `pool`, which connects as the writer.
    pub fn new(pool: PgPool, channel: &'static str) -> Self {
        Self { pool, channel }
    }

    /// Takes up payouts that have no dispatch row yet: those named, or all. Returns how many.
    ///
    /// A payout found in any state but `queued` was dispatched by somebody whose attempts are
    /// lost (a restored database): it counts as ambiguous from the start. One in an error state
    /// waits for the nightly run or the operator.
    pub async fn adopt(
        &self,
        payout_ids: Option<&[PayoutId]>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let named: Option<Vec<uuid::Uuid>> =
            payout_ids.map(|ids| ids.iter().map(|id| id.uuid()).collect());
        let adopted = sqlx::query(
            "INSERT INTO payout_dispatch (payout_id, tenant_id, channel, next_attempt_at, ambiguous)
             SELECT p.payout_id, p.tenant_id, p.method,
                    CASE WHEN p.state IN ('queued', 'sending') THEN $2 END, p.state <> 'queued'
             FROM payouts p
             WHERE p.method = $1
               AND p.state IN ('queued', 'sending', 'error_soft', 'error_hard')
               AND ($3::uuid[] IS NULL OR p.payout_id = ANY ($3))
               AND NOT EXISTS (SELECT FROM payout_dispatch d WHERE d.payout_id = p.payout_id)
             ON CONFLICT (payout_id) DO NOTHING",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(named)
        .execute(&self.pool)
        .await?;
        Ok(adopted.rows_affected())
    }

    /// Takes due payouts from `queued` to `sending`, unless the channel stands still, and reports
    /// the step: as many as make `ahead` that could be sent. Who is further back in the queue can
    /// still be cancelled. Returns how many.
    pub async fn announce(&self, now: Timestamp, ahead: usize) -> Result<usize, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query(
            "SELECT p.payout_id, p.state, d.*
             FROM payouts p JOIN payout_dispatch d USING (payout_id)
             WHERE d.channel = $1 AND d.next_attempt_at <= $2 AND p.state = 'queued'
               AND d.recall_next_attempt_at IS NULL
               AND NOT EXISTS (SELECT FROM payout_channels c WHERE c.channel = $1 AND c.paused)
               AND NOT EXISTS (SELECT FROM payout_holds h WHERE h.lifted_at IS NULL)
               -- While the ledger is rebuilt, the log knows more about payouts than the tables.
               AND NOT EXISTS (SELECT FROM ledger_epoch e WHERE e.rebuilding)
               AND NOT EXISTS (SELECT FROM users u
                               WHERE u.user_id = p.user_id AND u.erased_at IS NOT NULL)
             ORDER BY (d.attempts = 0), d.next_attempt_at, d.payout_id
             LIMIT least($3, $4 - (
                 SELECT count(*) FROM (
                     SELECT FROM payouts q JOIN payout_dispatch r USING (payout_id)
                     WHERE r.channel = $1 AND r.next_attempt_at <= $2 AND q.state = 'sending'
                     LIMIT $4) AS announced))
             FOR UPDATE OF p, d SKIP LOCKED",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(BATCH)
        .bind(i64::try_from(ahead).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
        let mut announced = Vec::with_capacity(rows.len());
        for row in &rows {
            let payout_id = rows::payout_id(row)?;
            if let Some(dispatch) = rows::dispatch(row, payout_id)?.announced() {
                announced.push((payout_id, dispatch.state));
            }
        }
        if announced.is_empty() {
            return Ok(0);
        }
        rows::write_states(&mut transaction, &announced).await?;
        let steps: Vec<_> = announced
            .iter()
            .map(|(payout_id, _)| results::sending(*payout_id, now))
            .collect();
        let sequences = results::enqueue(&mut transaction, &steps).await?;
        let ids: Vec<_> = announced.iter().map(|(id, _)| id.uuid()).collect();
        sqlx::query(
            "UPDATE payout_dispatch d SET sending_sequence = n.sequence
             FROM unnest($1::uuid[], $2::bigint[]) AS n (payout_id, sequence)
             WHERE d.payout_id = n.payout_id",
        )
        .bind(ids)
        .bind(sequences)
        .execute(&mut *transaction)
        .await?;
        commit_points::pass(CommitPoint::PayoutBeforeSending);
        transaction.commit().await?;
        commit_points::pass(CommitPoint::PayoutSending);
        Ok(announced.len())
    }

    /// Tries every payout in `error_soft` again that waits for the nightly run. Returns how many.
    pub async fn release_soft_errors(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut released = 0;
        loop {
            let mut transaction = self.pool.begin().await?;
            let rows = sqlx::query(
                "SELECT p.payout_id, p.state, d.*
                 FROM payouts p JOIN payout_dispatch d USING (payout_id)
                 WHERE d.channel = $1 AND p.state = 'error_soft'
                   AND d.next_attempt_at IS NULL AND d.leased_until IS NULL
                 LIMIT $2
                 FOR UPDATE OF p, d SKIP LOCKED",
            )
            .bind(self.channel)
            .bind(BATCH)
            .fetch_all(&mut *transaction)
            .await?;
            let mut changed = Vec::with_capacity(rows.len());
            for row in &rows {
                let payout_id = rows::payout_id(row)?;
                if let Some(dispatch) = rows::dispatch(row, payout_id)?.released(now) {
                    changed.push((payout_id, dispatch, None));
                }
            }
            rows::write_dispatches(&mut transaction, &changed, None).await?;
            transaction.commit().await?;
            released += changed.len();
            if changed.is_empty() {
                return Ok(released);
            }
        }
    }

    /// Where one payout's dispatch stands; `None` if it isn't taken up.
    pub async fn dispatch(&self, payout_id: PayoutId) -> Result<Option<Dispatch>, StoreError> {
        let row = sqlx::query(
            "SELECT p.payout_id, p.state, d.*
             FROM payouts p JOIN payout_dispatch d USING (payout_id) WHERE p.payout_id = $1",
        )
        .bind(payout_id.uuid())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| rows::dispatch(&row, payout_id)).transpose()
    }

    /// Whether the channel stands still, and why.
    pub async fn paused(&self) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT reason FROM payout_channels WHERE channel = $1 AND paused")
            .bind(self.channel)
            .fetch_optional(&self.pool)
            .await?;
        let reason = row.map(|row| row.try_get::<Option<String>, _>("reason"));
        Ok(reason.transpose()?.map(Option::unwrap_or_default))
    }
}
