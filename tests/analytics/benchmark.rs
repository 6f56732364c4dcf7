//! What the documented queries take over many events, and how fast an outage is made up for: into
//! docs/analytics.md.
//!
//! `make bench-analytics EVENTS=10000000`

use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use clickhouse::Client;
use operations::creator_analytics::{CreatorAnalytics, Period};
use prometheus::Registry;
use schemas::{TenantId, Timestamp};
use sinks::analytics::{AnalyticsSettings, aggregates};
use stream::ManualClock;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    documented::{DOCUMENT, Engine, queries, rows_of},
    events::{START, click},
    world::World,
};

const MANY_EVENTS: &str = include_str!("many_events.sql");
/// Of the events; the others are reports, claims' changes and payouts.
const CLICKS_PERCENT: u64 = 88;
/// How often each query is asked.
const RUNS: usize = 10;
/// How many records an outage leaves to be made up for.
const OUTAGE_RECORDS: u32 = 200_000;
/// What comes in a second with 200,000 conversions a day, each with about 40 clicks.
const INCOMING_PER_SECOND: f64 = 93.0;

const BEGIN: &str = "<!-- benchmark: begin -->\n";
const END: &str = "<!-- benchmark: end -->";

/// Times of one query, sorted.
struct Times(Vec<Duration>);

impl Times {
    async fn of<T>(mut ask: impl AsyncFnMut() -> T) -> Self {
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let began = Instant::now();
            ask().await;
            times.push(began.elapsed());
        }
        times.sort();
        Self(times)
    }

    fn cells(&self) -> String {
        let at = |share: usize| self.0[(self.0.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
        format!("{:.1} | {:.1}", at(50), at(95))
    }
}

fn events() -> u64 {
    let given = env::var("HISSABACK_BENCH_EVENTS").ok();
    given.map_or(10_000_000, |given| {
        given.parse().expect("a number of events")
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: make bench-analytics"]
async fn what_the_documented_queries_take() {
    let events = events();
    let engine = Engine::start().await;
    let client = engine.client();
    let filled = fill(&client, events).await;
    let began = Instant::now();
    aggregates::compute_everything(&client)
        .await
        .expect("aggregates");
    let computed = began.elapsed();
    let mut lines = vec![
        "| query | median, ms | p95, ms |".to_owned(),
        "|---|---:|---:|".to_owned(),
    ];
    for query in queries() {
        assert!(
            !rows_of(&client, &query.sql).await.is_empty(),
            "{}",
            query.title
        );
        let times = Times::of(async || rows_of(&client, &query.sql).await).await;
        lines.push(format!("| {} | {} |", query.title, times.cells()));
        println!("{}", lines[lines.len() - 1]);
    }
    let creator = TenantId::new(Uuid::from_u128(1));
    let clock = ManualClock::new(Timestamp::parse("2026-10-31T12:00:00Z").expect("a time"));
    let analytics = CreatorAnalytics::new(client.clone(), Arc::new(clock));
    let times = Times::of(async || {
        let summary = analytics.summary(creator, Period::default());
        summary.await.expect("a summary")
    })
    .await;
    lines.push(format!(
        "| `GET /v1/analytics/creator?period=30d` | {} |",
        times.cells()
    ));
    engine.stop().await;
    let rate = catch_up().await;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = format!(
        "Over {events} events ({filled} rows in the tables), with the embedded engine on {cores} \
         cores, each asked {RUNS} times,\nover October of 90 days; the benchmark itself writes \
         this (`make bench-analytics`).\nComputing every aggregate anew took {:.0} s. After an \
         outage the sink made up for {OUTAGE_RECORDS} clicks\nat {rate:.0} a second, {:.0} times \
         as fast as they come with 200,000 conversions a day\n(about {INCOMING_PER_SECOND} a \
         second), in a build without optimisation.\n\n{}\n",
        computed.as_secs_f64(),
        rate / INCOMING_PER_SECOND,
        lines.join("\n")
    );
    println!("{text}");
    if env::var_os("HISSABACK_BENCH_DOCUMENT").is_some() {
        let document = fs::read_to_string(DOCUMENT).expect("the document");
        let (before, rest) = document.split_once(BEGIN).expect("the mark");
        let (_, after) = rest.split_once(END).expect("the other mark");
        let whole = format!("{before}{BEGIN}{text}{END}{after}");
        fs::write(DOCUMENT, whole).expect("the document can be written");
    }
}

/// Fills the tables, and tells how many rows that makes.
async fn fill(client: &Client, events: u64) -> u64 {
    let clicks = events * CLICKS_PERCENT / 100;
    for statement in MANY_EVENTS.split(";\n") {
        let done = client.query(statement).param("clicks", clicks).execute();
        done.await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    client
        .query(
            "SELECT sum(ifNull(total_rows, 0)) FROM system.tables
             WHERE database = 'hissaback'",
        )
        .fetch_one()
        .await
        .expect("rows")
}

/// Records a second from a log that grew while ClickHouse was away.
async fn catch_up() -> f64 {
    let world = World::start().await;
    for number in 1..=i64::from(OUTAGE_RECORDS) {
        let mut click = click(number);
        click.clicked_at = START.plus_millis(number * 18);
        world.append(number.to_string(), &click).await;
    }
    let shutdown = CancellationToken::new();
    let settings = AnalyticsSettings::default();
    let sink = world.sink_to(world.client(), &Registry::new(), settings);
    let began = Instant::now();
    let sink = tokio::spawn(sink.run(shutdown.clone()));
    world.wait_until_complete().await;
    let took = began.elapsed();
    shutdown.cancel();
    sink.await.expect("no panic").expect("stopped");
    world.stop().await;
    f64::from(OUTAGE_RECORDS) / took.as_secs_f64()
}
