//! What the brokers refuse, and what that means for an append.

use schemas::Topic;
use stream::{
    AppendError, GroupEvent, GroupSettings, Health, Limits, Log, LogError, NewRecord, Refusal,
    Watermarks,
    kafka::{AppendTimes, Fault, KafkaSettings, topics, topics::TopicTimes},
};
use tokio::time::{Duration, timeout};

use crate::cluster::{self, append, record, until};

/// Bytes that don't compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_brokers_limit_is_refused_for_certain() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    // Topics that take less than this log's limits allow.
    let small = KafkaSettings {
        limits: Limits {
            record_bytes_max: 64 * 1024,
            ..Limits::default()
        },
        ..settings.clone()
    };
    cluster::make_topics(&small, TopicTimes::Broker).await;
    let log = cluster::open(&settings, AppendTimes::Broker).await;
    let large = || NewRecord::new("key", noise(500_000)).in_partition(0);
    match log.append(Topic::Commands, vec![large()]).await {
        Err(AppendError::Determinate(
            refusal @ Refusal::RecordTooLarge {
                index: 0,
                bytes: 500_003,
                bytes_max,
            },
        )) => {
            assert!(bytes_max < 500_000, "{bytes_max}");
            assert!(!refusal.temporary());
        }
        other => panic!("{other:?}"),
    }
    let watermarks = log.watermarks(Topic::Commands, 0).await.unwrap();
    assert_eq!(watermarks, Watermarks { low: 0, high: 0 });

    // In another partition than a good one: that may be there, so nothing is certain.
    let batch = vec![record("good").in_partition(1), large()];
    let mixed = log.append(Topic::Commands, batch).await.unwrap_err();
    assert!(matches!(mixed, AppendError::Indeterminate(_)), "{mixed:?}");
    // And the producer goes on.
    let positions = append(&*log, Topic::Commands, vec![record("next").in_partition(0)]).await;
    assert_eq!(positions[0].offset, 0);
    assert_eq!(log.health(), Health::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_at_the_limit_is_taken() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    let largest = NewRecord::new("", noise(settings.limits.record_bytes_max)).in_partition(0);
    append(&*log, Topic::Commands, vec![largest.clone()]).await;
    let read = log.read(Topic::Commands, 0, 0, 10).await.unwrap();
    assert!(read[0].value == largest.value, "it came back otherwise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_our_feet_is_a_state_and_passes() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    append(&*log, Topic::Clicks, vec![record(0).in_partition(0); 5]).await;
    let mut consumer = log
        .join("group", &[Topic::Clicks], GroupSettings::default())
        .await
        .unwrap();
    let mut read = 0;
    while read < 5 {
        match consumer
            .next(100, Duration::from_millis(200))
            .await
            .unwrap()
        {
            GroupEvent::Records(records) => read += records.len(),
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) | GroupEvent::Idle => {}
        }
    }
    consumer.commit(Topic::Clicks, 0, 5).await.unwrap();

    topics::delete_all(&settings).await.unwrap();
    until("the log is unavailable", async || {
        matches!(log.health(), Health::Unavailable { reason } if reason.contains("clicks"))
    })
    .await;
    let refused = log
        .append(Topic::Clicks, vec![record(1)])
        .await
        .unwrap_err();
    match refused.refusal() {
        Some(refusal @ Refusal::Unavailable(error)) => {
            assert!(matches!(
                error.kafka_fault(),
                Some(Fault::TopicMissing { .. })
            ));
            assert!(refusal.temporary());
        }
        other => panic!("{other:?}"),
    }

    // Somebody makes it again: another log, which is shorter than what the group has read.
    cluster::make_topics(&settings, TopicTimes::Broker).await;
    until("the log is ready", async || log.health() == Health::Ready).await;
    let mut appended = Vec::new();
    until("the producer goes on", async || {
        match log
            .append(Topic::Clicks, vec![record(2).in_partition(0)])
            .await
        {
            Ok(positions) => appended.extend(positions),
            Err(error) => println!("not yet: {error}"),
        }
        !appended.is_empty()
    })
    .await;
    drop(consumer);
    let mut consumer = log
        .join("group", &[Topic::Clicks], GroupSettings::default())
        .await
        .unwrap();
    // Kafka may forget the offsets committed for a topic that it deletes; where it does not, the
    // group must not start in the middle of another log.
    let committed = log.committed("group", Topic::Clicks, 0).await.unwrap();
    let outcome = timeout(cluster::READY_WITHIN, async {
        loop {
            match consumer.next(100, Duration::from_millis(200)).await {
                Ok(GroupEvent::Records(records)) => return Ok(records[0].position.offset),
                Ok(_) => {}
                Err(error) if error.kafka_fault().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    })
    .await
    .expect("something happens");
    match (committed, outcome) {
        (None, Ok(0)) | (Some(5), Err(LogError::PositionBeyondEnd { offset: 5, .. })) => {}
        other => panic!("{other:?}"),
    }
}
