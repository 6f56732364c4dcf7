//! How long things are kept (design section 3), and what goes earlier because a person asks.
//!
//! Clicks are kept two years and reports seven, by the month of the click; the log's topics
//! likewise, by the time of the append. What reports came to (ledger, postings, payouts) is never
//! retired, and a month of reports goes only once its claims are settled: from then on they are
//! final. Months are detached first, which locks their table for a moment, and dropped afterwards.

mod analytics;
pub mod erasure;
mod months;

use chrono::Months;
use clickhouse::Client;
use schemas::{Timestamp, Topic};
use serde::Serialize;
use sqlx::PgPool;
use stream::{Log, LogError};

use crate::advisory_lock::AdvisoryLock;
use months::{Month, Table};

const LOCK: &str = "hissaback.retention";
/// How far ahead partitions are made; a record that needs another makes it.
const AHEAD: Months = Months::new(3);

/// How long clicks and reports are kept, in months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Of clicks.
    pub clicks: Months,
    /// Of reports, and the log.
    pub reports: Months,
}

/// These periods can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeriodsError {
    /// A report without a token finds its click by its id, for as long as a window may last.
    #[error("clicks are kept at least {} months", Periods::CLICKS_MIN)]
    Clicks,
    /// A claim may be open for a window and a cool-off, of two years each at most.
    #[error(
        "reports are kept at least {} months, and as long as clicks",
        Periods::REPORTS_MIN
    )]
    Reports,
}

impl Periods {
    /// Shortest period of clicks.
    pub const CLICKS_MIN: u32 = 24;
    /// Shortest period of reports.
    pub const REPORTS_MIN: u32 = 60;

    /// Periods in months.
    ///
    /// # Errors
    /// When something is still needed for longer than that.
    pub fn new(clicks: u32, reports: u32) -> Result<Self, PeriodsError> {
        if clicks < Self::CLICKS_MIN {
            return Err(PeriodsError::Clicks);
        }
        if reports < Self::REPORTS_MIN || reports < clicks {
            return Err(PeriodsError::Reports);
        }
        Ok(Self {
            clicks: Months::new(clicks),
            reports: Months::new(reports),
        })
    }
}

impl Default for Periods {
    /// Two and seven years.
    fn default() -> Self {
        Self {
            clicks: Months::new(24),
            reports: Months::new(84),
        }
    }
}

/// Why nothing, or not all, was retired. Repeating a run does what is left.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// Another run holds the lock.
    #[error("another retention run is under way")]
    Running,
    /// The database fails, refuses, or is in use for longer than a moment.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// ClickHouse fails.
    #[error("ClickHouse: {0}")]
    Analytics(#[from] clickhouse::error::Error),
    /// The log fails.
    #[error("the log: {0}")]
    Log(#[from] LogError),
}

/// What a run came to, or would.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionSummary {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Partitions exist up to here.
    pub made_ahead_until: Option<Timestamp>,
    /// Months that were taken out of their tables.
    pub detached: Vec<RetiredMonth>,
    /// Months that were dropped: those, and what an earlier run had left.
    pub dropped: Vec<String>,
    /// Months of clicks, as `YYYYMM`, that were dropped in ClickHouse.
    pub dropped_in_analytics: Vec<u32>,
    /// Claims on clicks before it are final.
    pub final_before: Option<Timestamp>,
    /// Claims past their period that aren't settled: they keep their month, and those after it.
    pub unsettled_claims: i64,
    /// One-time codes, sessions and idempotency keys that nobody asks for any more, and that went.
    pub sign_ins: i64,
    /// Records of the log that were forgotten.
    pub log_records: u64,
}

/// A month of clicks or reports.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RetiredMonth {
    /// Its partition.
    pub partition: String,
    /// Its rows.
    pub rows: i64,
}

/// Where what is to be retired lies.
pub struct Stores<'a> {
    /// Connections of the operator.
    pub pool: &'a PgPool,
    /// ClickHouse, unless analytics are off.
    pub clickhouse: Option<&'a Client>,
    /// The log.
    pub log: &'a dyn Log,
}

/// Makes partitions ahead, and retires what is past its period.
///
/// # Errors
/// See [`RetentionError`].
pub async fn run(
    stores: &Stores<'_>,
    periods: Periods,
    now: Timestamp,
    dry_run: bool,
) -> Result<RetentionSummary, RetentionError> {
    let lock = AdvisoryLock::take(stores.pool, LOCK).await?;
    let lock = lock.ok_or(RetentionError::Running)?;
    let outcome = run_alone(stores, periods, now, dry_run).await;
    lock.release().await?;
    outcome
}

async fn run_alone(
    stores: &Stores<'_>,
    periods: Periods,
    now: Timestamp,
    dry_run: bool,
) -> Result<RetentionSummary, RetentionError> {
    let pool = stores.pool;
    let clicks_from = months::beginning(now, periods.clicks);
    let reports_from = months::beginning(now, periods.reports);
    let (unsettled_claims, settled_before) = months::unsettled(pool, reports_from).await?;
    let mut summary = RetentionSummary {
        dry_run,
        unsettled_claims,
        ..RetentionSummary::default()
    };
    let reports_from = if dry_run {
        settled_before
    } else {
        summary.made_ahead_until = Some(make_ahead(pool, now).await?);
        months::make_final(pool, reports_from).await?
    };
    summary.final_before = Some(reports_from);

    for (table, before) in [
        (Table::Clicks, clicks_from),
        (Table::Conversions, reports_from),
    ] {
        for month in Month::expired(pool, table, before).await? {
            let rows = if dry_run {
                month.rows(pool).await?
            } else {
                month.detach(pool, before).await?
            };
            summary.detached.push(RetiredMonth {
                partition: month.partition,
                rows,
            });
        }
    }
    if !dry_run {
        summary.sign_ins = sqlx::query_scalar("SELECT expired_sign_ins_removed($1)")
            .bind(now.to_datetime())
            .fetch_one(pool)
            .await?;
        summary.dropped = months::drop_detached(pool).await?;
        if let Some(client) = stores.clickhouse {
            summary.dropped_in_analytics = analytics::drop_clicks(client, clicks_from).await?;
        }
        for topic in Topic::ALL {
            let kept_from = match topic {
                Topic::Clicks => clicks_from,
                Topic::Conversions
                | Topic::Decisions
                | Topic::Commands
                | Topic::Ledger
                | Topic::Payouts
                | Topic::PayoutResults
                | Topic::DeadLetters => reports_from,
            };
            summary.log_records += stream::trim_older_than(stores.log, topic, kept_from).await?;
        }
    }
    tracing::info!(?summary, "retention");
    Ok(summary)
}

/// Makes the partitions of the months to come.
async fn make_ahead(pool: &PgPool, now: Timestamp) -> sqlx::Result<Timestamp> {
    let until = now.to_datetime() + AHEAD;
    sqlx::query("SELECT ensure_partitions($1, $2)")
        .bind(now.to_datetime())
        .bind(until)
        .execute(pool)
        .await?;
    Ok(until.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_before_it_can_be_done_without() {
        assert_eq!(Periods::new(24, 84), Ok(Periods::default()));
        assert_eq!(Periods::new(23, 84), Err(PeriodsError::Clicks));
        assert_eq!(Periods::new(24, 59), Err(PeriodsError::Reports));
        assert_eq!(Periods::new(96, 84), Err(PeriodsError::Reports));
    }
}
