//! Whether the ledger has folded what the log held at some moment: neither lag nor a restored
//! database may pay twice (design section 6).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemas::Topic;
use serde::Serialize;
use sqlx::{PgPool, Row};
use stream::{Log, LogError, Partition};
use tokio::time::{Instant, sleep};

/// What a payout rests on.
const TOPICS: [Topic; 5] = [
    Topic::Conversions,
    Topic::Decisions,
    Topic::Commands,
    Topic::Payouts,
    Topic::PayoutResults,
];
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The ends that the partitions had at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends(BTreeMap<Partition, i64>);

/// A partition that isn't folded up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// Every record below it is folded.
    pub folded: i64,
    /// The end that it had.
    pub end: i64,
}

/// Why it can't be said that the ledger has caught up.
#[derive(Debug, thiserror::Error)]
pub enum CaughtUpError {
    /// It hasn't.
    #[error("the ledger is behind in {} partitions, first in {}", .0.len(), first(.0))]
    Behind(Vec<Lag>),
    /// The log ends before what the ledger has read: it was replaced, or lost its end.
    #[error("the log ends before what the ledger has folded: {}", first(.0))]
    LogLost(Vec<Lag>),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database can't be read.
    #[error("the ledger's positions can't be read: {0}")]
    Database(#[from] sqlx::Error),
}

fn first(lags: &[Lag]) -> String {
    lags.first().map_or_else(String::new, |lag| {
        format!(
            "{}/{} ({} of {})",
            lag.topic, lag.partition, lag.folded, lag.end
        )
    })
}

impl Ends {
    /// The ends that the log has now.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn of(log: &dyn Log) -> Result<Self, LogError> {
        let mut ends = BTreeMap::new();
        for topic in TOPICS {
            for partition in 0..topic.partitions() {
                let high = log.watermarks(topic, partition).await?.high;
                ends.insert((topic, partition), high);
            }
        }
        Ok(Self(ends))
    }

    /// Fails unless the ledger has folded everything below these ends.
    ///
    /// Of `conversions` the positions applied count, since the ledger reads decisions on them; of
    /// the other topics the consumer's positions.
    ///
    /// # Errors
    /// [`CaughtUpError::Behind`] with each partition that lags; [`CaughtUpError::LogLost`] where
    /// the ledger is beyond them.
    pub async fn check(&self, pool: &PgPool) -> Result<(), CaughtUpError> {
        let folded = folded(pool).await?;
        let lag = |((topic, partition), end): (&Partition, &i64)| Lag {
            topic: *topic,
            partition: *partition,
            folded: folded
                .get(&(*topic, *partition))
                .copied()
                .unwrap_or_default(),
            end: *end,
        };
        let behind: Vec<Lag> = self
            .0
            .iter()
            .map(lag)
            .filter(|lag| lag.folded < lag.end)
            .collect();
        if behind.is_empty() {
            Ok(())
        } else {
            Err(CaughtUpError::Behind(behind))
        }
    }
}

/// Fails unless the ledger has folded what the log holds now, or where it has folded more.
///
/// # Errors
/// See [`CaughtUpError`].
pub async fn check(log: &dyn Log, pool: &PgPool) -> Result<(), CaughtUpError> {
    wait_until_caught_up(log, pool, Duration::ZERO).await
}

/// Waits until the ledger has folded what the log holds now. What is appended later isn't waited
/// for.
///
/// # Errors
/// [`CaughtUpError::Behind`] when it hasn't within `timeout` (real time); the others at once.
pub async fn wait_until_caught_up(
    log: &dyn Log,
    pool: &PgPool,
    timeout: Duration,
) -> Result<(), CaughtUpError> {
    // Positions first: whatever they count was in the log before its ends are read.
    let before = folded(pool).await?;
    let ends = Ends::of(log).await?;
    let lost: Vec<Lag> = ends
        .0
        .iter()
        .filter_map(|((topic, partition), end)| {
            let folded = *before.get(&(*topic, *partition))?;
            (folded > *end).then_some(Lag {
                topic: *topic,
                partition: *partition,
                folded,
                end: *end,
            })
        })
        .collect();
    if !lost.is_empty() {
        return Err(CaughtUpError::LogLost(lost));
    }
    let deadline = Instant::now() + timeout;
    loop {
        match ends.check(pool).await {
            Err(CaughtUpError::Behind(_)) if Instant::now() < deadline => {
                sleep(POLL_INTERVAL).await;
            }
            outcome => return outcome,
        }
    }
}

/// The next offset to be folded, by partition.
async fn folded(pool: &PgPool) -> sqlx::Result<BTreeMap<Partition, i64>> {
    let followed: BTreeSet<Topic> = TOPICS.into_iter().collect();
    let mut folded = BTreeMap::new();
    let consumed = sqlx::query(
        "SELECT topic, partition, next_offset FROM consumer_positions WHERE consumer = $1",
    )
    .bind(sinks::ledger::CONSUMER)
    .fetch_all(pool)
    .await?;
    for row in consumed {
        let topic: Result<Topic, String> = row.try_get::<&str, _>("topic")?.parse();
        if let Some(topic) = topic.ok().filter(|topic| followed.contains(topic)) {
            let partition = (topic, row.try_get("partition")?);
            folded.insert(partition, row.try_get("next_offset")?);
        }
    }
    let applied: Vec<(i32, i64)> =
        sqlx::query_as("SELECT source_partition, next_offset FROM positions_applied")
            .fetch_all(pool)
            .await?;
    for (partition, next_offset) in applied {
        folded.insert((Topic::Conversions, partition), next_offset);
    }
    Ok(folded)
}
