//! The sink: what it needs, how it works, and what ends it.

use std::{sync::Arc, time::Duration};

use clickhouse::Client;
use sqlx::PgPool;
use stream::{AppendError, Clock, Log, LogError};
use tokio_util::sync::CancellationToken;

use super::{
    aggregates::{AggregateError, Aggregates},
    cluster::Cluster,
    journal::{Journal, JournalError},
    metrics::AnalyticsMetrics,
    migrator::{MigrationError, migrate_on},
    progress::{keep_aggregates, report_progress},
    session::Session,
    store::Store,
};

/// The consumer group of analytics.
pub const GROUP: &str = "analytics";

/// How analytics batches and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalyticsSettings {
    /// A batch closes at this many records, over all partitions: 10,000 to 100,000 is what
    /// ClickHouse likes under load.
    pub records_max: usize,
    /// Or at about this many bytes of records.
    pub bytes_max: usize,
    /// Or this long after its first record.
    pub linger: Duration,
    /// How many inserts run at once; analysts' queries share the engine's connections.
    pub inserts_in_flight: usize,
    /// The cluster that the schema is made on, if ClickHouse is one.
    pub cluster: Option<Cluster>,
    /// How often aggregates are computed that batches touched.
    pub aggregate_interval: Duration,
    /// How often they are while the sink is more than a batch behind: the longer, the fewer hours
    /// are computed twice while it catches up. Also the longest that they rest between
    /// computations that take long.
    pub aggregate_interval_behind: Duration,
    /// How often lag and completeness are told.
    pub progress_interval: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub back_off_min: Duration,
    /// The longest wait after a failure.
    pub back_off_max: Duration,
    /// The version of the code, for dead letters.
    pub code_version: String,
}

impl Default for AnalyticsSettings {
    fn default() -> Self {
        Self {
            // What is in hand is held several times over: as records, as rows, as an insert.
            records_max: 20_000,
            bytes_max: 16 * 1024 * 1024,
            linger: Duration::from_secs(1),
            inserts_in_flight: 3,
            cluster: None,
            aggregate_interval: Duration::from_secs(2),
            aggregate_interval_behind: Duration::from_mins(2),
            progress_interval: Duration::from_secs(5),
            back_off_min: Duration::from_millis(200),
            back_off_max: Duration::from_secs(30),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Why analytics stopped, or had to begin again.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The schema could not be brought up to date.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// ClickHouse refused or can't be reached.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The schema had to be made anew while batches were under way: ClickHouse was replaced.
    #[error("ClickHouse was replaced while it was written to")]
    Replaced,
    /// The log failed.
    #[error("analytics can't follow the log: {0}")]
    Log(#[from] LogError),
    /// Unreadable records could not be put aside.
    #[error("unreadable records can't be put into dead-letters: {0}")]
    DeadLetters(#[source] AppendError),
    /// Positions could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Aggregates could not be marked.
    #[error(transparent)]
    Aggregates(#[from] AggregateError),
    /// Reading a batch's records ended in a defect.
    #[error("reading a batch failed: {0}")]
    Reading(#[from] tokio::task::JoinError),
}

impl AnalyticsError {
    /// Whether the same may work later, so that the sink begins again by itself. What needs a
    /// person ends it.
    pub const fn temporary(&self) -> bool {
        match self {
            Self::Migration(MigrationError::ClickHouse(_))
            | Self::ClickHouse(_)
            | Self::Replaced
            | Self::DeadLetters(_)
            | Self::Journal(JournalError::Database(_) | JournalError::Fenced(_))
            | Self::Aggregates(AggregateError::ClickHouse(_) | AggregateError::Database(_)) => true,
            Self::Aggregates(AggregateError::Journal(error)) => match error {
                JournalError::Database(_) | JournalError::Fenced(_) => true,
                JournalError::Damaged(_) => false,
            },
            Self::Log(error) => match error {
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
            },
            Self::Migration(MigrationError::Newer { .. } | MigrationError::Changed { .. })
            | Self::Journal(JournalError::Damaged(_))
            | Self::Reading(_) => false,
        }
    }
}

/// Follows the log into ClickHouse. Instances share the consumer group; the journal fences a
/// stale one.
#[derive(Clone)]
pub struct AnalyticsSink {
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Journal,
    pub(super) store: Store,
    pub(super) aggregates: Aggregates,
    pub(super) metrics: AnalyticsMetrics,
    pub(super) settings: AnalyticsSettings,
}

impl AnalyticsSink {
    /// A sink from `log` into the ClickHouse that `client` speaks to, a server or the embedded
    /// engine. `pool` is of a role that may write `analytics_positions`; `clock` tells dead
    /// letters and completeness their time.
    pub fn new(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        client: Client,
        pool: PgPool,
        metrics: AnalyticsMetrics,
        settings: AnalyticsSettings,
    ) -> Self {
        let client = match settings.cluster {
            None => client,
            Some(_) => Cluster::sequential(client),
        };
        Self {
            log,
            clock,
            aggregates: Aggregates::new(client.clone(), pool.clone()),
            journal: Journal::new(pool),
            store: Store::new(client, metrics.clone()),
            metrics,
            settings,
        }
    }

    /// Follows the log until `shutdown`. Whatever fails for a while (ClickHouse, PostgreSQL, the
    /// log) is tried again after a wait that grows; meanwhile the lag grows, and that is all.
    ///
    /// # Errors
    /// What needs a person: a schema newer than this program, a position that the log no longer
    /// or not yet has, a log that was closed or has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AnalyticsError> {
        tokio::select! {
            result = self.follow(&shutdown) => result,
            () = report_progress(&self) => Ok(()),
            () = keep_aggregates(&self) => Ok(()),
        }
    }

    /// Brings the schema up to date.
    pub(super) async fn migrate(&self) -> Result<Vec<u32>, MigrationError> {
        migrate_on(self.store.client(), self.settings.cluster.as_ref()).await
    }

    async fn follow(&self, shutdown: &CancellationToken) -> Result<(), AnalyticsError> {
        let mut back_off = BackOff::new(&self.settings);
        while !shutdown.is_cancelled() {
            let error = match self.session(shutdown, &mut back_off).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if shutdown.is_cancelled() {
                tracing::debug!(%error, "analytics was interrupted by the shutdown");
                return Ok(());
            }
            if !error.temporary() {
                return Err(error);
            }
            let wait = back_off.next();
            tracing::warn!(%error, wait_ms = wait.as_millis(), "analytics begins again");
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// From joining the group to the shutdown or the first failure that isn't ClickHouse's alone.
    async fn session(
        &self,
        shutdown: &CancellationToken,
        back_off: &mut BackOff,
    ) -> Result<(), AnalyticsError> {
        let Some(migrated) = shutdown.run_until_cancelled(self.migrate()).await else {
            return Ok(());
        };
        migrated?;
        Session::join(self, shutdown, back_off)
            .await?
            .follow()
            .await
    }
}

/// Waits that double from one failure to the next, until something works again.
#[derive(Debug)]
pub(super) struct BackOff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl BackOff {
    pub(super) const fn new(settings: &AnalyticsSettings) -> Self {
        Self {
            min: settings.back_off_min,
            max: settings.back_off_max,
            next: settings.back_off_min,
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_limit_and_begin_again_after_a_success() {
        let mut back_off = BackOff::new(&AnalyticsSettings {
            back_off_min: Duration::from_millis(200),
            back_off_max: Duration::from_millis(500),
            ..AnalyticsSettings::default()
        });
        let millis: Vec<u128> = (0..4).map(|_| back_off.next().as_millis()).collect();
        assert_eq!(millis, [200, 400, 500, 500]);
        back_off.reset();
        assert_eq!(back_off.next().as_millis(), 200);
    }

    /// Roles run as tasks of their own.
    #[test]
    fn a_run_can_be_spawned() {
        fn spawnable<F: Future + Send>(_: impl FnOnce(AnalyticsSink, CancellationToken) -> F) {}
        spawnable(AnalyticsSink::run);
    }

    #[test]
    fn what_needs_a_person_ends_it() {
        for (error, temporary) in [
            (AnalyticsError::Replaced, true),
            (JournalError::Fenced(1).into(), true),
            (clickhouse::error::Error::TimedOut.into(), true),
            (MigrationError::Newer { found: 2, known: 1 }.into(), false),
            (LogError::Closed.into(), false),
        ] {
            assert_eq!(error.temporary(), temporary, "{error}");
        }
    }
}
