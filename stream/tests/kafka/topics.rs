//! Topics are made once, compared, and never altered.

use std::time::Duration;

use schemas::Topic;
use stream::{
    Health, Log,
    kafka::{
        AppendTimes, Fault, KafkaLog,
        topics::{self, TopicSettings, TopicTimes},
    },
};

use crate::cluster::{self, until};

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_once_and_differences_are_only_reported() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let wanted = cluster::single(TopicTimes::Broker);
    let names: Vec<String> = Topic::ALL
        .map(|topic| settings.topic_name(topic))
        .into_iter()
        .collect();

    let before = topics::inspect(&settings, &wanted).await.unwrap();
    assert_eq!(before.missing, names);
    let first = topics::ensure(&settings, &wanted).await.unwrap();
    let mut created = first.created.clone();
    created.sort();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(created, sorted);
    assert!(first.as_expected(), "{first:?}");
    let again = topics::ensure(&settings, &wanted).await.unwrap();
    assert_eq!((again.created.len(), again.unchanged), (0, names.clone()));

    let other = TopicSettings {
        retention: Duration::from_hours(1),
        replication_factor: 2,
        ..wanted.clone()
    };
    let report = topics::ensure(&settings, &other).await.unwrap();
    assert!(!report.as_expected());
    assert_eq!(report.created.len(), 0);
    let told: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
    let ledger = settings.topic_name(Topic::Ledger);
    for line in [
        format!("topic {ledger}: replication.factor is 1 instead of 2"),
        format!("topic {ledger}: retention.ms is 220752000000 instead of 3600000"),
    ] {
        assert!(told.contains(&line), "{line} in {told:?}");
    }
    let clicks = settings.topic_name(Topic::Clicks);
    assert!(
        !told.contains(&format!("topic {clicks}: retention.ms")),
        "clicks have a term of their own"
    );
    let untouched = topics::inspect(&settings, &wanted).await.unwrap();
    assert_eq!(untouched.unchanged, names, "nothing was altered");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_topics_a_log_says_what_to_do() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = KafkaLog::connect(settings.clone(), AppendTimes::Broker).unwrap();
    let error = log.ready(cluster::READY_WITHIN).await.unwrap_err();
    assert!(
        matches!(error.kafka_fault(), Some(Fault::TopicMissing { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("hissaback migrate"), "{error}");
    assert!(!error.temporary());
    assert!(matches!(log.health(), Health::Unavailable { .. }));

    // It doesn't need a restart once they are there.
    cluster::make_topics(&settings, TopicTimes::Broker).await;
    until("the log is ready", async || log.health() == Health::Ready).await;
    cluster::append(&*log, Topic::Clicks, vec![cluster::record("value")]).await;
}
