//! Payouts that an operator gives up after they were sent
//! ([ADR 0021](../../../../docs/adr/0021-a-card-is-called-back-before-its-money-returns.md)).
//!
//! The money returns by a step in the log, `cancelled` with the attempts that were made, and by
//! the ledger, which reads it. Here it is only found out whether that step may be taken.

use processors::rules::payouts::PayoutState;
use schemas::{
    PayoutId, Timestamp,
    events::{PayoutResult, PayoutStep},
};
use sqlx::Row;

use super::{BATCH, CommandOrder, Store, StoreError, attempts, claim_codes, results, rows};
use crate::payouts::{agcod::Expected, lifecycle::Dispatch};

/// Between tries of a recall whose outcome isn't known; also how long one may take.
const RETRY_MS: i64 = 30_000;

/// A payout to be given up.
#[derive(Debug)]
pub struct Recall {
    /// The payout.
    pub payout_id: PayoutId,
    /// Where it stands.
    pub dispatch: Dispatch,
    /// The card's id, where it has one.
    pub card_id: Option<String>,
    /// When the card was funded.
    pub paid_at: Option<Timestamp>,
    /// The frozen request.
    pub request: Vec<u8>,
    /// What it asks for; `None` where the payout's row can't be read.
    pub expected: Option<Expected>,
    /// What the last attempt came to.
    pub last_error: Option<String>,
}

/// What came of a recall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallResult {
    /// No card can be spent: the money returns. How that is known.
    Recalled(&'static str),
    /// The payout stays as it is; why, for the operator.
    Impossible(&'static str),
    /// To be tried again.
    Later(&'static str),
}

impl Store {
    /// Notes that an operator gives a payout up: from now on it isn't announced any more. One
    /// that no byte went out for is cancelled by the ledger, under the payee's lock. Returns
    /// whether this is news.
    pub async fn ask_recall(
        &self,
        payout_id: PayoutId,
        command: CommandOrder,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.adopt(Some(&[payout_id]), now).await?;
        // Of a funded payout too, whose row of dispatch a restored database may lack.
        let asked = sqlx::query(
            "INSERT INTO payout_dispatch AS d (payout_id, tenant_id, channel, ambiguous,
                 recall_issued_at, recall_command_id, recall_next_attempt_at)
             SELECT payout_id, tenant_id, method, true, $2, $3, $4
             FROM payouts WHERE payout_id = $1 AND method = $5 AND state <> 'cancelled'
             ON CONFLICT (payout_id) DO UPDATE
             SET recall_issued_at = excluded.recall_issued_at,
                 recall_command_id = excluded.recall_command_id,
                 recall_next_attempt_at = excluded.recall_next_attempt_at, recall_error = NULL
             WHERE d.recalled_at IS NULL AND (d.recall_issued_at IS NULL
                OR (d.recall_issued_at, d.recall_command_id)
                 < (excluded.recall_issued_at, excluded.recall_command_id))",
        )
        .bind(payout_id.uuid())
        .bind(command.issued_at.to_datetime())
        .bind(command.command_id.get())
        .bind(now.to_datetime())
        .bind(self.channel)
        .execute(&self.pool)
        .await?;
        Ok(asked.rows_affected() > 0)
    }

    /// Hands out due recalls, each for half a minute.
    pub async fn begin_recalls(&self, now: Timestamp) -> Result<Vec<Recall>, StoreError> {
        let rows = sqlx::query(
            "WITH due AS (
                 SELECT d.payout_id FROM payout_dispatch d
                 WHERE d.channel = $1 AND d.recall_next_attempt_at <= $2
                   AND NOT EXISTS (SELECT FROM payout_channels c
                                   WHERE c.channel = $1 AND (c.paused OR c.held_until > $2))
                 ORDER BY d.recall_next_attempt_at
                 LIMIT $4
                 FOR UPDATE OF d SKIP LOCKED)
             UPDATE payout_dispatch d SET recall_next_attempt_at = $3
             FROM due, payouts p
             WHERE d.payout_id = due.payout_id AND p.payout_id = due.payout_id
             RETURNING p.payout_id, p.state, p.card_id, p.paid_at, p.request, p.amount,
                       p.currency::text AS currency, p.creation_request_id, d.attempts,
                       d.first_attempt_at, d.round_attempts, d.round_began_at, d.next_attempt_at,
                       d.ambiguous, d.leased_until, d.recalled_at, d.last_error",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(now.plus_millis(RETRY_MS).to_datetime())
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let payout_id = rows::payout_id(row)?;
                Ok(Recall {
                    payout_id,
                    dispatch: rows::dispatch(row, payout_id)?,
                    card_id: row.try_get("card_id")?,
                    paid_at: rows::instant(row, "paid_at")?,
                    request: row.try_get("request")?,
                    expected: rows::expected(row)?,
                    last_error: row.try_get("last_error")?,
                })
            })
            .collect()
    }

    /// Records what came of a recall. What was recalled is sent no more, its message neither, and
    /// the log is told; the ledger does the rest when it reads that. `stood` is where the payout
    /// stood when it was judged: if it has moved since, it is judged again.
    pub async fn settle_recall(
        &self,
        payout_id: PayoutId,
        stood: PayoutState,
        result: RecallResult,
        now: Timestamp,
    ) -> Result<RecallResult, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = attempts::lock(&mut transaction, &[payout_id]).await?;
        let Some(dispatch) = locked.get(&payout_id) else {
            return Ok(RecallResult::Impossible("there is no such payout"));
        };
        let moved = dispatch.state != stood || dispatch.in_flight || dispatch.recalled;
        let result = match result {
            RecallResult::Recalled(_) if moved => RecallResult::Later("the payout has moved"),
            unmoved => unmoved,
        };
        let (next_attempt_at, error) = match result {
            RecallResult::Recalled(_) => (None, None),
            RecallResult::Impossible(why) => (None, Some(why)),
            RecallResult::Later(why) => (Some(now.plus_millis(RETRY_MS)), Some(why)),
        };
        let recalled = matches!(result, RecallResult::Recalled(_));
        sqlx::query(
            "UPDATE payout_dispatch
             SET recall_next_attempt_at = $2, recall_error = $3,
                 recalled_at = CASE WHEN $4 THEN $5 ELSE recalled_at END,
                 next_attempt_at = CASE WHEN $4 THEN NULL ELSE next_attempt_at END
             WHERE payout_id = $1",
        )
        .bind(payout_id.uuid())
        .bind(next_attempt_at.map(Timestamp::to_datetime))
        .bind(error)
        .bind(recalled)
        .bind(now.to_datetime())
        .execute(&mut *transaction)
        .await?;
        if let RecallResult::Recalled(how) = result {
            claim_codes::shred(&mut transaction, &[payout_id.uuid()]).await?;
            sqlx::query(
                "UPDATE messages SET state = 'dropped', next_attempt_at = NULL, closed = true,
                                     error = 'the payout was given up'
                 WHERE message_id = $1 AND state IN ('due', 'no_phone', 'failed', 'card_gone')",
            )
            .bind(payout_id.uuid())
            .execute(&mut *transaction)
            .await?;
            let step = PayoutResult {
                payout_id,
                step: PayoutStep::Cancelled,
                at: now,
                // What tells it from a payout that was never sent.
                attempt: rows::column_count(dispatch.attempts.max(1)),
                detail: Some(how.to_owned()),
                card_id: None,
            };
            results::enqueue(&mut transaction, &[step]).await?;
        }
        transaction.commit().await?;
        Ok(result)
    }
}
