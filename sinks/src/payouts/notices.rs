//! `ledger` → messages: whoever's reward gets confirmed is told of it, once.
//!
//! The specification promises it (section 5: "You'll be notified automatically"). A claim is told
//! of once ever, whatever is read again and whatever it is called by then; what the log took long
//! ago is not news and never told, so that neither a replay nor a lost position floods anybody.
//! Positions are the group's: what was written down is committed afterwards, and may come again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use processors::stage::dead_letters::{self, DeadLetter, Reason, Stage};
use prometheus::{IntCounter, Registry};
use schemas::{
    Amount, Topic, codec,
    events::{ClaimStatus, LedgerChanged},
};
use sqlx::PgPool;
use stream::{
    AppendError, Clock, GroupConsumer, GroupEvent, GroupSettings, Log, LogError, Partition, Record,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::messages::NoticeLimits;

/// The consumer group.
pub const GROUP: &str = "notices";
const RECORDS_MAX: usize = 500;
const WAIT: Duration = Duration::from_secs(1);
/// Between tries, when the log or the database fails.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes messages of confirmations until it is told to stop. Any number may run at once.
pub struct Notices {
    pool: PgPool,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    limits: NoticeLimits,
    told: IntCounter,
    outdated: IntCounter,
}

/// Why records could not be dealt with, for now.
#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error("the database of messages fails")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Notices {
    /// Over `pool`, which connects as the writer.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn new(
        pool: PgPool,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        limits: NoticeLimits,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let told = IntCounter::new(
            "hissaback_confirmations_told_total",
            "Claims whose confirmation went into a message",
        )?;
        let outdated = IntCounter::new(
            "hissaback_confirmations_outdated_total",
            "Confirmations read so late that nobody was told",
        )?;
        registry.register(Box::new(told.clone()))?;
        registry.register(Box::new(outdated.clone()))?;
        Ok(Self {
            pool,
            log,
            clock,
            limits,
            told,
            outdated,
        })
    }

    /// Reads until `shutdown`.
    ///
    /// # Errors
    /// When the log can't be read any more. A database that fails is waited for.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LogError> {
        while !shutdown.is_cancelled() {
            let joined = self
                .log
                .join(GROUP, &[Topic::Ledger], GroupSettings::default());
            let ended = match joined.await {
                Ok(consumer) => self.consume(consumer, &shutdown).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) | Err(LogError::Closed) => return Ok(()),
                Err(error @ (LogError::Storage { .. } | LogError::NotAssigned { .. })) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "reading confirmations failed"
                    );
                    pause(&shutdown).await;
                }
                Err(
                    error @ (LogError::Failed { .. }
                    | LogError::Damaged { .. }
                    | LogError::NoSuchPartition { .. }
                    | LogError::PositionBeyondEnd { .. }
                    | LogError::PositionBeforeStart { .. }
                    | LogError::InUse { .. }
                    | LogError::Fenced { .. }
                    | LogError::Unusable { .. }),
                ) => return Err(error),
            }
        }
        Ok(())
    }

    async fn consume(
        &self,
        mut consumer: Box<dyn GroupConsumer>,
        stop: &CancellationToken,
    ) -> Result<(), LogError> {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return consumer.leave().await,
                event = consumer.next(RECORDS_MAX, WAIT) => event?,
            };
            match event {
                GroupEvent::Assigned(_) | GroupEvent::Idle => {}
                // Nothing is kept per partition, and all that was read is committed.
                GroupEvent::Revoked(partitions) => consumer.release(partitions).await?,
                GroupEvent::Records(records) => {
                    while let Err(error) = self.take(&records).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "confirmations have to wait"
                        );
                        if stop.is_cancelled() {
                            return consumer.leave().await;
                        }
                        pause(stop).await;
                    }
                    consumer.commit_all(&next_offsets(&records)).await?;
                }
            }
        }
    }

    async fn take(&self, records: &[Record]) -> Result<(), NoticeError> {
        let oldest = self.clock.now().plus_millis(-self.limits.age_max_ms);
        let mut confirmed = Vec::new();
        for record in records {
            match codec::decode::<LedgerChanged>(&record.value) {
                Ok(changed) if !confirms(&changed) => {}
                Ok(_) if record.appended_at < oldest => self.outdated.inc(),
                Ok(changed) => confirmed.push(changed),
                Err(error) => self.bury(record, &error.to_string()).await?,
            }
        }
        if !confirmed.is_empty() {
            let told = self.note(&confirmed).await?;
            self.told.inc_by(told);
        }
        Ok(())
    }

    /// Puts claims that nobody was told of into the open message of their shopper. All of a batch
    /// or nothing: sorted, so that two instances don't wait for each other in a circle.
    async fn note(&self, confirmed: &[LedgerChanged]) -> Result<u64, sqlx::Error> {
        let now = self.clock.now();
        let due_at = now.plus_millis(self.limits.bundle_ms).to_datetime();
        // Of several changes of a claim one is enough.
        let claims: BTreeMap<_, _> = confirmed
            .iter()
            .filter_map(|changed| {
                let payee = (changed.tenant_id, changed.user_id?, changed.currency);
                Some(((payee, changed.claim), changed))
            })
            .collect();
        let mut told = 0;
        let mut transaction = self.pool.begin().await?;
        for ((tenant_id, user_id, currency), claim) in claims.into_keys() {
            // Under no name that the claim ever had. Who was erased is told nothing.
            let new: bool = sqlx::query_scalar(
                "SELECT NOT EXISTS (
                     SELECT FROM reports named
                     JOIN reports r ON r.led_id = named.led_id
                     JOIN claim_notices n ON n.led_id = r.conv_id
                     WHERE named.conv_id = $1)
                 AND NOT EXISTS (SELECT FROM claim_notices n WHERE n.led_id = $1)
                 AND NOT EXISTS (SELECT FROM users u
                                 WHERE u.user_id = $2 AND u.erased_at IS NOT NULL)",
            )
            .bind(claim.get())
            .bind(user_id.uuid())
            .fetch_one(&mut *transaction)
            .await?;
            if !new {
                continue;
            }
            let message_id: Uuid = sqlx::query_scalar(
                "INSERT INTO messages AS m (message_id, kind, tenant_id, user_id, currency,
                                            created_at, next_attempt_at, closed)
                 VALUES ($1, 'confirmation', $2, $3, $4, $5, $6, false)
                 ON CONFLICT (tenant_id, user_id, currency)
                    WHERE kind = 'confirmation' AND NOT closed
                 DO UPDATE SET next_attempt_at = m.next_attempt_at
                 RETURNING message_id",
            )
            .bind(Uuid::new_v4())
            .bind(tenant_id.uuid())
            .bind(user_id.uuid())
            .bind(currency.to_string())
            .bind(now.to_datetime())
            .bind(due_at)
            .fetch_one(&mut *transaction)
            .await?;
            let noted = sqlx::query(
                "INSERT INTO claim_notices (led_id, message_id, noticed_at) VALUES ($1, $2, $3)
                 ON CONFLICT (led_id) DO NOTHING",
            )
            .bind(claim.get())
            .bind(message_id)
            .bind(now.to_datetime())
            .execute(&mut *transaction)
            .await?;
            told += noted.rows_affected();
        }
        transaction.commit().await?;
        Ok(told)
    }

    /// The record as it is, to `dead-letters`.
    async fn bury(&self, record: &Record, error: &str) -> Result<(), NoticeError> {
        let position = record.position;
        tracing::error!(%position, error, "a change of the ledger can't be read");
        let letter = DeadLetter {
            record,
            origin: position,
            reason: Reason::Undecodable,
            error,
        };
        let stage = Stage {
            name: GROUP,
            code_version: env!("CARGO_PKG_VERSION"),
        };
        let letter = letter.to_record(&stage, self.clock.now());
        dead_letters::append(&self.log, vec![letter]).await?;
        Ok(())
    }
}

/// Whether a change is one to tell of: a shopper is owed something now.
fn confirms(changed: &LedgerChanged) -> bool {
    let owed = match changed.status {
        ClaimStatus::Confirmed => true,
        ClaimStatus::Pending
        | ClaimStatus::Review
        | ClaimStatus::Rejected
        // It was confirmed before, and told of then.
        | ClaimStatus::Paid
        | ClaimStatus::Reversed => false,
    };
    owed && !changed.retired && changed.user_id.is_some() && changed.posted.user > Amount::ZERO
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}

fn next_offsets(records: &[Record]) -> Vec<(Partition, i64)> {
    let mut next = BTreeMap::new();
    for record in records {
        let position = record.position;
        next.insert((position.topic, position.partition), position.offset + 1);
    }
    next.into_iter().collect()
}
