//! Computes what is marked.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use serde::Serialize;
use sqlx::{Connection, PgConnection, PgPool};
use stream::Partition;

use super::{
    Hour, Touched,
    stale::{self, StaleHour},
    statements::Span,
};
use crate::analytics::{
    completeness::{self, Completeness},
    journal::{Journal, JournalError, Kept},
    store::{self, Progress},
};

/// Raised when a bucket is to hold something else than the version before put into it: then
/// everything is computed anew.
const DEFINITION: u32 = 1;
/// What serialises computations: an advisory lock of PostgreSQL.
const LOCK: &str = "hissaback.analytics.aggregates";

/// Why aggregates could not be computed. What is marked stays marked.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// ClickHouse refused or can't be reached.
    #[error("aggregates can't be computed in ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// Marks can't be read or written.
    #[error("what to aggregate can't be kept in PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// Positions can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What one computation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Computed {
    /// Hours that were marked, and are computed.
    pub hours: u64,
    /// Buckets that were written: of clicks and of claims, by hour and by day.
    pub buckets: u64,
}

impl Computed {
    fn add(&mut self, span: &Span) {
        self.hours += span.hours.len() as u64;
        self.buckets += span.buckets();
    }
}

#[derive(Debug, Row, Serialize)]
struct DefinitionRow {
    version: u32,
}

/// The right to compute. The connection is out of the pool: the right goes with it, however its
/// holder ends.
pub struct Turn {
    connection: PgConnection,
}

/// The aggregates of one ClickHouse.
#[derive(Clone)]
pub struct Aggregates {
    client: Client,
    pool: PgPool,
    journal: Journal,
}

impl Aggregates {
    /// Of the ClickHouse that `client` speaks to, with marks in the database of `pool`, whose role
    /// may write `analytics_stale_hours`.
    pub fn new(client: Client, pool: PgPool) -> Self {
        let journal = Journal::new(pool.clone());
        Self {
            client: one_part_per_insert(client),
            pool,
            journal,
        }
    }

    /// Takes the right to compute, unless another process has it.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn take_turn(&self) -> Result<Option<Turn>, AggregateError> {
        let mut connection = self.pool.acquire().await?.detach();
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext($1))")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await?;
        Ok(taken.then_some(Turn { connection }))
    }

    /// Computes each hour that is marked, once, and the days of these hours.
    ///
    /// # Errors
    /// When ClickHouse or PostgreSQL fails. What was not computed stays marked, and the turn may
    /// be over.
    pub async fn compute(&self, turn: &mut Turn) -> Result<Computed, AggregateError> {
        turn.connection.ping().await?;
        if self.definition().await? < DEFINITION {
            let hours = self.mark_all().await?;
            tracing::info!(hours, "all aggregates are computed anew");
            self.note_definition().await?;
        }
        // In this order: a batch is in ClickHouse before it is noted there, noted there before its
        // position is moved, and its hours are marked with the position.
        let stored = completeness::complete_up_to(&self.client).await?;
        let kept = self.journal.load().await?;
        let stale = stale::load(&self.pool).await?;

        let computed = self.compute_hours(&stale).await?;
        self.note_completeness(&stored, &kept).await?;
        Ok(computed)
    }

    /// Marks every hour that ClickHouse has something of, and returns how many. Hours whose clicks
    /// were retired keep the clicks that were counted.
    ///
    /// # Errors
    /// When ClickHouse or PostgreSQL fails; then nothing is marked.
    pub async fn mark_all(&self) -> Result<usize, AggregateError> {
        let touched = everything(&self.client).await?;
        touched.mark(&self.pool).await?;
        Ok(touched.len())
    }

    /// How many hours are marked.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn stale_hours(&self) -> Result<u64, AggregateError> {
        let hours: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics_stale_hours")
            .fetch_one(&self.pool)
            .await?;
        Ok(hours.unsigned_abs())
    }

    /// Computes a few days at a time, the newest first, and forgets their marks.
    async fn compute_hours(&self, stale: &[StaleHour]) -> Result<Computed, AggregateError> {
        let mut computed = Computed::default();
        if stale.is_empty() {
            return Ok(computed);
        }
        let spans = Span::group(stale.iter().map(|stale| (stale.hour, stale.clicks)));
        let version = self.next_version().await?;
        for span in spans.iter().rev() {
            span.compute(&self.client, version).await?;
            stale::forget(&self.pool, &span.hours, stale).await?;
            computed.add(span);
        }
        Ok(computed)
    }

    /// A number above that of every computation before, of which ClickHouse may know more than a
    /// database that was restored. It is never used again, whatever comes of this computation.
    async fn next_version(&self) -> Result<u64, AggregateError> {
        let highest = highest_version(&self.client).await?;
        let version: i64 = sqlx::query_scalar(
            "UPDATE analytics_computations SET version = greatest(version, $1) + 1
             RETURNING version",
        )
        .bind(highest.cast_signed())
        .fetch_one(&self.pool)
        .await?;
        Ok(version.unsigned_abs())
    }

    /// Notes how far the aggregates reach: up to the batches whose marks were loaded.
    async fn note_completeness(
        &self,
        stored: &[Completeness],
        kept: &BTreeMap<Partition, Kept>,
    ) -> Result<(), AggregateError> {
        let noted: BTreeSet<(Partition, i64, i64)> =
            completeness::aggregates_complete_up_to(&self.client)
                .await?
                .iter()
                .map(identity)
                .collect();
        let progress: Vec<Progress> = stored
            .iter()
            .filter(|stored| {
                // A batch that is noted, and not kept yet, isn't marked yet.
                kept.get(&(stored.topic, stored.partition))
                    .map_or(0, |kept| kept.next_offset)
                    >= stored.next_offset
            })
            .filter(|stored| !noted.contains(&identity(stored)))
            .map(|stored| Progress {
                partition: (stored.topic, stored.partition),
                next_offset: stored.next_offset,
                complete_up_to: stored.complete_up_to,
            })
            .collect();
        Ok(store::note_progress(&self.client, "hissaback.aggregate_positions", &progress).await?)
    }

    async fn definition(&self) -> Result<u32, AggregateError> {
        Ok(self
            .client
            .query("SELECT max(version) FROM hissaback.aggregate_definition")
            .fetch_one()
            .await?)
    }

    async fn note_definition(&self) -> Result<(), AggregateError> {
        let mut insert = self
            .client
            .insert_unescaped::<DefinitionRow>("hissaback.aggregate_definition")
            .await?;
        insert
            .write(&DefinitionRow {
                version: DEFINITION,
            })
            .await?;
        Ok(insert.end().await?)
    }
}

/// Computes everything in a ClickHouse that no sink writes to: a copy, or the load of a benchmark.
///
/// # Errors
/// When ClickHouse fails.
pub async fn compute_everything(client: &Client) -> Result<Computed, clickhouse::error::Error> {
    let client = one_part_per_insert(client.clone());
    let version = highest_version(&client).await? + 1;
    let mut computed = Computed::default();
    for span in Span::group(everything(&client).await?.iter()) {
        span.compute(&client, version).await?;
        computed.add(&span);
    }
    Ok(computed)
}

/// So that readers see a bucket whole, or not at all.
fn one_part_per_insert(client: Client) -> Client {
    client
        .with_setting("max_insert_threads", "1")
        .with_setting("min_insert_block_size_rows", "1000000000")
        .with_setting("min_insert_block_size_bytes", "0")
        .with_setting("optimize_move_to_prewhere_if_final", "0")
}

/// Every hour that there is something of.
async fn everything(client: &Client) -> Result<Touched, clickhouse::error::Error> {
    let mut touched = Touched::default();
    touched.clicks(
        hours(
            client,
            "SELECT DISTINCT toUnixTimestamp(toStartOfHour(clicked_at)) FROM hissaback.clicks",
        )
        .await?,
    );
    touched.claims(
        hours(
            client,
            "SELECT toUnixTimestamp(hour) FROM hissaback.claim_hours
             UNION DISTINCT
             SELECT DISTINCT toUnixTimestamp(toStartOfHour(clicked_at))
             FROM hissaback.ledger_changes
             UNION DISTINCT
             SELECT DISTINCT toUnixTimestamp(hour) FROM hissaback.hourly_conversions",
        )
        .await?,
    );
    Ok(touched)
}

async fn hours(client: &Client, query: &str) -> Result<Vec<Hour>, clickhouse::error::Error> {
    let seconds: Vec<u32> = client.query(query).fetch_all().await?;
    Ok(seconds.into_iter().map(Hour::from_seconds).collect())
}

/// The highest number of a computation that ClickHouse knows of.
async fn highest_version(client: &Client) -> Result<u64, clickhouse::error::Error> {
    let markers = [
        "hourly_clicks",
        "daily_clicks",
        "hourly_conversions",
        "daily_conversions",
    ]
    .map(|table| {
        format!(
            "SELECT max(version) AS version FROM hissaback.{table}
                 WHERE tenant_id = toUUID('00000000-0000-0000-0000-000000000000')"
        )
    })
    .join(" UNION ALL ");
    client
        .query(&format!("SELECT max(version) FROM ({markers})"))
        .fetch_one()
        .await
}

const fn identity(complete: &Completeness) -> (Partition, i64, i64) {
    (
        (complete.topic, complete.partition),
        complete.next_offset,
        complete.complete_up_to.millis(),
    )
}
