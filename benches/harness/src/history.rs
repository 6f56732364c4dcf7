//! What an installation has ledgered before: conversions of the last hundred days, as the product
//! would have written them. Made once by COPY, with every trigger and index in place, held against
//! the audit, and kept, so that a run begins with a copy.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use chrono::Utc;
use hissaback::embedded::{DataDirectory, EmbeddedPostgres, PostgresOptions};
use schemas::Timestamp;
use sinks::ledger::{database, reference};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::sync::mpsc;

use self::rows::{Chunk, PARTITION_FIRST, PARTITIONS, Rows};
use crate::{machine, product::Product, traffic::Sale};

mod rows;

const DAYS: i32 = 100;
/// Conversions of one transaction of the load.
const CHUNK: u64 = 10_000;
/// So many are held against the audit before the others follow, which are made alike: of millions,
/// an audit takes longer than their load.
const AUDITED: u64 = 50_000;
/// Chunks that are made ahead of the database.
const CHUNKS_AHEAD: usize = 2;
/// What a conversion takes on disk, with all its rows and their indexes.
const BYTES_PER_CONVERSION: u64 = 2_500;
/// Sales of the history have numbers of their own, this far above those of the day.
const NUMBER_OFFSET: u64 = 500_000_000;
/// Conversions of one shopper: ten visits.
const CONVERSIONS_OF_SHOPPER: u64 = 30;

/// Conversions that are ledgered already, evenly over the last hundred days.
#[derive(Debug, Clone, Copy)]
pub struct History {
    pub conversions: u64,
    /// The number of the first sale of the day that comes after it.
    pub first_sale: u64,
}

/// What the history's conversions say.
#[derive(Debug, Clone, Copy)]
struct Entry {
    sale: Sale,
    shopper: u64,
    clicked_at: Timestamp,
}

impl History {
    /// The data directory of an installation that has it: the one that is kept, or a new one.
    ///
    /// # Errors
    /// When there is no room, or the audit finds fault with what was made.
    pub async fn kept(self, histories: &Path) -> anyhow::Result<PathBuf> {
        // By month, since the current month's partitions are to be filled as well.
        let month = Utc::now().format("%Y-%m");
        let name = format!("{}-{}-{month}", self.conversions, self.first_sale);
        fs::create_dir_all(histories)?;
        let histories = histories.canonicalize()?;
        let kept = histories.join(name);
        if kept.is_dir() {
            machine::check(&histories, self.bytes() + machine::ROOM_SHORT)?;
            return Ok(kept);
        }
        // What is older, and what was left by a run that was killed.
        for other in fs::read_dir(&histories)? {
            let other = other?;
            let name = other.file_name();
            if !name.to_string_lossy().ends_with(&format!("-{month}")) {
                fs::remove_dir_all(other.path())?;
            }
        }
        // For itself, and for the copy.
        machine::check(&histories, 2 * self.bytes() + machine::ROOM_SHORT)?;
        eprintln!(
            "  loading {} conversions into {}",
            self.conversions,
            kept.display()
        );
        let product = Product::install_in(&histories)?;
        self.load(&product.data()).await?;
        // Last, and at once: a directory of that name is whole.
        fs::rename(product.data(), &kept)?;
        Ok(kept)
    }

    const fn bytes(self) -> u64 {
        self.conversions * BYTES_PER_CONVERSION
    }

    /// Commission of all of it, in paise.
    pub fn commission_paise(self) -> i64 {
        (0..self.conversions)
            .map(|number| self.sale(number).commission_paise())
            .sum()
    }

    const fn sale(self, number: u64) -> Sale {
        Sale::plain(self.first_sale + NUMBER_OFFSET + number)
    }

    fn entry(self, number: u64, end: Timestamp) -> anyhow::Result<Entry> {
        let shoppers = (self.conversions / CONVERSIONS_OF_SHOPPER).max(1);
        let before = i64::try_from(self.conversions - number)?;
        let millis = i64::from(DAYS) * 86_400_000 * before / i64::try_from(self.conversions)?;
        let sale = self.sale(number);
        Ok(Entry {
            sale,
            // The day's shoppers have been here before.
            shopper: Sale::plain(self.first_sale).shopper() + number / 3 % shoppers,
            clicked_at: end.plus_millis(-millis),
        })
    }

    async fn load(self, data: &Path) -> anyhow::Result<()> {
        let directory = DataDirectory::open(data)?;
        let postgres = EmbeddedPostgres::start(&directory, PostgresOptions::default()).await?;
        let owner = postgres.connect_options("hissaback_owner", "hissaback");
        database::migrate(owner.clone()).await?;
        let pool = database::connect(owner, 2).await?;
        let superuser = postgres.connect_options("postgres", "hissaback");
        let mut connection = PgConnection::connect_with(&superuser).await?;
        let end = now().plus_days(-1);
        sqlx::query("SELECT ensure_partitions($1, $2)")
            .bind(end.plus_days(-DAYS).to_datetime())
            .bind(end.to_datetime())
            .execute(&pool)
            .await?;
        connection.execute("SET synchronous_commit = off").await?;
        let audited = AUDITED.min(self.conversions);
        for part in [0..audited, audited..self.conversions] {
            self.copy(&pool, &mut connection, part.clone(), end).await?;
            self.note_positions(&mut connection, part.end).await?;
            connection.execute("VACUUM (ANALYZE)").await?;
            if part.start == 0 {
                audit(&pool, data).await?;
            }
        }
        self.check(&mut connection).await?;
        connection.close().await?;
        pool.close().await;
        Ok(postgres.stop().await?)
    }

    /// The conversions of these numbers.
    async fn copy(
        self,
        pool: &PgPool,
        connection: &mut PgConnection,
        numbers: Range<u64>,
        end: Timestamp,
    ) -> anyhow::Result<()> {
        let reference = reference::load(pool).await?;
        let (ahead, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        let making = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let rows = Rows::new(reference)?;
            for first in numbers.clone().step_by(usize::try_from(CHUNK)?) {
                let mut chunk = Chunk::default();
                for number in first..numbers.end.min(first + CHUNK) {
                    rows.add(number, &self.entry(number, end)?, &mut chunk)?;
                }
                if ahead.blocking_send(chunk).is_err() {
                    break;
                }
            }
            Ok(())
        });
        while let Some(chunk) = chunks.recv().await {
            chunk.copy_into(connection).await?;
        }
        making.await?
    }

    /// As if the ledger had read so many from a log that has been moved since: its positions are in
    /// partitions of their own, so that those of the day begin anew.
    async fn note_positions(
        self,
        connection: &mut PgConnection,
        conversions: u64,
    ) -> anyhow::Result<()> {
        for partition in 0..PARTITIONS {
            let others = u64::from(PARTITIONS - 1 - partition);
            let reports = (conversions + others) / u64::from(PARTITIONS);
            let query = "INSERT INTO positions_applied VALUES ($1, $2) \
                         ON CONFLICT (source_partition) DO UPDATE SET next_offset = $2";
            sqlx::query(query)
                .bind(PARTITION_FIRST + i32::try_from(partition)?)
                .bind(i64::try_from(reports)?)
                .execute(&mut *connection)
                .await?;
        }
        let payees = "INSERT INTO payee_locks SELECT DISTINCT user_id FROM ledger \
                      ON CONFLICT DO NOTHING";
        connection.execute(payees).await?;
        sqlx::query("SELECT setval('posting_transactions', $1)")
            .bind(i64::try_from(conversions)?)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Everything is there, and its sums are those of the sales.
    async fn check(self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let query = "SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM conversions), \
                            (SELECT count(*) FROM orders), (SELECT count(*) FROM order_claims), \
                            (SELECT count(*) FROM ledger), count(*) / 3, sum(amount)::int8, \
                            (-100 * sum(amount) \
                              FILTER (WHERE account = 'network_receivable'))::int8 \
                     FROM postings";
        let found: (i64, i64, i64, i64, i64, i64, i64, i64) =
            sqlx::query_as(query).fetch_one(connection).await?;
        let all = i64::try_from(self.conversions)?;
        let expected = (all, all, all, all, all, all, 0, self.commission_paise());
        ensure!(
            found == expected,
            "the history isn't whole: {found:?} instead of {expected:?}"
        );
        Ok(())
    }
}

/// Every invariant holds of what is loaded. (ClickHouse has none of it, and isn't asked.)
async fn audit(pool: &PgPool, data: &Path) -> anyhow::Result<()> {
    let (clock, options) = (Arc::new(SystemClock), EmbeddedOptions::default());
    let log = EmbeddedLog::open(data.join("log"), clock, options)?;
    let report = operations::audit::audit(pool, None, &*log).await?;
    log.close().await;
    ensure!(
        report.ok,
        "the history isn't what the ledger writes: {report}"
    );
    Ok(())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A view in front of each table, for one connection, of what came after the history.
pub async fn hide(connection: &mut PgConnection, last: i64) -> sqlx::Result<()> {
    for (table, name) in [
        ("clicks", "click_id"),
        ("conversions", "conv_id"),
        ("ledger", "led_id"),
        ("postings", "led_id"),
    ] {
        let view = format!(
            "CREATE TEMP VIEW {table} AS SELECT * FROM public.{table} WHERE {name} > {last}"
        );
        connection.execute(AssertSqlSafe(view)).await?;
    }
    Ok(())
}

/// The last name that a report of the history has: whatever comes later has a later one.
pub async fn last_name(connection: &mut PgConnection) -> anyhow::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(conv_id) FROM conversions")
        .fetch_one(connection)
        .await?;
    last.context("the installation has no history")
}
