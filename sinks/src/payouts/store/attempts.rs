//! Attempts: handed out, and what became of them.

use std::collections::BTreeMap;

use processors::rules::payouts::PayoutState;
use schemas::{
    PayoutId, Timestamp,
    events::{PayoutResult, PayoutStep},
};
use sqlx::{PgConnection, Row};
use tokio::time::Instant;

use super::{
    BATCH, Store, StoreError, cards, channels,
    rates::{CallRate, Operation},
    results, rows,
};
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
    /// Its slot: not to be made earlier.
    pub not_before: Instant,
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct Concluded {
    /// Which attempt of which payout.
    pub payout_id: PayoutId,
    /// See [`Attempt::number`].
    pub number: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The claim code, where it is stored.
    pub sealed: Option<Sealed>,
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
    /// Hands out up to `attempts_max` due attempts, repetitions first, each recorded as begun and
    /// with a slot of the rail's rate. An attempt is lost to its dispatcher after `lease_ms` on the
    /// database's clock.
    pub async fn begin(
        &self,
        now: Timestamp,
        attempts_max: usize,
        lease_ms: i64,
        rate: CallRate,
    ) -> Result<Vec<Attempt>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let due = sqlx::query(
            "SELECT p.payout_id, p.state, p.request, p.amount, p.currency::text AS currency,
                    p.creation_request_id, d.*
             FROM payouts p JOIN payout_dispatch d USING (payout_id)
             WHERE d.channel = $1 AND d.next_attempt_at <= $2 AND d.leased_until IS NULL
               AND p.state IN ('sending', 'error_soft', 'error_hard')
               AND NOT EXISTS (SELECT FROM payout_channels c
                               WHERE c.channel = $1 AND (c.paused OR c.held_until > $2))
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
             ORDER BY (d.attempts = 0), d.next_attempt_at, d.payout_id
             LIMIT $3
             FOR UPDATE OF p, d SKIP LOCKED",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(i64::try_from(attempts_max).unwrap_or(BATCH))
        .fetch_all(&mut *transaction)
        .await?;
        let slots = self
            .take_slots(&mut transaction, Operation::Call, rate, due.len())
            .await?;
        let mut begun = Vec::with_capacity(slots.len());
        let mut attempts = Vec::with_capacity(slots.len());
        // What there is no slot for stays due.
        for (row, not_before) in due.iter().zip(slots) {
            let payout_id = rows::payout_id(row)?;
            let Some(dispatch) = rows::dispatch(row, payout_id)?.begun(now) else {
                continue;
            };
            begun.push((payout_id, dispatch, None));
            attempts.push(Attempt {
                payout_id,
                number: dispatch.attempts,
                request: row.try_get("request")?,
                expected: rows::expected(row)?,
                not_before,
            });
        }
        rows::write_dispatches(&mut transaction, &begun, Some(lease_ms)).await?;
        transaction.commit().await?;
        Ok(attempts)
    }

    /// Records what became of attempts, reports the steps, and holds or pauses the channel where
    /// an outcome asks for it. A funded card makes its message due, leased to the caller for
    /// `message_lease_ms`. Answers in the order of `concluded`.
    pub async fn settle(
        &self,
        concluded: &[Concluded],
        now: Timestamp,
        policy: &RetryPolicy,
        message_lease_ms: i64,
    ) -> Result<Vec<Settlement>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let ids: Vec<PayoutId> = concluded.iter().map(|one| one.payout_id).collect();
        let mut stand = lock(&mut transaction, &ids).await?;
        let mut changes = Changes::default();
        let mut settlements = Vec::with_capacity(concluded.len());
        for one in concluded {
            let payout_id = one.payout_id;
            let before = *stand.get(&payout_id).ok_or(sqlx::Error::RowNotFound)?;
            let kind = one.outcome.kind();
            let ours = before.in_flight && before.attempts == one.number;
            // A card that exists counts whoever hears of it.
            if !ours && kind != OutcomeKind::Funded {
                settlements.push(Settlement::Stale);
                continue;
            }
            let settled = before.settled(kind, now, policy);
            stand.insert(payout_id, settled.dispatch);
            changes.note(payout_id, &settled, &one.outcome, now);
            if let Outcome::Funded(card) = &one.outcome
                && before.state != PayoutState::Funded
                && settled.dispatch.state == PayoutState::Funded
            {
                changes.cards.push((payout_id, card, one.sealed.as_ref()));
            }
            settlements.push(Settlement::Applied(settled));
        }
        self.write(&mut transaction, &changes, now, message_lease_ms)
            .await?;
        transaction.commit().await?;
        Ok(settlements)
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
        let mut changes = Changes::default();
        for row in &lost {
            let payout_id = rows::payout_id(row)?;
            let before = rows::dispatch(row, payout_id)?;
            let settled = before.settled(outcome.kind(), now, policy);
            changes.note(payout_id, &settled, &outcome, now);
        }
        self.write(&mut transaction, &changes, now, 0).await?;
        transaction.commit().await?;
        Ok(lost.len())
    }

    /// A statement for each kind of change, whatever the number of payouts.
    async fn write(
        &self,
        connection: &mut PgConnection,
        changes: &Changes<'_>,
        now: Timestamp,
        message_lease_ms: i64,
    ) -> Result<(), StoreError> {
        let dispatches: Vec<_> = changes
            .dispatches
            .iter()
            .map(|(payout_id, (dispatch, error))| (*payout_id, *dispatch, Some(error.clone())))
            .collect();
        rows::write_dispatches(connection, &dispatches, None).await?;
        cards::take(connection, &changes.cards, now, message_lease_ms).await?;
        rows::write_states(connection, &changes.states).await?;
        results::enqueue(connection, &changes.steps).await?;
        if let Some(reason) = &changes.pause {
            channels::pause(connection, self.channel, reason, now).await?;
        }
        if let Some(hold_ms) = changes.hold_ms {
            channels::hold(connection, self.channel, now.plus_millis(hold_ms)).await?;
        }
        Ok(())
    }
}

/// What outcomes change in the tables, gathered.
#[derive(Default)]
struct Changes<'a> {
    dispatches: BTreeMap<PayoutId, (Dispatch, rows::LastError)>,
    states: Vec<(PayoutId, PayoutState)>,
    cards: Vec<cards::NewCard<'a>>,
    steps: Vec<PayoutResult>,
    pause: Option<String>,
    hold_ms: Option<i64>,
}

impl Changes<'_> {
    /// State, step, error text, pause and hold: what every outcome leaves behind.
    fn note(&mut self, payout_id: PayoutId, settled: &Settled, outcome: &Outcome, now: Timestamp) {
        let detail = outcome.detail().map(|detail| detail.as_str().to_owned());
        if settled.pause_channel {
            self.pause = self.pause.take().or_else(|| detail.clone());
        }
        self.hold_ms = self.hold_ms.max(settled.hold_ms);
        if let Some(step) = settled.step {
            let dispatch = &settled.dispatch;
            self.steps
                .push(result_of(payout_id, step, dispatch, outcome, now));
            // A funded payout's state is written with its card.
            if dispatch.state != PayoutState::Funded {
                self.states.push((payout_id, dispatch.state));
            }
        }
        self.dispatches
            .insert(payout_id, (settled.dispatch, detail));
    }
}

/// Where payouts stand, their rows locked in the order in which everybody locks several.
pub(super) async fn lock(
    connection: &mut PgConnection,
    payout_ids: &[PayoutId],
) -> Result<BTreeMap<PayoutId, Dispatch>, StoreError> {
    let ids: Vec<_> = payout_ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query(
        "SELECT p.payout_id, p.state, d.*
         FROM payouts p JOIN payout_dispatch d USING (payout_id)
         WHERE p.payout_id = ANY ($1)
         ORDER BY p.payout_id
         FOR UPDATE OF p, d",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let payout_id = rows::payout_id(row)?;
            Ok((payout_id, rows::dispatch(row, payout_id)?))
        })
        .collect()
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
