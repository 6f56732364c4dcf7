//! The ledger follows the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::try_join_all;
use processors::stage::dead_letters::{self, DeadLetter, Reason, Stage};
use schemas::{EventId, Timestamp, Topic};
use sqlx::PgPool;
use stream::{
    Clock, GroupConsumer, GroupEvent, GroupSettings, Log, LogError, Record,
    commit_points::{self, CommitPoint},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    LedgerError, LedgerMetrics,
    apply::{self, Applied},
    batch::Batch,
    positions::{self, CONSUMER},
    trouble::Trouble,
};

const TOPICS: [Topic; 5] = [
    Topic::Clicks,
    Topic::Decisions,
    Topic::Commands,
    Topic::Payouts,
    Topic::PayoutResults,
];
const POLL_WAIT: Duration = Duration::from_millis(500);
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
/// Short: a database that is back is used at once, and trying costs it little.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Told of each report that was committed, and how long that took since its receipt.
pub type CommitObserver = Arc<dyn Fn(EventId, Duration) + Send + Sync>;

/// How the ledger batches.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// Most records in a transaction.
    pub batch_records_max: usize,
    /// Members of the consumer group in this process: while PostgreSQL works for one, another
    /// reads, folds and encodes.
    pub members: usize,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            batch_records_max: 2_000,
            members: 2,
        }
    }
}

/// The ledger's consumer. Any number of instances may run.
#[derive(Clone)]
pub struct LedgerSink {
    /// Connections as the writer.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// Notified after a commit: the outbox has rows.
    pub written: Arc<Notify>,
    /// Metrics.
    pub metrics: LedgerMetrics,
    /// Batching.
    pub settings: LedgerSettings,
    /// Told of commits, for a summary.
    pub committed: Option<CommitObserver>,
}

/// One run of the consumer: what it believes of its partitions.
struct Session<'a> {
    sink: &'a LedgerSink,
    consumer: Box<dyn GroupConsumer>,
    /// Next offset of each assigned partition, as PostgreSQL has it.
    expected: BTreeMap<(Topic, i32), i64>,
    /// Months whose partitions exist.
    months: BTreeSet<String>,
}

impl LedgerSink {
    /// Follows the log until `shutdown`. A failure of the database is waited out; the batch is
    /// tried again. After a failure of the log that passes, the group is joined anew.
    ///
    /// # Errors
    /// When the log fails for good, or holds less than PostgreSQL has read: then the log was
    /// replaced or lost, and going on would skip records.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), LedgerError> {
        let members = (0..self.settings.members.max(1)).map(|_| self.run_member(&shutdown));
        try_join_all(members).await?;
        Ok(())
    }

    async fn run_member(&self, shutdown: &CancellationToken) -> Result<(), LedgerError> {
        let mut wait = RETRY_WAIT_MIN;
        loop {
            match self.follow(&mut wait, shutdown).await {
                Err(LedgerError::Log(error)) if passes(&error) && !shutdown.is_cancelled() => {
                    let error = LedgerError::Log(error);
                    self.back_off(&error, &mut wait, shutdown).await;
                }
                ended => return ended,
            }
        }
    }

    /// Follows the log as one member of the group.
    async fn follow(
        &self,
        wait: &mut Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), LedgerError> {
        let consumer = self
            .log
            .join(CONSUMER, &TOPICS, GroupSettings::default())
            .await?;
        let mut session = Session {
            sink: self,
            consumer,
            expected: BTreeMap::new(),
            months: BTreeSet::new(),
        };
        while !shutdown.is_cancelled() {
            let next = session
                .consumer
                .next(self.settings.batch_records_max, POLL_WAIT);
            let Some(event) = shutdown.run_until_cancelled(next).await else {
                break;
            };
            let event = event?;
            *wait = RETRY_WAIT_MIN;
            match event {
                GroupEvent::Assigned(partitions) => session.assign(partitions, shutdown).await?,
                GroupEvent::Revoked(partitions) => {
                    session
                        .expected
                        .retain(|partition, _| !partitions.contains(partition));
                    session.consumer.release(partitions).await?;
                }
                GroupEvent::Records(records) => session.take(records, shutdown).await?,
                GroupEvent::Idle => {}
            }
        }
        session.consumer.leave().await?;
        Ok(())
    }

    async fn back_off(
        &self,
        error: &LedgerError,
        wait: &mut Duration,
        shutdown: &CancellationToken,
    ) {
        tracing::warn!(%error, wait_ms = wait.as_millis(), "the ledger waits and tries again");
        self.metrics.waits(Trouble::of(error));
        shutdown
            .run_until_cancelled(tokio::time::sleep(*wait))
            .await;
        *wait = (*wait * 2).min(RETRY_WAIT_MAX);
    }
}

/// Whether the log may come back by itself, or gives the partition to somebody else.
fn passes(error: &LogError) -> bool {
    match error {
        LogError::Storage { .. } | LogError::NotAssigned { .. } => true,
        LogError::Closed
        | LogError::Failed { .. }
        | LogError::Damaged { .. }
        | LogError::NoSuchPartition { .. }
        | LogError::PositionBeyondEnd { .. }
        | LogError::PositionBeforeStart { .. }
        | LogError::InUse { .. }
        | LogError::Fenced { .. }
        | LogError::Unusable { .. } => false,
    }
}

impl Session<'_> {
    /// Reads where to go on from PostgreSQL: the log's committed offsets are for monitoring.
    async fn assign(
        &mut self,
        partitions: Vec<(Topic, i32)>,
        shutdown: &CancellationToken,
    ) -> Result<(), LedgerError> {
        for (topic, partition) in partitions {
            let mut wait = RETRY_WAIT_MIN;
            let position = loop {
                match self.stored_position(topic, partition).await {
                    Ok(position) => break position,
                    Err(LedgerError::Database(error)) => {
                        self.sink
                            .back_off(&LedgerError::Database(error), &mut wait, shutdown)
                            .await;
                        if shutdown.is_cancelled() {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error),
                }
            };
            self.sink.metrics.works();
            match self.consumer.seek(topic, partition, position).await {
                Ok(()) => self.expected.insert((topic, partition), position),
                // It was taken away meanwhile: nothing comes from it any more.
                Err(LogError::NotAssigned { .. }) => self.expected.remove(&(topic, partition)),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(())
    }

    async fn stored_position(&self, topic: Topic, partition: i32) -> Result<i64, LedgerError> {
        let mut connection = self.sink.pool.acquire().await?;
        positions::stored(&mut connection, topic, partition).await
    }

    /// Applies records, as often as it takes.
    async fn take(
        &mut self,
        records: Vec<Record>,
        shutdown: &CancellationToken,
    ) -> Result<(), LedgerError> {
        let batch = Batch::read(records);
        let mut wait = RETRY_WAIT_MIN;
        loop {
            match self.apply(&batch).await {
                Ok(()) => return Ok(()),
                Err(LedgerError::Fenced {
                    topic,
                    partition,
                    expected,
                    found,
                }) => {
                    tracing::warn!(%topic, partition, expected, found, "fenced: reading on from there");
                    self.sink.metrics.fenced.inc();
                    let assigned = self.expected.keys().copied().collect();
                    return self.assign(assigned, shutdown).await;
                }
                Err(error @ (LedgerError::Database(_) | LedgerError::Append(_))) => {
                    self.sink.back_off(&error, &mut wait, shutdown).await;
                    if shutdown.is_cancelled() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn apply(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let started = Instant::now();
        self.bury(batch).await?;
        self.ensure_partitions(batch).await?;
        #[cfg(feature = "positions-first")]
        self.move_positions_first(batch).await?;
        let mut transaction = self.sink.pool.begin().await?;
        let now = self.sink.clock.now();
        let applied = apply::apply(&mut transaction, batch, &self.expected, now).await?;
        commit_points::pass(CommitPoint::LedgerBeforeCommit);
        transaction.commit().await?;
        commit_points::pass(CommitPoint::LedgerCommitted);
        self.sink.written.notify_one();
        self.sink.metrics.works();
        self.observe(batch, &applied, started);
        for (partition, next) in &batch.next_offsets {
            self.expected.insert(*partition, *next);
        }
        let committed: Vec<_> = batch
            .next_offsets
            .iter()
            .map(|(partition, next)| (*partition, *next))
            .collect();
        if let Err(error) = self.consumer.commit_all(&committed).await {
            // Positions are PostgreSQL's; the log's are for monitoring.
            tracing::warn!(%error, "the log's committed offsets lag");
        }
        Ok(())
    }

    /// Wrong on purpose: a crash after this loses the batch, and the kill harness must see it.
    #[cfg(feature = "positions-first")]
    async fn move_positions_first(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let mut transaction = self.sink.pool.begin().await?;
        positions::advance(&mut transaction, &self.expected, &batch.next_offsets).await?;
        transaction.commit().await?;
        for (partition, next) in &batch.next_offsets {
            self.expected.insert(*partition, *next);
        }
        Ok(())
    }

    /// Sends records that can't be read to `dead-letters`, before their position moves.
    async fn bury(&self, batch: &Batch) -> Result<(), LedgerError> {
        for (record, error) in &batch.undecodable {
            tracing::error!(position = %record.position, %error, "a record can't be read");
            let letter = DeadLetter {
                record,
                origin: record.position,
                reason: Reason::Undecodable,
                error: &error.to_string(),
            };
            let stage = Stage {
                name: CONSUMER,
                code_version: env!("CARGO_PKG_VERSION"),
            };
            let record = letter.to_record(&stage, self.sink.clock.now());
            dead_letters::append(&*self.sink.log, vec![record]).await?;
            self.sink.metrics.undecodable.inc();
        }
        Ok(())
    }

    async fn ensure_partitions(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let clicks = batch.clicks.iter().map(|click| click.clicked_at);
        let reports =
            batch
                .decisions
                .iter()
                .filter_map(|decided| match &decided.decision.outcome {
                    schemas::events::Outcome::Matched(matched) => Some(matched.click.clicked_at),
                    schemas::events::Outcome::Unmatched(_)
                    | schemas::events::Outcome::Ignored(_)
                    | schemas::events::Outcome::Poisoned(_) => None,
                });
        let missing: BTreeMap<String, Timestamp> = clicks
            .chain(reports)
            .map(|at| (at.to_datetime().format("%Y-%m").to_string(), at))
            .filter(|(month, _)| !self.months.contains(month))
            .collect();
        for (month, at) in missing {
            sqlx::query("SELECT ensure_partitions($1, $1)")
                .bind(at.to_datetime())
                .execute(&self.sink.pool)
                .await?;
            self.months.insert(month);
        }
        Ok(())
    }

    fn observe(&self, batch: &Batch, applied: &Applied, started: Instant) {
        let metrics = &self.sink.metrics;
        metrics.batches.inc();
        metrics
            .batch_seconds
            .observe(started.elapsed().as_secs_f64());
        for (fate, count) in &applied.fates {
            metrics.reports.with_label_values(&[fate]).inc_by(*count);
        }
        for (kind, count) in &applied.conflicts {
            metrics.conflicts.with_label_values(&[*kind]).inc_by(*count);
        }
        metrics
            .payouts_cancelled
            .inc_by(applied.payouts_cancelled as u64);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        for decided in &batch.decisions {
            let ingested_at = decided
                .ingested_at_micros
                .and_then(|micros| u64::try_from(micros).ok());
            if let Some(micros) = ingested_at {
                let latency = now.saturating_sub(Duration::from_micros(micros));
                metrics
                    .postback_to_ledger_seconds
                    .observe(latency.as_secs_f64());
                if let Some(committed) = &self.sink.committed {
                    committed(decided.decision.event_id, latency);
                }
            }
        }
        tracing::debug!(
            decisions = batch.decisions.len(),
            claims_changed = applied.claims_changed,
            "batch applied"
        );
    }
}
