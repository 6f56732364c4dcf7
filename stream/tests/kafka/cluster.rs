//! Logs in a broker, each with topics of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use schemas::{Position, Topic};
use stream::{
    Log, NewRecord, Record,
    broker::{BrokerOptions, KafkaBroker},
    kafka::{
        AppendTimes, KafkaLog, KafkaSettings,
        topics::{self, TopicSettings, TopicTimes},
    },
};

/// A broker on two busy cores takes its time.
pub const READY_WITHIN: Duration = Duration::from_mins(1);

/// And whatever else is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

/// The broker that these tests share.
pub fn shared() -> &'static KafkaBroker {
    KafkaBroker::shared().unwrap_or_else(|error| panic!("{error}"))
}

/// A broker for one test.
pub fn own(options: BrokerOptions) -> KafkaBroker {
    KafkaBroker::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Settings with a topic prefix that nobody else has.
pub fn settings(bootstrap: impl Into<String>) -> KafkaSettings {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    let mut settings = KafkaSettings::new(bootstrap);
    let log = LOGS.fetch_add(1, Ordering::Relaxed);
    settings.topic_prefix = format!("test-{}-{log}-", std::process::id());
    // A broker that shares two cores with a build may take its time. Nothing waits for these but
    // what is lost; a test of that sets its own.
    settings.delivery_timeout = Duration::from_secs(40);
    settings.request_timeout = Duration::from_secs(30);
    settings.session_timeout = Duration::from_secs(6);
    settings
}

/// Topics for a single broker.
pub fn single(times: TopicTimes) -> TopicSettings {
    TopicSettings {
        replication_factor: 1,
        min_insync_replicas: 1,
        times,
        ..TopicSettings::default()
    }
}

/// A log that is ready, in new topics.
pub async fn fresh(settings: &KafkaSettings) -> Arc<KafkaLog> {
    make_topics(settings, TopicTimes::Broker).await;
    open(settings, AppendTimes::Broker).await
}

pub async fn make_topics(settings: &KafkaSettings, times: TopicTimes) {
    let report = topics::ensure(settings, &single(times))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(report.as_expected(), "{report:?}");
}

/// A log in topics that are there.
pub async fn open(settings: &KafkaSettings, times: AppendTimes) -> Arc<KafkaLog> {
    let log = KafkaLog::connect(settings.clone(), times).unwrap_or_else(|error| panic!("{error}"));
    log.ready(READY_WITHIN)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    log
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "numbers and strings as they are at the call"
)]
pub fn record(value: impl ToString) -> NewRecord {
    NewRecord::new("key", value.to_string())
}

/// A record in each partition.
pub fn one_each(topic: Topic, value: usize) -> Vec<NewRecord> {
    (0..topic.partitions())
        .map(|partition| record(value).in_partition(partition))
        .collect()
}

pub async fn append(log: &dyn Log, topic: Topic, records: Vec<NewRecord>) -> Vec<Position> {
    log.append(topic, records)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Everything in a partition.
pub async fn read_all(log: &dyn Log, topic: Topic, partition: i32) -> Vec<Record> {
    let watermarks = log
        .watermarks(topic, partition)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut records: Vec<Record> = Vec::new();
    let mut offset = watermarks.low;
    while offset < watermarks.high {
        let read = log
            .read(topic, partition, offset, 1_000)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        offset = read.last().expect("there is more").position.offset + 1;
        records.extend(read);
    }
    records
}

/// Waits until `done`; a test that hangs here would have failed.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(
            started.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
