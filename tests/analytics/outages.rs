//! ClickHouse down, slow, full, cut off or killed in the middle of inserts: analytics lag and say
//! so, and nothing is lost or doubled.

use std::time::{Duration, Instant};

use hissaback::embedded::Health;
use operations::audit::{AuditReport, Verdict, audit};
use prometheus::Registry;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use sinks::analytics::{AnalyticsSettings, migrate};

use crate::{
    events::{START, click},
    proxy::{Proxy, Weather},
    world::{PATIENCE, World},
};

/// A sink that reaches the engine through a proxy.
struct Following {
    registry: Registry,
    shutdown: CancellationToken,
    sink: JoinHandle<()>,
}

impl Following {
    fn start(world: &World, proxy: &Proxy, settings: AnalyticsSettings) -> Self {
        let registry = Registry::new();
        let shutdown = CancellationToken::new();
        let sink = world.sink_to(proxy.client(), &registry, settings);
        let stop = shutdown.clone();
        let sink = tokio::spawn(async move { sink.run(stop).await.expect("it goes on") });
        Self {
            registry,
            shutdown,
            sink,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.sink.await.expect("no panic");
    }

    /// The sum of a metric over its labels.
    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(prometheus::proto::MetricFamily::get_metric);
        metrics
            .unwrap_or_default()
            .iter()
            .map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value())
            .sum()
    }

    async fn wait_for_metric(&self, name: &str, reached: impl Fn(f64) -> bool) {
        let wait = async {
            while !reached(self.metric(name)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{name} is {}", self.metric(name)));
    }
}

const LAG: &str = "hissaback_analytics_lag_records";
const AGE: &str = "hissaback_analytics_lag_seconds";
const FAILURES: &str = "hissaback_analytics_insert_failures_total";

/// Appends clicks of one hour.
async fn append_clicks(world: &World, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let mut click = click(number);
        click.clicked_at = START.plus_millis(number % 3_600_000);
        world.append(number.to_string(), &click).await;
    }
}

/// Rows of clicks in the table itself, and how many clicks they are.
async fn rows_and_clicks(world: &World) -> (u64, u64) {
    let rows = world.count("SELECT count() FROM hissaback.clicks").await;
    let clicks = world
        .count("SELECT uniqExact(click_id) FROM hissaback.clicks")
        .await;
    (rows, clicks)
}

#[tokio::test]
async fn whatever_the_way_to_clickhouse_is_like_nothing_is_lost_or_doubled() {
    let world = World::start().await;
    migrate(&world.client()).await.expect("migrated");
    // So that a block that was inserted twice would be seen.
    world.stop_merges_of_clicks().await;
    let proxy = Proxy::start(world.socket()).await;
    let following = Following::start(&world, &proxy, World::impatient());
    let mut appended = 0;
    for weather in [
        Weather::Refused,
        Weather::DiskFull,
        Weather::RequestCut(300),
        Weather::RequestCut(20_000),
        Weather::AnswerLost,
        Weather::Slow(Duration::from_millis(50)),
    ] {
        proxy.set(weather);
        append_clicks(&world, appended + 1..appended + 401).await;
        appended += 400;
        if matches!(weather, Weather::Slow(_)) {
            tokio::time::sleep(Duration::from_millis(300)).await;
        } else {
            tokio::time::timeout(PATIENCE, proxy.wait_for_spoilt(3))
                .await
                .unwrap_or_else(|_| panic!("{weather:?} meets nobody"));
        }
        proxy.set(Weather::Fair);
        world.wait_until_complete().await;
        let expected = appended.unsigned_abs();
        assert_eq!(
            rows_and_clicks(&world).await,
            (expected, expected),
            "after {weather:?}"
        );
    }
    following.stop().await;
    world.stop().await;
}

/// The sink makes the tables once it has come up; an audit may come before it.
#[tokio::test]
async fn an_audit_before_clickhouse_has_its_tables_checks_the_rest() {
    let world = World::start().await;
    let audit = async || audit(&world.pool, Some(&world.client()), &*world.log).await;
    let agreement = |report: &AuditReport| {
        let mut findings = report.findings.iter();
        let finding = findings.find(|finding| finding.invariant.name == "analytics_agree");
        finding.expect("it is among them").verdict.clone()
    };
    let report = audit().await.expect("the ledger can be read");
    assert!(report.ok, "{report}");
    assert!(matches!(agreement(&report), Verdict::NotChecked { .. }));

    migrate(&world.client()).await.expect("migrated");
    let report = audit().await.expect("everything can be read");
    assert!(matches!(agreement(&report), Verdict::Ok));
    world.stop().await;
}

#[tokio::test]
async fn an_outage_is_told_as_lag_and_made_up_for() {
    const BEFORE: u32 = 1_000;
    const MEANWHILE: u32 = 40_000;
    let (before, all) = (i64::from(BEFORE), i64::from(BEFORE + MEANWHILE));
    let world = World::start().await;
    let proxy = Proxy::start(world.socket()).await;
    // Batches as they are in production.
    let settings = AnalyticsSettings {
        linger: AnalyticsSettings::default().linger,
        ..World::impatient()
    };
    let following = Following::start(&world, &proxy, settings);
    append_clicks(&world, 1..before + 1).await;
    world.wait_until_complete().await;

    proxy.set(Weather::DiskFull);
    append_clicks(&world, before + 1..all + 1).await;
    following
        .wait_for_metric(LAG, |lag| lag >= f64::from(MEANWHILE))
        .await;
    // A minute passes, and the lag is told in seconds, too.
    world.advance(Duration::from_mins(1));
    following.wait_for_metric(AGE, |age| age >= 60.0).await;
    following
        .wait_for_metric(FAILURES, |failures| failures > 2.0)
        .await;
    assert_eq!(world.totals().await.clicks, u64::from(BEFORE));

    proxy.set(Weather::Fair);
    let began = Instant::now();
    world.wait_until_complete().await;
    let took = began.elapsed();
    assert_eq!(world.totals().await.clicks, all.unsigned_abs());
    following.wait_for_metric(LAG, |lag| lag == 0.0).await;
    following.wait_for_metric(AGE, |age| age == 0.0).await;
    // 200,000 conversions a day come with about 40 clicks each: 93 records a second.
    let rate = f64::from(MEANWHILE) / took.as_secs_f64();
    println!(
        "caught up with {MEANWHILE} records in {took:.1?}: {rate:.0} a second, {:.0} times 93",
        rate / 93.0
    );
    following.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_killed_at_random_moments_of_inserts_loses_and_doubles_nothing() {
    const KILLS: i64 = 6;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start().await;
    let proxy = Proxy::start(world.socket()).await;
    let following = Following::start(&world, &proxy, World::impatient());
    let mut health = world.clickhouse.health();
    for kill in 0..KILLS {
        let Health::Ready { process_id } = *health.borrow_and_update() else {
            panic!("the engine isn't ready (seed {seed})");
        };
        // Appended, and hence inserted, until after the kill.
        let moment = Duration::from_millis(random.random_range(0..300));
        let appending = append_clicks(&world, kill * 1_000 + 1..kill * 1_000 + 1_001);
        let killing = async {
            tokio::time::sleep(moment).await;
            let pid = Pid::from_raw(process_id.cast_signed()).expect("a pid isn't zero");
            kill_process(pid, Signal::KILL).expect("kill");
        };
        tokio::join!(appending, killing);
        let successor = |state: &Health| match state {
            Health::Ready { process_id: found } => *found != process_id,
            Health::Starting | Health::Restarting { .. } | Health::Stopped => false,
        };
        tokio::time::timeout(PATIENCE, health.wait_for(successor))
            .await
            .unwrap_or_else(|_| panic!("the engine doesn't come back (seed {seed})"))
            .expect("the supervisor lives");
    }
    world.wait_until_complete().await;
    following.stop().await;
    let sum = world
        .count("SELECT toUInt64(sum(click_id)) FROM hissaback.v_clicks")
        .await;
    let clicks = (KILLS * 1_000).unsigned_abs();
    assert_eq!(world.totals().await.clicks, clicks, "seed {seed}");
    assert_eq!(sum, clicks * (clicks + 1) / 2, "seed {seed}");
    world.stop().await;
}
