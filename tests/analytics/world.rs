//! A log, the real engines, and sinks between them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clickhouse::Client;
use hissaback::embedded::{
    ClickHouseOptions, DataDirectory, EmbeddedClickHouse, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER},
};
use prometheus::Registry;
use schemas::{
    Position, Timestamp, Topic,
    codec::{self, Event},
    events::{LedgerChanged, PayoutRequested, PayoutResult},
};
use sinks::{
    analytics::{
        AnalyticsMetrics, AnalyticsSettings, AnalyticsSink,
        completeness::{self, ClickHouseTotals},
    },
    ledger::database,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use stream::{Clock, InMemoryLog, Limits, Log, ManualClock, NewRecord, Partition};
use tokio_util::sync::CancellationToken;

use crate::events::{START, click};

/// How long anything here may take before it counts as hung.
pub const PATIENCE: Duration = Duration::from_mins(2);
const FOLLOWED: [Topic; 5] = [
    Topic::Clicks,
    Topic::Decisions,
    Topic::Ledger,
    Topic::Payouts,
    Topic::PayoutResults,
];

pub struct World {
    pub log: Arc<InMemoryLog>,
    pub clock: Arc<ManualClock>,
    pub pool: PgPool,
    pub clickhouse: EmbeddedClickHouse,
    postgres: EmbeddedPostgres,
    pub data: DataDirectory,
    root: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        let data = DataDirectory::open(root.path()).expect("open");
        let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default())
            .await
            .expect("PostgreSQL starts (`make setup` installs it)");
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_with(postgres.connect_options(OWNER, DATABASE))
            .await
            .expect("connect as the owner");
        database::migrate(postgres.connect_options(OWNER, DATABASE))
            .await
            .expect("migrated");
        let options = ClickHouseOptions {
            program: Some(env!("CARGO_BIN_EXE_hissaback").into()),
            ..ClickHouseOptions::default()
        };
        let clickhouse = EmbeddedClickHouse::start(&data, options)
            .await
            .expect("the engine starts (`make setup` fetches its library)");
        let clock = Arc::new(ManualClock::new(START));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        Self {
            log,
            clock,
            pool,
            clickhouse,
            postgres,
            data,
            root,
        }
    }

    pub async fn stop(self) {
        self.stop_and_keep().await;
    }

    /// Stops, and leaves the data until what is returned is dropped.
    pub async fn stop_and_keep(self) -> tempfile::TempDir {
        self.pool.close().await;
        self.clickhouse.stop().await.expect("the engine stops");
        self.postgres.stop().await.expect("PostgreSQL stops");
        self.root
    }

    /// Where the engine listens.
    pub fn socket(&self) -> PathBuf {
        self.data.path().join("run/clickhouse/engine.sock")
    }

    pub fn client(&self) -> Client {
        self.clickhouse.client()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub async fn append<E: Event>(&self, key: String, event: &E) -> Position {
        self.append_bytes(
            E::TOPIC,
            key,
            codec::encode(event).expect("it fits its schema"),
        )
        .await
    }

    pub async fn append_bytes(&self, topic: Topic, key: String, value: Vec<u8>) -> Position {
        self.log
            .append(topic, vec![NewRecord::new(key, value)])
            .await
            .expect("appended")[0]
    }

    pub fn sink(&self, registry: &Registry) -> AnalyticsSink {
        self.sink_to(self.client(), registry, Self::impatient())
    }

    /// A sink into the ClickHouse of a client.
    pub fn sink_to(
        &self,
        client: Client,
        registry: &Registry,
        settings: AnalyticsSettings,
    ) -> AnalyticsSink {
        AnalyticsSink::new(
            self.log.clone(),
            self.clock.clone(),
            client,
            self.pool.clone(),
            AnalyticsMetrics::register(registry).expect("a fresh registry"),
            settings,
        )
    }

    /// What doesn't keep tests waiting.
    pub fn impatient() -> AnalyticsSettings {
        AnalyticsSettings {
            linger: Duration::from_millis(20),
            aggregate_interval: Duration::from_millis(50),
            aggregate_interval_behind: Duration::from_secs(5),
            progress_interval: Duration::from_millis(200),
            back_off_min: Duration::from_millis(10),
            back_off_max: Duration::from_millis(200),
            ..AnalyticsSettings::default()
        }
    }

    pub async fn ends(&self) -> BTreeMap<Partition, i64> {
        let mut ends = BTreeMap::new();
        for topic in FOLLOWED {
            for partition in 0..topic.partitions() {
                let watermarks = self
                    .log
                    .watermarks(topic, partition)
                    .await
                    .expect("watermarks");
                ends.insert((topic, partition), watermarks.high);
            }
        }
        ends
    }

    /// Waits until everything that the log has now is in ClickHouse and its aggregates, by its own
    /// account and by the sink's.
    pub async fn wait_until_complete(&self) {
        let ends = self.ends().await;
        let client = self.client();
        let complete = async {
            loop {
                // The schema may not be there yet, or the engine not back.
                let stored = completeness::complete_up_to(&client).await;
                let stored = stored.is_ok_and(|stored| completeness::covers(&stored, &ends));
                let aggregated = completeness::aggregates_complete_up_to(&client).await;
                let aggregated =
                    aggregated.is_ok_and(|reached| completeness::covers(&reached, &ends));
                if stored && aggregated && self.kept_up_to(&ends).await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, complete)
            .await
            .expect("analytics catches up");
    }

    /// Whether the sink's positions have reached the ends, and no batch is open.
    pub async fn kept_up_to(&self, ends: &BTreeMap<Partition, i64>) -> bool {
        let query = "SELECT next_offset FROM analytics_positions
            WHERE topic = $1 AND partition = $2 AND pending_last_offset IS NULL";
        for ((topic, partition), end) in ends {
            let next_offset: Option<i64> = sqlx::query_scalar(query)
                .bind(topic.name())
                .bind(partition)
                .fetch_optional(&self.pool)
                .await
                .expect("positions");
            if *end > 0 && next_offset != Some(*end) {
                return false;
            }
        }
        true
    }

    pub async fn stop_merges_of_clicks(&self) {
        self.client()
            .query("SYSTEM STOP MERGES hissaback.clicks")
            .execute()
            .await
            .expect("merges stop");
    }

    /// Runs a fresh sink until everything is in, and stops it.
    pub async fn catch_up(&self) -> ClickHouseTotals {
        let shutdown = CancellationToken::new();
        let sink = tokio::spawn(self.sink(&Registry::new()).run(shutdown.clone()));
        self.wait_until_complete().await;
        shutdown.cancel();
        sink.await
            .expect("no panic")
            .expect("it stops in an orderly way");
        self.totals().await
    }

    pub async fn totals(&self) -> ClickHouseTotals {
        completeness::totals(&self.client()).await.expect("totals")
    }

    pub async fn count(&self, query: &str) -> u64 {
        self.client().query(query).fetch_one().await.expect(query)
    }
}

pub async fn append_clicks(world: &World, numbers: std::ops::Range<i64>) {
    for number in numbers {
        world.append(number.to_string(), &click(number)).await;
    }
}

pub async fn append_claim(world: &World, change: &LedgerChanged) {
    world.append(change.click_id.to_string(), change).await;
}

pub async fn append_payout(world: &World, request: &PayoutRequested) {
    world.append(request.payout_id.to_string(), request).await;
}

pub async fn append_step(world: &World, result: &PayoutResult) {
    world.append(result.payout_id.to_string(), result).await;
}
