//! What a ledger lives in: database, log, clock; and the means to fold a log into it.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use prometheus::Registry;
use schemas::Topic;
use sinks::ledger::{CONSUMER, LedgerMetrics, LedgerSettings, LedgerSink, OutboxRelay};
use sqlx::{PgPool, Row};
use stream::{InMemoryLog, Limits, Log, ManualClock, NewRecord};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::records::{Logged, T0};
use crate::postgres::Database;

/// One for all cases of the property tests: connections belong to the runtime that made them.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Only against hanging: far longer than any test takes.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The topics that the ledger reads.
pub const READ: [Topic; 5] = [
    Topic::Clicks,
    Topic::Decisions,
    Topic::Commands,
    Topic::Payouts,
    Topic::PayoutResults,
];

pub struct World {
    database: Database,
    /// As the owner of the tables.
    pub owner: PgPool,
    /// As the sinks.
    pub writer: PgPool,
    pub log: Arc<InMemoryLog>,
    pub clock: Arc<ManualClock>,
}

/// A sink at work.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(sink: &LedgerSink) -> Self {
        let stop = CancellationToken::new();
        let (sink, token) = (sink.clone(), stop.clone());
        let task = tokio::spawn(async move { sink.run(token).await.expect("the sink runs") });
        Self { stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the sink ended without an error");
    }

    /// As `kill -9` would: nothing is finished and nothing written down.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()));
    }
}

impl World {
    pub async fn new() -> Self {
        // The sink waits its errors out: a test that fails shows them.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .try_init();
        let database = Database::new().await;
        let owner = database.owner().await;
        let writer = database.pool("hissaback_writer").await;
        let clock = Arc::new(ManualClock::new(T0));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        Self {
            database,
            owner,
            writer,
            log,
            clock,
        }
    }

    pub async fn pool(&self, role: &str) -> PgPool {
        self.database.pool(role).await
    }

    /// An empty log in place of the one that was read.
    pub fn lose_log(&mut self) {
        self.log = InMemoryLog::new(self.clock.clone(), Limits::default());
    }

    /// Fills the log up with what the ledger has applied, as records that say nothing anew.
    pub async fn skip_to_applied(&self) {
        let applied: Vec<(String, i32, i64)> = sqlx::query_as(
            "SELECT topic, partition, next_offset FROM consumer_positions WHERE next_offset > 0",
        )
        .fetch_all(&self.writer)
        .await
        .expect("positions");
        for (topic, partition, next_offset) in applied {
            let topic = topic.parse().expect("a topic");
            for _ in 0..next_offset {
                let filler = NewRecord::new("", "").in_partition(partition);
                let appended = self.log.append(topic, vec![filler]).await;
                appended.expect("appended");
            }
        }
    }

    /// Forgets everything: an empty log, and empty tables, whatever guards them.
    pub async fn clear(&mut self) {
        self.clock.set(T0);
        self.lose_log();
        let superuser = self.pool("postgres").await;
        sqlx::query(
            "DO $$
             DECLARE name text;
             BEGIN
                 SET LOCAL session_replication_role = replica;
                 FOREACH name IN ARRAY ARRAY[
                     'consumer_positions', 'positions_applied', 'positions_applied_beyond',
                     'fold_locks', 'healed_positions', 'payee_locks', 'clicks', 'conversions',
                     'unmatched_conversions', 'orders', 'order_claims', 'ledger', 'postings',
                     'commands', 'payouts', 'payout_items', 'payout_steps', 'outbox'
                 ] LOOP
                     EXECUTE format('DELETE FROM %I', name);
                 END LOOP;
                 UPDATE ledger_epoch SET epoch = 1, rebuilding = false;
             END $$",
        )
        .execute(&superuser)
        .await
        .expect("cleared");
        superuser.close().await;
    }

    pub fn sink(&self, batch_records_max: usize) -> LedgerSink {
        self.measured_sink(batch_records_max, &Registry::new())
    }

    pub fn measured_sink(&self, batch_records_max: usize, registry: &Registry) -> LedgerSink {
        LedgerSink {
            pool: self.writer.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            written: Arc::default(),
            metrics: LedgerMetrics::register(registry).expect("registered once"),
            settings: LedgerSettings {
                batch_records_max,
                members: 1,
            },
            committed: None,
        }
    }

    pub async fn append(&self, logged: &Logged) {
        let record = logged.to_record();
        let appended = self.log.append(logged.topic(), vec![record]).await;
        appended.expect("appended");
    }

    /// Appends records to any partitions, by turns: where a record stands means nothing. The
    /// steps of a payout stay together, as their key keeps them.
    pub async fn scatter(&self, records: &[Logged], partitions: i32) {
        for (logged, turn) in records.iter().zip(0..) {
            let mut record = logged.to_record();
            if !matches!(logged, Logged::Step(_)) {
                let partition = turn % partitions.min(logged.topic().partitions());
                record = record.in_partition(partition);
            }
            let appended = self.log.append(logged.topic(), vec![record]).await;
            appended.expect("appended");
        }
    }

    /// Folds everything that the log holds.
    pub async fn fold(&self, batch_records_max: usize) {
        let running = Running::start(&self.sink(batch_records_max));
        self.folded().await;
        running.stop().await;
    }

    /// Waits until PostgreSQL has applied the log to its end.
    pub async fn folded(&self) {
        let folded = async {
            while self.applied().await < self.written().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, folded)
            .await
            .expect("the ledger catches up");
    }

    /// How many records the ledger has applied.
    pub async fn applied(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_positions
             WHERE consumer = $1",
        )
        .bind(CONSUMER)
        .fetch_one(&self.writer)
        .await
        .expect("positions")
    }

    async fn written(&self) -> i64 {
        let mut records = 0;
        for topic in READ {
            for partition in 0..topic.partitions() {
                let watermarks = self.log.watermarks(topic, partition).await;
                records += watermarks.expect("watermarks").high;
            }
        }
        records
    }

    /// Publishes the whole outbox.
    pub async fn publish(&self) {
        let relay = OutboxRelay::new(self.writer.clone(), self.log.clone(), Arc::default());
        let mut connection = self.writer.acquire().await.expect("connected");
        loop {
            let published = relay.publish_once(&mut connection).await;
            published.expect("published");
            if self.count("outbox").await == 0 {
                return;
            }
        }
    }

    pub async fn count(&self, table: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let row = sqlx::query(query).fetch_one(&self.owner).await;
        row.expect("counted").get(0)
    }
}
