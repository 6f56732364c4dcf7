//! Sales with their clicks, over HTTP, end to end: as fast as possible, and at multiples of real
//! time for the latency from a postback to the ledger.

use std::{ops::Range, sync::Arc, time::Duration};

use anyhow::ensure;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::{Instant, sleep};

use super::{Plan, ingest::count};
use crate::{
    broker,
    generator::{Generator, Pace, Record, Sending},
    http::Caller,
    latencies::Latencies,
    looker::{self, Looker},
    processes::{Part, Usage, Watch},
    product::{LogPlace, Product, judge},
    results::{Aim, Curve, Distribution, Findings, Point},
};

/// 200,000 conversions a day, in a second.
pub const REAL_TIME: f64 = 200_000.0 / 86_400.0;
/// Multiples of real time at which latency is measured.
const MULTIPLES: [f64; 4] = [1.0, 10.0, 20.0, 100.0];
/// Parts of the highest rate at which it is measured besides.
const PARTS: [f64; 3] = [0.25, 0.5, 0.75];
pub const CALLERS: u64 = 128;
/// Sales before anything is measured: connections, caches, prepared statements; and the indexes of
/// a new Kafka partition, whose first entry, after 4 KiB, costs the broker a tenth of a second.
pub const WARM_UP: u64 = 500;
const PATIENCE: Duration = Duration::from_mins(10);

pub const RATE: &str = "conversions ledgered, end to end";
pub const COST: &str = "CPU seconds per 1,000 conversions";
pub const MEMORY: &str = "the pipeline's memory at its peak";

/// What the settings of the measured PostgreSQL are.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN \
    ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'server_version') \
    ORDER BY name";

/// What the day is to reach on one kind of log or the other.
struct Aims {
    seconds: f64,
    p99_ms: f64,
}

impl LogPlace {
    const fn aims(self) -> Aims {
        match self {
            Self::Embedded => Aims {
                seconds: 30.0,
                p99_ms: 40.0,
            },
            Self::Kafka => Aims {
                seconds: 45.0,
                p99_ms: 80.0,
            },
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Embedded => "embedded; a batch is synced before it is acknowledged",
            Self::Kafka => broker::SETTINGS,
        }
    }
}

pub async fn measure(
    plan: &Plan<'_>,
    place: LogPlace,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.set("conversions", &plan.conversions);
    findings.set("callers", &CALLERS);
    for repetition in 0..plan.repetitions {
        fastest(plan, place, findings, repetition).await?;
    }
    // The figures that the aim is about are those of the whole day.
    let seconds = 200_000.0 / findings.median(RATE);
    let name = "200,000 conversions ledgered, at that rate";
    findings.note(name, "s", seconds);
    findings.aim(name, Aim::AtMost(place.aims().seconds));
    findings.aim(MEMORY, Aim::AtMost(512.0));
    at_a_pace(plan, place, findings).await
}

/// The whole day as fast as it goes, on a product of its own.
pub async fn fastest(
    plan: &Plan<'_>,
    place: LogPlace,
    findings: &mut Findings,
    repetition: usize,
) -> anyhow::Result<()> {
    let mut product = Product::install_with(place).await?;
    product.start()?;
    note_settings(&product, place, findings).await?;
    let generator = Generator::new(product.address);
    let sales = plan.sales(plan.conversions);
    let (mut record, sending) = (Record::default(), Sending::Whole);
    let fastest = Fastest::measure(&product, &generator, sales, sending, &mut record).await?;
    fastest.note(findings);
    if repetition == 0 {
        let name = "postback answered, the day at its fastest";
        findings
            .distributions
            .push(Distribution::of(name, &fastest.latencies));
    }
    let evidence = product.evidence().await?;
    judge(&record, &evidence)
}

/// What so many sales came to, sent as fast as they were answered.
pub struct Fastest {
    pub conversions: f64,
    /// Until every request was answered.
    answered_seconds: f64,
    /// Until everything was ledgered.
    pub seconds: f64,
    requests: f64,
    pub usage: Usage,
    /// The broker's processor seconds, where the log is on one.
    broker_cpu_seconds: Option<f64>,
    latencies: Latencies,
}

impl Fastest {
    /// Warms a product up that was just started, and measures it. What was sent is added to the
    /// record.
    pub async fn measure(
        product: &Product,
        generator: &Generator,
        sales: Range<u64>,
        sending: Sending,
        record: &mut Record,
    ) -> anyhow::Result<Self> {
        check_analytics(product).await?;
        let pace = Pace::Saturating { callers: CALLERS };
        let warm_up = sales.end..sales.end + WARM_UP;
        let warm_up = generator.send(warm_up, pace, Sending::Whole).await?;
        record.merge(warm_up.record);
        until_ledgered(product, record).await?;

        let conversions = number(sales.end - sales.start);
        let watch = Watch::begin(product.pid()?);
        let broker = product.broker_pid().map(Watch::begin);
        let began = Instant::now();
        let sent = generator.send(sales, pace, sending).await?;
        let answered_seconds = sent.seconds;
        let requests = sent.record.click_micros.len() + sent.record.postback_micros.len();
        let latencies = Latencies::of(sent.record.postback_micros.iter().copied());
        record.merge(sent.record);
        until_ledgered(product, record).await?;
        Ok(Self {
            conversions,
            answered_seconds,
            seconds: began.elapsed().as_secs_f64(),
            requests: number(requests as u64),
            usage: watch.end(),
            broker_cpu_seconds: broker.map(|broker| broker.end().cpu_seconds_total()),
            latencies,
        })
    }

    /// Conversions ledgered in a second.
    pub fn per_second(&self) -> f64 {
        self.conversions / self.seconds
    }

    /// Processor seconds for 1,000 conversions.
    pub fn cost(&self) -> f64 {
        self.per_thousand(self.usage.cpu_seconds_total())
    }

    fn per_thousand(&self, seconds: f64) -> f64 {
        seconds / self.conversions * 1_000.0
    }

    fn note(&self, findings: &mut Findings) {
        findings.note(RATE, "/s", self.per_second());
        findings.note(
            "until every request was answered",
            "s",
            self.answered_seconds,
        );
        findings.note("until everything was ledgered", "s", self.seconds);
        let requests = self.requests / self.conversions;
        findings.note("requests per conversion", "", requests);
        findings.note(COST, "s", self.cost());
        for (part, name) in [
            (Part::Pipeline, "the pipeline"),
            (Part::Postgres, "PostgreSQL"),
            (Part::ClickHouse, "ClickHouse"),
        ] {
            let seconds = self.usage.cpu_seconds.get(&part).copied();
            let cost = self.per_thousand(seconds.unwrap_or_default());
            findings.note(&format!("{name}'s {COST}"), "s", cost);
            let name = format!("{name}'s memory at its peak");
            findings.note(&name, "MiB", self.usage.peak(part));
        }
        if let Some(seconds) = self.broker_cpu_seconds {
            let name = format!("the broker's {COST}, not among the others");
            findings.note(&name, "s", self.per_thousand(seconds));
        }
    }
}

/// The latency from when a postback was due until the ledger had it, at one rate after the other.
async fn at_a_pace(
    plan: &Plan<'_>,
    place: LogPlace,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut product = Product::install_with(place).await?;
    product.start()?;
    let generator = Generator::new(product.address);
    let highest = findings.median(RATE);
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
    let warm_up = first + sales..first + sales + WARM_UP;
    let warm_up = generator.send(warm_up, pace, Sending::Whole).await?;
    let clicks = generator.send(first..first + sales, pace, Sending::Clicks);
    let clicks = clicks.await?;
    let tokens = Arc::new(clicks.tokens);
    let mut record = warm_up.record;
    record.merge(clicks.record);
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
    let ledgered = looker::ledgered_at(&product, &evidence, &seen).await?;
    let mut points = Vec::new();
    for (name, rate, due) in sent_at {
        let latencies = looker::latencies(&due, &ledgered)?;
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
    let most = place.aims().p99_ms;
    for (name, most) in [
        ("1× real time", most),
        ("10× real time", most),
        ("20× real time", most),
        ("0.5 of the highest rate", 250.0),
    ] {
        let name = format!("postback to ledger at {name}: p99");
        findings.aim(&name, Aim::AtMost(most));
    }
    let name = "postback to ledger".to_owned();
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

async fn note_settings(
    product: &Product,
    place: LogPlace,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&product.database()).await?;
    for row in sqlx::query(SETTINGS).fetch_all(&mut connection).await? {
        let name: String = row.get(0);
        findings.set(&format!("PostgreSQL's {name}"), &row.get::<String, _>(1));
    }
    findings.set("log", &place.description());
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

pub fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
