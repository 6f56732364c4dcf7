//! Sales with their clicks, over HTTP, end to end: as fast as possible, and at multiples of real
//! time for the latency from a postback to the ledger.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use schemas::{Position, Topic, codec, events::Decision};
use sqlx::{Connection, PgConnection, Row};
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Plan, ingest::count};
use crate::{
    generator::{Generator, Pace, Record, Sending, wall_micros},
    http::Caller,
    latencies::Latencies,
    oracle::evidence::Evidence,
    processes::{Part, Watch},
    product::{Product, judge},
    results::{Aim, Curve, Distribution, Findings, Point},
};

/// 200,000 conversions a day, in a second.
pub const REAL_TIME: f64 = 200_000.0 / 86_400.0;
/// Multiples of real time at which latency is measured.
const MULTIPLES: [f64; 4] = [1.0, 10.0, 20.0, 100.0];
/// Parts of the highest rate at which it is measured besides.
const PARTS: [f64; 3] = [0.25, 0.5, 0.75];
pub const CALLERS: u64 = 128;
/// Sales before anything is measured: connections, caches, prepared statements.
pub const WARM_UP: u64 = 500;
/// How exactly the moment is known at which the ledger has something.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_mins(10);

/// What the settings of the measured PostgreSQL are.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN \
    ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'server_version') \
    ORDER BY name";

pub async fn measure(plan: &Plan, findings: &mut Findings) -> anyhow::Result<()> {
    findings.set("conversions", &plan.conversions);
    findings.set("callers", &CALLERS);
    for repetition in 0..plan.repetitions {
        fastest(plan, findings, repetition).await?;
    }
    // The figures that the aim is about are those of the whole day.
    let seconds = 200_000.0 / findings.median("conversions ledgered, end to end");
    findings.note("200,000 conversions ledgered, at that rate", "s", seconds);
    findings.aim(
        "200,000 conversions ledgered, at that rate",
        Aim::AtMost(30.0),
    );
    findings.aim("the pipeline's memory at its peak", Aim::AtMost(512.0));
    at_a_pace(plan, findings).await
}

/// The whole day as fast as it goes.
pub async fn fastest(
    plan: &Plan,
    findings: &mut Findings,
    repetition: usize,
) -> anyhow::Result<()> {
    let mut product = Product::install()?;
    product.start()?;
    check_analytics(&product).await?;
    note_settings(&product, findings).await?;
    let generator = Generator::new(product.address);
    let pace = Pace::Saturating { callers: CALLERS };
    let sales = plan.sales(plan.conversions);
    let warm_up = sales.end..sales.end + WARM_UP;
    let mut record = generator.send(warm_up, pace, Sending::Whole).await?.record;
    until_ledgered(&product, &record).await?;

    let watch = Watch::begin(product.pid()?);
    let began = Instant::now();
    let sent = generator.send(sales, pace, Sending::Whole).await?;
    let answered = sent.seconds;
    let requests = sent.record.click_micros.len() + sent.record.postback_micros.len();
    let requests = number(requests as u64);
    let latencies = Latencies::of(sent.record.postback_micros.iter().copied());
    record.merge(sent.record);
    until_ledgered(&product, &record).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = watch.end();

    let conversions = number(plan.conversions);
    findings.note(
        "conversions ledgered, end to end",
        "/s",
        conversions / seconds,
    );
    findings.note("until every request was answered", "s", answered);
    findings.note("until everything was ledgered", "s", seconds);
    findings.note("requests per conversion", "", requests / conversions);
    let cost = usage.cpu_seconds_total() / conversions * 1_000.0;
    findings.note("CPU seconds per 1,000 conversions", "s", cost);
    for (part, name) in [
        (Part::Pipeline, "the pipeline"),
        (Part::Postgres, "PostgreSQL"),
        (Part::ClickHouse, "ClickHouse"),
    ] {
        let seconds = usage.cpu_seconds.get(&part).copied().unwrap_or_default();
        let cost = seconds / conversions * 1_000.0;
        findings.note(
            &format!("{name}'s CPU seconds per 1,000 conversions"),
            "s",
            cost,
        );
        findings.note(
            &format!("{name}'s memory at its peak"),
            "MiB",
            usage.peak(part),
        );
    }
    if repetition == 0 {
        let name = "postback answered, the day at its fastest";
        findings
            .distributions
            .push(Distribution::of(name, &latencies));
    }
    let evidence = product.evidence().await?;
    judge(&record, &evidence)
}

/// The latency from when a postback was due until the ledger had it, at one rate after the other.
async fn at_a_pace(plan: &Plan, findings: &mut Findings) -> anyhow::Result<()> {
    let mut product = Product::install()?;
    product.start()?;
    let generator = Generator::new(product.address);
    let highest = findings.median("conversions ledgered, end to end");
    let paces = MULTIPLES.map(|multiple| (format!("{multiple}× real time"), multiple * REAL_TIME));
    let parts = PARTS.map(|part| (format!("{part} of the highest rate"), part * highest));
    let seconds = plan.form.pick(6.0, 30.0);
    let runs = paces.into_iter().chain(parts);
    let runs: Vec<_> = runs
        .map(|(name, rate)| (name, rate, count(rate * seconds)))
        .collect();
    // Each postback is a sale of its own, by a click of its own.
    let first = plan.sales(plan.conversions).end;
    let sales = runs.iter().map(|(_, _, sales)| sales).sum::<u64>();
    let pace = Pace::Saturating { callers: 32 };
    let clicks = generator.send(first..first + sales, pace, Sending::Clicks);
    let clicks = clicks.await?;
    let tokens = Arc::new(clicks.tokens);
    let mut record = clicks.record;
    until_ledgered(&product, &record).await?;

    let looker = Looker::begin(&product);
    let mut next = first;
    let mut sent_at = Vec::new();
    for (name, rate, sales) in runs {
        let sales = next..next + sales;
        next = sales.end;
        let sending = Sending::Postbacks(Arc::clone(&tokens));
        let sent = generator
            .send(sales, Pace::PerSecond(rate), sending)
            .await?;
        sent_at.push((name, rate, sent.record.due_micros.clone()));
        record.merge(sent.record);
        until_ledgered(&product, &record).await?;
    }
    let seen = looker.end().await?;
    let evidence = product.evidence().await?;
    judge(&record, &evidence)?;
    let ledgered = ledgered_at(&product, &evidence, &seen).await?;
    let mut points = Vec::new();
    for (name, rate, due) in sent_at {
        let latencies = due.iter().map(|(request, due)| {
            let at = ledgered.get(request).copied();
            at.context("a postback that no look at the ledger saw")
                .map(|at| at.saturating_sub(*due))
        });
        let latencies: anyhow::Result<Vec<u64>> = latencies.collect();
        let latencies = Latencies::of(latencies?);
        let (p50_ms, p99_ms) = (latencies.percentile_ms(50), latencies.percentile_ms(99));
        findings.note(&format!("postback to ledger at {name}: p50"), "ms", p50_ms);
        findings.note(&format!("postback to ledger at {name}: p99"), "ms", p99_ms);
        points.push(Point {
            per_second: rate,
            p50_ms,
            p99_ms,
        });
        if name.starts_with("20×") {
            let name = "postback to ledger, at 20× real time";
            findings
                .distributions
                .push(Distribution::of(name, &latencies));
        }
    }
    for (name, most) in [
        ("1× real time", 40.0),
        ("10× real time", 40.0),
        ("20× real time", 40.0),
        ("0.5 of the highest rate", 250.0),
    ] {
        findings.aim(
            &format!("postback to ledger at {name}: p99"),
            Aim::AtMost(most),
        );
    }
    let name = "day: postback to ledger".to_owned();
    findings.curves.push(Curve { name, points });
    Ok(())
}

async fn check_analytics(product: &Product) -> anyhow::Result<()> {
    let mut caller = Caller::new(product.address);
    let request = b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n";
    let answer = caller.call(request).await?;
    let health = String::from_utf8_lossy(&answer.body);
    ensure!(
        !health.contains(r#""analytics":{"state":"off""#),
        "the day is measured with the ClickHouse engine, and it is off: run `make setup` ({health})"
    );
    Ok(())
}

async fn note_settings(product: &Product, findings: &mut Findings) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&product.database()).await?;
    for row in sqlx::query(SETTINGS).fetch_all(&mut connection).await? {
        let name: String = row.get(0);
        findings.set(&format!("PostgreSQL's {name}"), &row.get::<String, _>(1));
    }
    findings.set(
        "log",
        &"embedded; a batch is synced before it is acknowledged",
    );
    Ok(connection.close().await?)
}

/// Waits until the ledger has as many reports and clicks as were accepted.
pub async fn until_ledgered(product: &Product, record: &Record) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&product.database()).await?;
    let reports = record.kept.postbacks.values().filter(|answered| **answered);
    let (reports, clicks) = (reports.count(), record.kept.clicks.len());
    let deadline = Instant::now() + PATIENCE;
    // Positions cost nothing to look at, however many rows there are.
    let query = "SELECT coalesce(sum(next_offset) FILTER (WHERE topic = 'decisions'), 0)::int8, \
                        coalesce(sum(next_offset) FILTER (WHERE topic = 'clicks'), 0)::int8 \
                 FROM consumer_positions WHERE consumer = 'ledger'";
    loop {
        let (decided, clicked): (i64, i64) =
            sqlx::query_as(query).fetch_one(&mut connection).await?;
        let behind = usize::try_from(decided)? < reports || usize::try_from(clicked)? < clicks;
        if !behind {
            return Ok(connection.close().await?);
        }
        ensure!(
            Instant::now() < deadline,
            "the ledger doesn't catch up: {decided} of {reports} decisions, {clicked} of {clicks} \
             clicks"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// When the ledger was first seen to have read `decisions` up to an offset, by partition.
type Seen = HashMap<i32, BTreeMap<i64, u64>>;

/// Looks at the ledger's positions from outside, again and again.
struct Looker {
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<Seen>>,
}

impl Looker {
    fn begin(product: &Product) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(look(product.database(), Arc::clone(&stop)));
        Self { stop, task }
    }

    async fn end(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

async fn look(
    database: sqlx::postgres::PgConnectOptions,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Seen> {
    let mut connection = PgConnection::connect_with(&database).await?;
    let query = "SELECT partition, next_offset FROM consumer_positions \
                 WHERE consumer = 'ledger' AND topic = 'decisions'";
    let mut seen = Seen::new();
    loop {
        // Once more after it was told to end, so that nothing is left unseen.
        let last = stop.load(Ordering::Relaxed);
        let rows: Vec<(i32, i64)> = sqlx::query_as(query).fetch_all(&mut connection).await?;
        let now = wall_micros();
        for (partition, next_offset) in rows {
            let moments = seen.entry(partition).or_default();
            moments.entry(next_offset).or_insert(now);
        }
        if last {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    connection.close().await?;
    Ok(seen)
}

/// When the ledger had each postback, in microseconds since 1970, by the postback's number. Read
/// from a product that is stopped.
async fn ledgered_at(
    product: &Product,
    evidence: &Evidence,
    seen: &Seen,
) -> anyhow::Result<HashMap<u64, u64>> {
    let requests: HashMap<(i32, i64), u64> = evidence
        .logged
        .iter()
        .filter_map(|logged| Some((logged.position, logged.request?)))
        .collect();
    let clock = Arc::new(SystemClock);
    let log = EmbeddedLog::open(
        product.data().join("log"),
        clock,
        EmbeddedOptions::default(),
    )?;
    let mut ledgered = HashMap::new();
    for partition in 0..Topic::Decisions.partitions() {
        let mut offset = 0;
        loop {
            let records = log.read(Topic::Decisions, partition, offset, 1_000).await?;
            let Some(last) = records.last() else { break };
            let next = last.position.offset + 1;
            for record in records {
                let decision: Decision = codec::decode(&record.value)?;
                let Position {
                    partition: source,
                    offset,
                    ..
                } = decision.source;
                let moments = seen.get(&partition);
                // The first look at which the position lay beyond the record.
                let at = moments.and_then(|moments| {
                    let beyond = record.position.offset + 1;
                    moments.range(beyond..).next().map(|(_, at)| *at)
                });
                if let (Some(request), Some(at)) = (requests.get(&(source, offset)), at) {
                    ledgered.entry(*request).or_insert(at);
                }
            }
            offset = next;
        }
    }
    log.close().await;
    Ok(ledgered)
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
