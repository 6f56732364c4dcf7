//! Attempts: handed out, and what became of them.

use processors::rules::payouts::PayoutState;
use schemas::{
    PayoutId, Timestamp,
    events::{PayoutResult, PayoutStep},
};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{BATCH, Store, StoreError, channels, messages, results, rows};
use crate::{
    payouts::{
        agcod::{Expected, Outcome, OutcomeKind, classify::Detail},
        lifecycle::{Dispatch, RetryPolicy, Settled},
    },
    sealing::Sealed,
};

/// One attempt to make: recorded as begun, and nobody else's.
#[derive(Debug)]
pub struct Attempt {
    /// The payout.
    pub payout_id: PayoutId,
    /// Which attempt of the payout, from 1.
    pub number: u32,
    /// The frozen request, to be sent byte for byte.
    pub request: Vec<u8>,
    /// What it asks for; `None` where the payout's row can't be read.
    pub expected: Option<Expected>,
}

/// What recording an outcome led to.
#[derive(Debug)]
#[must_use]
pub enum Settlement {
    /// The outcome counts.
    Applied(Settled),
    /// The attempt had been given up for lost, and the outcome says nothing final: the later
    /// attempt decides.
    Stale,
}

impl Store {
    /// Hands out up to `attempts_max` due attempts, each recorded as begun. An attempt is lost to
    /// its dispatcher after `lease_ms` on the database's clock.
    pub async fn begin(
        &self,
        now: Timestamp,
        attempts_max: usize,
        lease_ms: i64,
    ) -> Result<Vec<Attempt>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let due = sqlx::query(
            "SELECT p.payout_id, p.state, p.request, p.amount, p.currency::text AS currency,
                    p.creation_request_id, d.*
             FROM payouts p JOIN payout_dispatch d USING (payout_id)
             WHERE d.channel = $1 AND d.next_attempt_at <= $2 AND d.leased_until IS NULL
               AND p.state IN ('sending', 'error_soft', 'error_hard')
               AND NOT EXISTS (SELECT FROM payout_channels c WHERE c.channel = $1 AND c.paused)
               AND NOT EXISTS (SELECT FROM payout_holds h WHERE h.lifted_at IS NULL)
               -- While the ledger is rebuilt, the log knows more about payouts than the tables.
               AND NOT EXISTS (SELECT FROM ledger_epoch e WHERE e.rebuilding)
               AND NOT EXISTS (SELECT FROM users u
                               WHERE u.user_id = p.user_id AND u.erased_at IS NOT NULL)
               -- The step `sending` is durable in the log. Where we didn't write it ourselves,
               -- any step of the payout may be it.
               AND NOT EXISTS (SELECT FROM outbox o WHERE o.sequence = d.sending_sequence)
               AND (d.sending_sequence IS NOT NULL OR NOT EXISTS (
                    SELECT FROM outbox o WHERE o.topic = 'payout-results'
                      AND o.key = convert_to(p.payout_id::text, 'UTF8')))
             ORDER BY d.next_attempt_at, p.payout_id
             LIMIT $3
             FOR UPDATE OF p, d SKIP LOCKED",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(i64::try_from(attempts_max).unwrap_or(BATCH))
        .fetch_all(&mut *transaction)
        .await?;
        let mut attempts = Vec::with_capacity(due.len());
        for row in &due {
            let payout_id = rows::payout_id(row)?;
            let Some(begun) = rows::dispatch(row, payout_id)?.begun(now) else {
                continue;
            };
            rows::write_dispatch(&mut transaction, payout_id, &begun, Some(lease_ms)).await?;
            attempts.push(Attempt {
                payout_id,
                number: begun.attempts,
                request: row.try_get("request")?,
                expected: rows::expected(row)?,
            });
        }
        transaction.commit().await?;
        Ok(attempts)
    }

    /// Records what became of an attempt, reports the step, and pauses the channel where the
    /// outcome asks for it. A funded card makes its message due, leased to the caller for
    /// `message_lease_ms`.
    pub async fn settle(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        sealed: Option<&Sealed>,
        now: Timestamp,
        policy: &RetryPolicy,
        message_lease_ms: i64,
    ) -> Result<Settlement, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let payout_id = attempt.payout_id;
        let row = lock(&mut transaction, payout_id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        let before = rows::dispatch(&row, payout_id)?;
        let kind = outcome.kind();
        let ours = before.in_flight && before.attempts == attempt.number;
        // A card that exists counts whoever hears of it.
        if !ours && kind != OutcomeKind::Funded {
            return Ok(Settlement::Stale);
        }
        let settled = before.settled(kind, now, policy);
        rows::write_dispatch(&mut transaction, payout_id, &settled.dispatch, None).await?;
        if let Outcome::Funded(card) = outcome
            && before.state != PayoutState::Funded
        {
            sqlx::query(
                "UPDATE payouts SET state = 'funded', paid_at = $2, card_id = $3
                 WHERE payout_id = $1",
            )
            .bind(payout_id.uuid())
            .bind(now.to_datetime())
            .bind(&card.card_id)
            .execute(&mut *transaction)
            .await?;
            messages::make_due(
                &mut transaction,
                payout_id,
                card,
                sealed,
                now,
                message_lease_ms,
            )
            .await?;
        }
        self.record(&mut transaction, payout_id, &settled, outcome, now)
            .await?;
        transaction.commit().await?;
        Ok(Settlement::Applied(settled))
    }

    /// Gives up attempts whose dispatcher is gone: nobody knows what became of them. Returns how
    /// many.
    pub async fn recover(&self, now: Timestamp, policy: &RetryPolicy) -> Result<usize, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let lost = sqlx::query(
            "SELECT p.payout_id, p.state, d.*
             FROM payouts p JOIN payout_dispatch d USING (payout_id)
             WHERE d.channel = $1 AND d.leased_until < clock_timestamp()
             LIMIT $2
             FOR UPDATE OF p, d SKIP LOCKED",
        )
        .bind(self.channel)
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        let outcome = Outcome::Unknown(Detail::new("interrupted"));
        for row in &lost {
            let payout_id = rows::payout_id(row)?;
            let before = rows::dispatch(row, payout_id)?;
            let settled = before.settled(outcome.kind(), now, policy);
            rows::write_dispatch(&mut transaction, payout_id, &settled.dispatch, None).await?;
            self.record(&mut transaction, payout_id, &settled, &outcome, now)
                .await?;
        }
        transaction.commit().await?;
        Ok(lost.len())
    }

    /// State, step, error text and pause: what every outcome leaves behind.
    async fn record(
        &self,
        connection: &mut PgConnection,
        payout_id: PayoutId,
        settled: &Settled,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let detail = outcome.detail().map(|detail| detail.as_str().to_owned());
        sqlx::query("UPDATE payout_dispatch SET last_error = $2 WHERE payout_id = $1")
            .bind(payout_id.uuid())
            .bind(detail.as_deref())
            .execute(&mut *connection)
            .await?;
        if let Some(step) = settled.step {
            rows::write_state(connection, payout_id, settled.dispatch.state).await?;
            let result = result_of(payout_id, step, &settled.dispatch, outcome, now);
            results::enqueue(connection, &result).await?;
        }
        if settled.pause_channel {
            let reason = detail.as_deref().unwrap_or_default();
            channels::pause(connection, self.channel, reason, now).await?;
        }
        Ok(())
    }
}

/// Both rows of a payout, locked; `None` where it isn't taken up.
pub(super) async fn lock(
    connection: &mut PgConnection,
    payout_id: PayoutId,
) -> Result<Option<PgRow>, StoreError> {
    let row = sqlx::query(
        "SELECT p.payout_id, p.state, d.*
         FROM payouts p JOIN payout_dispatch d USING (payout_id) WHERE p.payout_id = $1
         FOR UPDATE OF p, d",
    )
    .bind(payout_id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

fn result_of(
    payout_id: PayoutId,
    step: PayoutStep,
    dispatch: &Dispatch,
    outcome: &Outcome,
    at: Timestamp,
) -> PayoutResult {
    let card_id = match outcome {
        Outcome::Funded(card) => Some(card.card_id.clone()),
        Outcome::Refused(_)
        | Outcome::Mismatched(_)
        | Outcome::Throttled(_)
        | Outcome::ChannelFault(_)
        | Outcome::Unreachable(_)
        | Outcome::Unknown(_) => None,
    };
    let doubt = if dispatch.ambiguous {
        "; a card may exist"
    } else {
        ""
    };
    PayoutResult {
        payout_id,
        step,
        at,
        attempt: rows::column_count(dispatch.attempts),
        detail: outcome
            .detail()
            .map(|detail| format!("{}{doubt}", detail.as_str())),
        card_id,
    }
}
