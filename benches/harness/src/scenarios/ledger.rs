//! The ledger alone, from a log that is there, and the ceiling: COPY of the very rows that it
//! wrote, into the same tables with the same triggers and indexes, on the same server. Also the
//! ledger alone where a shopper's sales come in a row: they wait for each other.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::ensure;
use arc_swap::ArcSwap;
use futures::TryStreamExt;
use hissaback::embedded::{DataDirectory, EmbeddedPostgres, PostgresOptions};
use processors::stage::{InMemoryClicks, Stage, StageMetrics, StageSettings};
use prometheus::Registry;
use schemas::{Topic, codec, token::TokenKeys};
use sinks::ledger::{LedgerMetrics, LedgerSettings, LedgerSink, database};
use sqlx::{Connection, PgConnection, PgPool};
use stream::{EmbeddedLog, EmbeddedOptions, Log, NewRecord, SystemClock};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::{
    fixture,
    processes::Watch,
    results::{Aim, Findings},
};

/// Records of one append while the log is filled.
const APPENDED: usize = 1_000;
const PATIENCE: Duration = Duration::from_mins(10);
const RATE: &str = "the ledger alone: sales with their clicks";
const COST: &str = "the ledger alone: CPU seconds per 1,000 sales";
const RATE_OF_BASKETS: &str = "the ledger alone, a shopper's three sales in a row";
const CEILING: &str = "COPY of the same rows";
const OF_COPY: &str = "the ledger, of COPY of its rows";
/// What the ledger writes for clicks and reports.
const TABLES: [&str; 8] = [
    "clicks",
    "conversions",
    "ledger",
    "order_claims",
    "orders",
    "outbox",
    "payee_locks",
    "postings",
];

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    std::fs::set_permissions(
        home.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let sales = u32::try_from(plan.conversions)?;
    findings.set("sales, each with its click", &sales);
    let open = |name| {
        let directory = home.path().join(name);
        EmbeddedLog::open(directory, Arc::new(SystemClock), EmbeddedOptions::default())
    };
    let log = open("log")?;
    let mut numbers: Vec<u32> = (0..sales).collect();
    let decided = fill(&log, &numbers).await?;
    findings.note("the stage alone: decisions", "/s", decided);
    let baskets = open("log-of-baskets")?;
    numbers.sort_by_key(|number| fixture::shopper((*number).into()));
    fill(&baskets, &numbers).await?;
    let directory = home.path().join("data");
    for _ in 0..plan.repetitions {
        let measured = once(&directory, &log, sales, findings).await?;
        findings.note(RATE, "/s", measured.rate);
        findings.note(COST, "s", measured.cpu_seconds / f64::from(sales) * 1_000.0);
        findings.note(CEILING, "sales/s", measured.ceiling);
        findings.note(OF_COPY, "×", measured.rate / measured.ceiling);
        let measured = once(&directory, &baskets, sales, findings).await?;
        findings.note(RATE_OF_BASKETS, "/s", measured.rate);
    }
    findings.aim(OF_COPY, Aim::AtLeast(0.5));
    log.close().await;
    baskets.close().await;
    Ok(())
}

/// Clicks and reports of these sales, and the stage's decisions on them; gives how many of those
/// it made in a second.
async fn fill(log: &Arc<EmbeddedLog>, sales: &[u32]) -> anyhow::Result<f64> {
    let keys = TokenKeys::new(&[(1, [1; 32])])?;
    for chunk in sales.chunks(APPENDED) {
        let (mut clicks, mut reports) = (Vec::new(), Vec::new());
        for number in chunk.iter().copied() {
            let click = fixture::click(number);
            let report = fixture::report(&keys, number);
            let key = click.click_id.to_string();
            clicks.push(NewRecord::new(key.clone(), codec::encode(&click)?));
            reports.push(NewRecord::new(key, codec::encode(&report)?));
        }
        log.append(Topic::Clicks, clicks).await?;
        log.append(Topic::Conversions, reports).await?;
    }
    let began = Instant::now();
    let stage = Stage {
        log: Arc::clone(log) as Arc<dyn Log>,
        clicks: Arc::new(InMemoryClicks::default()),
        reference: Arc::new(ArcSwap::from_pointee(fixture::reference())),
        token_keys: keys,
        clock: Arc::new(SystemClock),
        metrics: StageMetrics::register(&Registry::new())?,
        settings: StageSettings::default(),
    };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(stage.run(shutdown.clone()));
    let deadline = Instant::now() + PATIENCE;
    let count = i64::try_from(sales.len())?;
    while ends(log, Topic::Decisions).await? < count {
        ensure!(Instant::now() < deadline, "the stage doesn't get done");
        sleep(Duration::from_millis(5)).await;
    }
    let rate = u32::try_from(count).map(f64::from)? / began.elapsed().as_secs_f64();
    shutdown.cancel();
    running.await??;
    Ok(rate)
}

async fn ends(log: &EmbeddedLog, topic: Topic) -> anyhow::Result<i64> {
    let mut sum = 0;
    for partition in 0..topic.partitions() {
        sum += log.watermarks(topic, partition).await?.high;
    }
    Ok(sum)
}

/// What the ledger came to, and what COPY did.
struct Measured {
    /// Sales a second.
    rate: f64,
    /// Of all processes.
    cpu_seconds: f64,
    /// Sales a second of COPY.
    ceiling: f64,
}

async fn once(
    directory: &Path,
    log: &Arc<EmbeddedLog>,
    sales: u32,
    findings: &mut Findings,
) -> anyhow::Result<Measured> {
    let data = DataDirectory::open(directory)?;
    let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default()).await?;
    let owner = postgres.connect_options("hissaback_owner", "hissaback");
    database::migrate(owner.clone()).await?;
    let superuser = postgres.connect_options("postgres", "hissaback");
    let mut connection = PgConnection::connect_with(&superuser).await?;
    let settings = "SELECT name, setting FROM pg_settings \
                    WHERE name IN ('fsync', 'synchronous_commit')";
    let settings: Vec<(String, String)> =
        sqlx::query_as(settings).fetch_all(&mut connection).await?;
    for (name, value) in settings {
        findings.set(&format!("PostgreSQL's {name}"), &value);
    }

    let writer = postgres.connect_options("hissaback_writer", "hissaback");
    let pool = database::connect(writer, 8).await?;
    let watch = Watch::begin(std::process::id());
    let began = Instant::now();
    run_sink(log, &pool, &mut connection, sales).await?;
    let seconds = began.elapsed().as_secs_f64();
    let measured = Measured {
        rate: f64::from(sales) / seconds,
        cpu_seconds: watch.end().cpu_seconds_total(),
        ceiling: f64::from(sales) / copy(&postgres).await?,
    };
    pool.close().await;
    connection.close().await?;
    postgres.stop().await?;
    std::fs::remove_dir_all(directory)?;
    Ok(measured)
}

/// Runs the ledger until it has everything, and checks that it does.
async fn run_sink(
    log: &Arc<EmbeddedLog>,
    pool: &PgPool,
    connection: &mut PgConnection,
    sales: u32,
) -> anyhow::Result<()> {
    let sink = LedgerSink {
        pool: pool.clone(),
        log: Arc::clone(log) as Arc<dyn Log>,
        clock: Arc::new(SystemClock),
        written: Arc::new(Notify::new()),
        metrics: LedgerMetrics::register(&Registry::new())?,
        settings: LedgerSettings::default(),
        committed: None,
    };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { sink.run(shutdown).await }
    });
    let read = "SELECT coalesce(sum(next_offset), 0)::int8 FROM consumer_positions \
                WHERE consumer = 'ledger' AND topic IN ('clicks', 'decisions')";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *connection).await?;
        if read >= 2 * i64::from(sales) {
            break;
        }
        ensure!(Instant::now() < deadline, "the ledger doesn't get done");
        sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    running.await??;
    let outcome = "SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM ledger), \
        (SELECT count(*) FROM conversions), \
        (SELECT coalesce(sum(-amount), 0)::int8 FROM postings \
         WHERE account = 'network_receivable')";
    let outcome: (i64, i64, i64, i64) = sqlx::query_as(outcome).fetch_one(&mut *connection).await?;
    let sales = i64::from(sales);
    // 8% of 1,999.00 each, in whole rupees.
    let expected = (sales, sales, sales, (sales * 15_992 + 50) / 100);
    ensure!(
        outcome == expected,
        "the ledger isn't what the log says: {outcome:?} instead of {expected:?}"
    );
    Ok(())
}

/// Takes the rows out, and times their way into a second database of the same schema: one
/// transaction, durable as the ledger's are.
async fn copy(postgres: &EmbeddedPostgres) -> anyhow::Result<f64> {
    let superuser = |database| postgres.connect_options("postgres", database);
    let mut rows = Vec::new();
    let mut from = PgConnection::connect_with(&superuser("hissaback")).await?;
    for table in TABLES {
        let statement = format!("COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)");
        let taken = from.copy_out_raw(&statement).await?;
        let chunks: Vec<bytes::Bytes> = taken.try_collect().await?;
        rows.push((table, chunks));
    }
    sqlx::query("CREATE DATABASE ceiling OWNER hissaback_owner")
        .execute(&mut from)
        .await?;
    let months: Vec<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("SELECT DISTINCT date_trunc('month', clicked_at) FROM clicks")
            .fetch_all(&mut from)
            .await?;
    database::migrate(postgres.connect_options("hissaback_owner", "ceiling")).await?;
    let mut to = PgConnection::connect_with(&superuser("ceiling")).await?;
    for month in months {
        sqlx::query("SELECT ensure_partitions($1, $1)")
            .bind(month)
            .execute(&mut to)
            .await?;
    }
    sqlx::query("CHECKPOINT").execute(&mut to).await?;
    let began = Instant::now();
    let mut transaction = to.begin().await?;
    for (table, chunks) in rows {
        let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let mut copying = transaction.copy_in_raw(&statement).await?;
        for chunk in chunks {
            copying.send(chunk).await?;
        }
        copying.finish().await?;
    }
    transaction.commit().await?;
    let seconds = began.elapsed().as_secs_f64();
    to.close().await?;
    from.close().await?;
    Ok(seconds)
}
