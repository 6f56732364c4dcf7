//! Writes to ClickHouse.

use std::{collections::BTreeMap, time::Duration};

use clickhouse::{Client, Row, RowOwned, RowWrite, error::Error};
use schemas::Timestamp;
use serde::Serialize;
use stream::Partition;

use super::{
    aggregates::{Hour, Touched},
    batch::Rows,
    completeness,
    metrics::AnalyticsMetrics,
    rows::{ClaimHourRow, ClickRow, Instant, LedgerEntryRow},
};

/// The longest that ClickHouse may take to accept a chunk of rows.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// The longest that it may take to answer once it has all rows.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);

/// How many claims are asked for at once: their names have to fit the longest query that servers
/// take by default.
const CLAIMS_PER_QUERY: usize = 10_000;

/// How far a partition is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) partition: Partition,
    /// Every record below it is in.
    pub(super) next_offset: i64,
    /// Every record that the log took before it is in.
    pub(super) complete_up_to: Timestamp,
}

#[derive(Debug, Row, Serialize)]
struct PositionRow {
    topic: &'static str,
    partition: i32,
    next_offset: u64,
    complete_up_to: Instant,
}

/// The tables of `migrations/clickhouse/`.
#[derive(Clone)]
pub(super) struct Store {
    client: Client,
    metrics: AnalyticsMetrics,
}

impl Store {
    pub(super) fn new(client: Client, metrics: AnalyticsMetrics) -> Self {
        // Explicit, since servers differ in their defaults: an acknowledged insert is in the
        // table, and not taken for a repetition (ADR 0026); one insert is one block; and it may
        // span any number of months.
        let client = client
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .with_setting("max_insert_block_size", "1048576")
            .with_setting("max_partitions_per_insert_block", "0");
        Self { client, metrics }
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Inserts rows: one block per table. Inserting them again, after whatever outcome, changes
    /// nothing that a view shows.
    pub(super) async fn insert(&self, rows: &Rows) -> Result<(), Error> {
        match rows {
            Rows::Clicks(clicks) => self.insert_rows("hissaback.clicks", clicks).await,
            Rows::Reports {
                conversions,
                decisions,
            } => {
                self.insert_rows("hissaback.conversions", conversions)
                    .await?;
                self.insert_rows("hissaback.decisions", decisions).await
            }
            Rows::Claims { entries, changes } => {
                let mut hours: Vec<ClaimHourRow> = entries.iter().map(ClaimHourRow::of).collect();
                hours.sort_unstable();
                hours.dedup();
                self.insert_rows("hissaback.claim_hours", &hours).await?;
                self.insert_rows("hissaback.ledger_entries", entries)
                    .await?;
                self.insert_rows("hissaback.ledger_changes", changes).await
            }
            Rows::Payouts(payouts) => self.insert_rows("hissaback.payouts", payouts).await,
            Rows::PayoutSteps(steps) => self.insert_rows("hissaback.payout_steps", steps).await,
        }
    }

    /// The hours whose aggregates have to be computed anew once these rows are in: of claims, all
    /// hours that they were ever in.
    pub(super) async fn touched(&self, rows: &Rows, touched: &mut Touched) -> Result<(), Error> {
        match rows {
            Rows::Clicks(clicks) => {
                touched.clicks(
                    clicks
                        .iter()
                        .map(|click: &ClickRow| click.clicked_at.hour()),
                );
            }
            Rows::Claims { entries, .. } => touched.claims(self.claim_hours(entries).await?),
            Rows::Reports { .. } | Rows::Payouts(_) | Rows::PayoutSteps(_) => {}
        }
        Ok(())
    }

    async fn claim_hours(&self, entries: &[LedgerEntryRow]) -> Result<Vec<Hour>, Error> {
        let mut claims: Vec<i64> = entries.iter().map(|entry| entry.claim).collect();
        claims.sort_unstable();
        claims.dedup();
        let mut hours = Vec::new();
        for claims in claims.chunks(CLAIMS_PER_QUERY) {
            let found: Vec<u32> = self
                .client
                .query(
                    "SELECT DISTINCT toUnixTimestamp(hour) FROM hissaback.claim_hours
                     WHERE claim IN ?",
                )
                .bind(claims)
                .fetch_all()
                .await?;
            hours.extend(found.into_iter().map(Hour::from_seconds));
        }
        Ok(hours)
    }

    /// Notes how far partitions are in, for analysts and for a restart.
    pub(super) async fn note_progress(&self, progress: &[Progress]) -> Result<(), Error> {
        note_progress(&self.client, "hissaback.positions", progress).await
    }

    /// What ClickHouse itself says of how far each partition is in.
    pub(super) async fn next_offsets(&self) -> Result<BTreeMap<Partition, i64>, Error> {
        let found = completeness::complete_up_to(&self.client).await?;
        Ok(found
            .into_iter()
            .map(|partition| {
                (
                    (partition.topic, partition.partition),
                    partition.next_offset,
                )
            })
            .collect())
    }

    async fn insert_rows<R: RowOwned + RowWrite>(
        &self,
        table: &'static str,
        rows: &[R],
    ) -> Result<(), Error> {
        let timer = self
            .metrics
            .insert_seconds
            .with_label_values(&[table])
            .start_timer();
        match write(&self.client, table, rows).await {
            Ok(()) => {
                timer.observe_duration();
                let rows = rows.len() as u64;
                self.metrics
                    .rows_inserted
                    .with_label_values(&[table])
                    .inc_by(rows);
                Ok(())
            }
            Err(error) => {
                timer.stop_and_discard();
                self.metrics
                    .insert_failures
                    .with_label_values(&[table])
                    .inc();
                // The table may have been made anew since its columns were asked for.
                self.client.clear_cached_metadata().await;
                Err(error)
            }
        }
    }
}

/// Notes in one of the tables of positions how far partitions are.
pub(super) async fn note_progress(
    client: &Client,
    table: &str,
    progress: &[Progress],
) -> Result<(), Error> {
    let rows: Vec<PositionRow> = progress
        .iter()
        .map(|progress| PositionRow {
            topic: progress.partition.0.name(),
            partition: progress.partition.1,
            // Offsets are never negative.
            next_offset: progress.next_offset.unsigned_abs(),
            complete_up_to: progress.complete_up_to.into(),
        })
        .collect();
    write(client, table, &rows).await
}

async fn write<R: RowOwned + RowWrite>(
    client: &Client,
    table: &str,
    rows: &[R],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = client
        .insert_unescaped::<R>(table)
        .await?
        .with_timeouts(Some(SEND_PATIENCE), Some(ANSWER_PATIENCE));
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}
