//! A log with faults on demand, clicks that may be out of reach, and stages that run on them.
//! Time is paused: waits cost nothing, and nothing rests on how long anything takes.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use processors::{
    rules::{attribution::LookedUp, decide::decide},
    stage::{
        ClickLookup, GROUP, InMemoryClicks, LookupError, Stage, StageError, StageMetrics,
        StageSettings,
    },
};
use prometheus::{Registry, proto::MetricFamily};
use schemas::{
    ClickId, EventId, Position, Topic, codec,
    events::{ClickFacts, ConversionReported, Decision},
};
use stream::{Faults, FaultyLog, InMemoryLog, Limits, Log, ManualClock, NewRecord, Record};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::*;

/// Clicks that may be out of reach, as a database is.
#[derive(Default)]
pub struct Clicks {
    pub known: InMemoryClicks,
    pub unreachable: AtomicBool,
    pub queries: AtomicUsize,
}

#[async_trait]
impl ClickLookup for Clicks {
    async fn clicks(&self, ids: &[ClickId]) -> Result<HashMap<ClickId, ClickFacts>, LookupError> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(LookupError::new("the database is down"));
        }
        self.known.clicks(ids).await
    }
}

pub struct Harness {
    /// As the test sees it: without faults.
    pub log: Arc<InMemoryLog>,
    pub faults: Arc<Faults>,
    pub clicks: Arc<Clicks>,
    pub registry: Registry,
    pub stage: Stage,
}

/// A stage at work.
pub struct Running {
    pub shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), StageError>>,
}

impl Running {
    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) -> Result<(), StageError> {
        self.shutdown.cancel();
        self.task.await.expect("the stage doesn't panic")
    }

    /// Ends it where it stands.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err(), "the stage had ended before");
    }
}

impl Harness {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(CHANGE));
        let log = InMemoryLog::new(clock.clone(), limits);
        let faulty = FaultyLog::new(log.clone());
        let (faults, registry) = (faulty.faults(), Registry::new());
        let clicks = Arc::new(Clicks::default());
        let stage = Stage {
            log: Arc::new(faulty),
            clicks: clicks.clone(),
            reference: Arc::new(ArcSwap::from_pointee(reference())),
            token_keys: keys(),
            clock,
            metrics: StageMetrics::register(&registry).expect("a new registry"),
            settings: StageSettings {
                records_max: 7,
                ..StageSettings::default()
            },
        };
        Self {
            log,
            faults,
            clicks,
            registry,
            stage,
        }
    }

    pub fn start(&self) -> Running {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(self.stage.clone().run(shutdown.clone()));
        Running { shutdown, task }
    }

    /// Appends reports about the clicks of this range: tokens, bare ids known and unknown, and
    /// references that are none.
    pub async fn report_clicks(&self, click_ids: std::ops::Range<i64>) {
        for id in click_ids {
            let mut reported = match id % 4 {
                0 => report(sealed(&token(id))),
                1 | 2 => report(id.to_string()),
                _ => report(format!("reference {id}")),
            };
            if id % 4 == 1 {
                self.clicks.known.record(click(id));
            }
            reported.event_id = EventId::new(id);
            self.append(&reported, id).await;
        }
    }

    pub async fn append(&self, report: &ConversionReported, key: i64) -> Position {
        let value = codec::encode(report).expect("a report fits its schema");
        self.append_raw(NewRecord::new(key.to_string(), value))
            .await
    }

    pub async fn append_raw(&self, record: NewRecord) -> Position {
        let positions = self.log.append(Topic::Conversions, vec![record]).await;
        positions.expect("the log takes it")[0]
    }

    /// Waits until everything in `conversions` is committed.
    pub async fn caught_up(&self) {
        for _ in 0..100_000 {
            if self.lag().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the stage doesn't catch up");
    }

    /// How many records of `conversions` are not committed.
    pub async fn lag(&self) -> i64 {
        let mut lag = 0;
        for partition in 0..Topic::Conversions.partitions() {
            let high = self.log.watermarks(Topic::Conversions, partition).await;
            let committed = self
                .log
                .committed(GROUP, Topic::Conversions, partition)
                .await;
            lag += high.expect("readable").high - committed.expect("readable").unwrap_or(0);
        }
        lag
    }

    pub async fn records(&self, topic: Topic) -> Vec<Record> {
        let mut records = Vec::new();
        for partition in 0..topic.partitions() {
            let read = self.log.read(topic, partition, 0, usize::MAX).await;
            records.extend(read.expect("readable"));
        }
        records
    }

    /// The first decision for each position, after checking that each stands in its source's
    /// partition under its key, and that the first ones keep the order of their sources.
    pub async fn first_decisions(&self) -> BTreeMap<Position, Decision> {
        let keys: BTreeMap<Position, Bytes> = self
            .records(Topic::Conversions)
            .await
            .into_iter()
            .map(|record| (record.position, record.key))
            .collect();
        let mut first: BTreeMap<Position, Decision> = BTreeMap::new();
        let mut newest = BTreeMap::new();
        for record in self.records(Topic::Decisions).await {
            let decision: Decision = codec::decode(&record.value).expect("a decision");
            let source = decision.source;
            assert_eq!(record.position.partition, source.partition);
            assert_eq!(Some(&record.key), keys.get(&source));
            if let Entry::Vacant(entry) = first.entry(source) {
                let before = newest.insert(source.partition, source.offset);
                let in_order = before < Some(source.offset);
                assert!(in_order, "{source} is decided out of order");
                entry.insert(decision);
            }
        }
        first
    }

    /// What the rules say to every record of `conversions`, asked one by one.
    pub async fn expected_decisions(&self) -> BTreeMap<Position, Decision> {
        let mut expected = BTreeMap::new();
        for Record {
            position,
            appended_at,
            value,
            ..
        } in self.records(Topic::Conversions).await
        {
            let report: ConversionReported = codec::decode(&value).expect("a report");
            let bare = report
                .reported
                .as_ref()
                .and_then(|reported| reported.click_ref.parse().ok());
            let known = bare.filter(|id: &ClickId| id.get() % 4 == 1);
            let looked_up = known.map_or(LookedUp::Nothing, |id| LookedUp::Click(click(id.get())));
            let decision = decide(
                position,
                appended_at,
                &report,
                looked_up,
                &reference(),
                &keys(),
            );
            expected.insert(position, decision);
        }
        expected
    }

    /// The value of one of the stage's counters.
    pub fn counted(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name().ends_with(name));
        let metrics = family.map(MetricFamily::get_metric).unwrap_or_default();
        let metric = metrics
            .iter()
            .find(|metric| metric.get_label().iter().any(|pair| pair.value() == label));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of a test's records"
        )]
        metric.map_or(0, |metric| metric.get_counter().get_value() as u64)
    }
}
