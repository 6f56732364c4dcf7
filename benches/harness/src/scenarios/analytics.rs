//! Analytics alone, from a log that is there, and the ceiling: the very rows that it wrote,
//! inserted raw into the same tables of the same engine.

use std::{collections::BTreeMap, env, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clickhouse::Client;
use futures::{StreamExt, TryStreamExt};
use hissaback::embedded::{
    ClickHouseOptions, DataDirectory, EmbeddedClickHouse, EmbeddedPostgres, PostgresOptions,
};
use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    postings::{self, ledger_changed},
    settlement::{Neighbourhood, Scope, settle},
};
use prometheus::Registry;
use schemas::{Position, Topic, codec, reference::ReferenceData, token::TokenKeys};
use sinks::{
    analytics::{AnalyticsMetrics, AnalyticsSettings, AnalyticsSink, completeness, migrate},
    ledger::database,
};
use sqlx::PgPool;
use stream::{EmbeddedLog, EmbeddedOptions, Log, NewRecord, Partition, SystemClock};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::{
    fixture,
    processes::{Part, Watch},
    results::Findings,
};

/// Records of one append while the log is filled.
const APPENDED: u32 = 1_000;
const PATIENCE: Duration = Duration::from_mins(10);
/// At least as many, so that a run outlasts several computations of the aggregates: over fewer, it
/// is whether one falls into it that is measured.
const SALES_MIN: u64 = 200_000;
/// The engine is asked how far it is, which costs it something.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What analytics reads here.
const TOPICS: [Topic; 3] = [Topic::Clicks, Topic::Decisions, Topic::Ledger];
/// What it writes of that.
const TABLES: [&str; 6] = [
    "claim_hours",
    "clicks",
    "conversions",
    "decisions",
    "ledger_changes",
    "ledger_entries",
];
const OWN: &str = "analytics alone: rows";
const RAW: &str = "the same rows inserted raw";

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    std::fs::set_permissions(
        home.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let sales = u32::try_from(plan.conversions.max(SALES_MIN))?;
    findings.set("sales, each with its click", &sales);
    let (clock, options) = (Arc::new(SystemClock), EmbeddedOptions::default());
    let log = EmbeddedLog::open(home.path().join("log"), clock, options)?;
    fill(&log, sales).await?;
    for repetition in 0..plan.repetitions {
        let directory = home.path().join(format!("data-{repetition}"));
        once(&directory, &log, sales, findings).await?;
        std::fs::remove_dir_all(&directory)?;
    }
    log.close().await;
    Ok(())
}

/// Clicks, decisions on their reports, and what the ledger tells of the claims.
async fn fill(log: &EmbeddedLog, sales: u32) -> anyhow::Result<()> {
    let keys = TokenKeys::new(&[(1, [1; 32])])?;
    let reference = fixture::reference();
    for first in (0..sales).step_by(APPENDED as usize) {
        let mut records: BTreeMap<Topic, Vec<NewRecord>> = BTreeMap::new();
        for number in first..sales.min(first + APPENDED) {
            for (topic, value) in told(number, &reference, &keys)? {
                let key = fixture::click(number).click_id.to_string();
                let records = records.entry(topic).or_default();
                records.push(NewRecord::new(key, value));
            }
        }
        for (topic, records) in records {
            log.append(topic, records).await?;
        }
    }
    Ok(())
}

/// What the log says of the sale of this number.
fn told(
    number: u32,
    reference: &ReferenceData,
    keys: &TokenKeys,
) -> anyhow::Result<[(Topic, Vec<u8>); 3]> {
    let (click, report) = (fixture::click(number), fixture::report(keys, number));
    let partitions = Topic::Conversions.partitions();
    let position = Position {
        topic: Topic::Conversions,
        partition: i32::try_from(number)? % partitions,
        offset: i64::from(number) / i64::from(partitions),
    };
    let (at, nothing) = (report.received_at, LookedUp::Nothing);
    let decision = decide(position, at, &report, nothing, reference, keys);
    let report = Report::from_decision(&decision).context("the report has no click")?;
    let neighbourhood = Neighbourhood {
        reports: [(click.click_id, vec![report])].into(),
        ..Neighbourhood::default()
    };
    let scope = Scope {
        clicks: [click.click_id].into(),
        ..Scope::default()
    };
    let states = settle(&neighbourhood, &scope);
    let state = states.first().context("the report has no claim")?;
    let sequence = i64::from(number) + 1;
    let changed = ledger_changed(state, &postings::target(state), 1, sequence)?;
    Ok([
        (Topic::Clicks, codec::encode(&click)?),
        (Topic::Decisions, codec::encode(&decision)?),
        (Topic::Ledger, codec::encode(&changed)?),
    ])
}

async fn once(
    directory: &Path,
    log: &Arc<EmbeddedLog>,
    sales: u32,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let data = DataDirectory::open(directory)?;
    let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default()).await?;
    let owner = postgres.connect_options("hissaback_owner", "hissaback");
    database::migrate(owner.clone()).await?;
    let pool = database::connect(owner, 4).await?;
    let options = ClickHouseOptions {
        program: Some(env::current_exe()?.with_file_name("hissaback")),
        ..ClickHouseOptions::default()
    };
    let engine = EmbeddedClickHouse::start(&data, options).await?;
    let client = engine.client();
    migrate(&client).await?;

    let watch = Watch::begin(std::process::id());
    let began = Instant::now();
    run_sink(log, &client, &pool).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = watch.end();
    check(&client, sales).await?;
    let rows = count_rows(&client).await?;
    let watch = Watch::begin(std::process::id());
    let raw_seconds = insert_raw(&client).await?;
    let raw = watch.end();
    ensure!(
        count_rows(&client).await? == rows,
        "not all rows were inserted raw"
    );

    let rows = f64::from(u32::try_from(rows)?);
    findings.note(OWN, "/s", rows / seconds);
    let name = "analytics alone: sales with their clicks";
    findings.note(name, "/s", f64::from(sales) / seconds);
    findings.note(RAW, "rows/s", rows / raw_seconds);
    findings.note("analytics, of raw inserts", "×", raw_seconds / seconds);
    for (what, usage) in [("analytics alone", &usage), (RAW, &raw)] {
        for (part, whose) in [
            (Part::Pipeline, "the process's"),
            (Part::ClickHouse, "ClickHouse's"),
        ] {
            let seconds = usage.cpu_seconds.get(&part).copied().unwrap_or_default();
            let name = format!("{what}: {whose} CPU milliseconds per 1,000 rows");
            findings.note(&name, "ms", seconds / rows * 1_000_000.0);
        }
    }
    let name = "ClickHouse's memory at its peak";
    findings.note(name, "MiB", usage.peak(Part::ClickHouse));
    pool.close().await;
    engine.stop().await?;
    Ok(postgres.stop().await?)
}

/// Runs the sink until everything that the log holds is in.
async fn run_sink(log: &Arc<EmbeddedLog>, client: &Client, pool: &PgPool) -> anyhow::Result<()> {
    let ends = ends(log).await?;
    let sink = AnalyticsSink::new(
        Arc::clone(log) as Arc<dyn Log>,
        Arc::new(SystemClock),
        client.clone(),
        pool.clone(),
        AnalyticsMetrics::register(&Registry::new())?,
        AnalyticsSettings::default(),
    );
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(sink.run(shutdown.clone()));
    let deadline = Instant::now() + PATIENCE;
    while !completeness::covers(&completeness::complete_up_to(client).await?, &ends) {
        ensure!(Instant::now() < deadline, "analytics doesn't get done");
        sleep(LOOK_EVERY).await;
    }
    shutdown.cancel();
    Ok(running.await??)
}

async fn ends(log: &EmbeddedLog) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let mut ends = BTreeMap::new();
    for topic in TOPICS {
        for partition in 0..topic.partitions() {
            let high = log.watermarks(topic, partition).await?.high;
            ends.insert((topic, partition), high);
        }
    }
    Ok(ends)
}

/// Every click, report and claim is in, and the claims' commission is that of the sales.
async fn check(client: &Client, sales: u32) -> anyhow::Result<()> {
    let totals = completeness::totals(client).await?;
    let claims: u64 = totals.claims.values().map(|totals| totals.claims).sum();
    let commission = totals.claims.values();
    let commission: i128 = commission.map(|claim| claim.posted.commission_micros).sum();
    let all = u64::from(sales);
    // 8% of 1,999.00 each.
    let expected = (all, all, all, i128::from(sales) * 159_920_000);
    let found = (totals.clicks, totals.reports, claims, commission);
    ensure!(
        found == expected,
        "analytics isn't what the log says: {found:?} instead of {expected:?}"
    );
    Ok(())
}

async fn count_rows(client: &Client) -> anyhow::Result<u64> {
    let mut rows = 0;
    for table in TABLES {
        let query = format!("SELECT count() FROM hissaback.{table}");
        rows += client.query(&query).fetch_one::<u64>().await?;
    }
    Ok(rows)
}

/// Takes the rows out, empties the tables, and times the way back: a block of each table, three at
/// a time, as the sink inserts.
async fn insert_raw(client: &Client) -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for table in TABLES {
        let query = format!("SELECT * FROM hissaback.{table}");
        let mut cursor = client.query(&query).fetch_bytes("Native")?;
        let mut chunks: Vec<Bytes> = Vec::new();
        while let Some(chunk) = cursor.next().await? {
            chunks.push(chunk);
        }
        taken.push((table, chunks));
    }
    for table in TABLES {
        let statement = format!("TRUNCATE TABLE hissaback.{table}");
        client.query(&statement).execute().await?;
    }
    let at_once = AnalyticsSettings::default().inserts_in_flight;
    let began = Instant::now();
    let inserts = taken.into_iter().map(|(table, chunks)| async move {
        let statement = format!("INSERT INTO hissaback.{table} FORMAT Native");
        let mut insert = client
            .insert_formatted_with(statement)
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .with_setting("max_partitions_per_insert_block", "0");
        for chunk in chunks {
            insert.send(chunk).await?;
        }
        insert.end().await
    });
    futures::stream::iter(inserts)
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(began.elapsed().as_secs_f64())
}
