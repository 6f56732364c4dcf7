//! The faults that other crates' tests rely on happen, as often as asked for, and are told
//! truthfully.

use std::{sync::Arc, time::Duration};

use schemas::{Timestamp, Topic};
use stream::{
    AppendError, Faults, FaultyLog, GroupConsumer, GroupEvent, GroupSettings, Health, InMemoryLog,
    Limits, Log, ManualClock, NewRecord, Refusal,
};

const TOPIC: Topic = Topic::DeadLetters;

fn faulty() -> (FaultyLog<Arc<InMemoryLog>>, Arc<Faults>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let log = FaultyLog::new(InMemoryLog::new(clock, Limits::default()));
    let faults = log.faults();
    (log, faults)
}

async fn append(log: &dyn Log, count: usize) -> Result<usize, AppendError> {
    let record = NewRecord::new("key", "value").in_partition(0);
    log.append(TOPIC, vec![record; count])
        .await
        .map(|positions| positions.len())
}

async fn written(log: &dyn Log) -> i64 {
    log.watermarks(TOPIC, 0).await.unwrap().high
}

/// The offsets of the next records, or none.
async fn next_offsets(consumer: &mut Box<dyn GroupConsumer>) -> Vec<i64> {
    loop {
        match consumer.next(100, Duration::ZERO).await.unwrap() {
            GroupEvent::Records(records) => {
                return records
                    .iter()
                    .map(|record| record.position.offset)
                    .collect();
            }
            GroupEvent::Idle => return Vec::new(),
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) => {}
        }
    }
}

#[tokio::test]
async fn a_refused_append_writes_nothing() {
    let (log, faults) = faulty();
    faults.refuse_appends(2);
    for _ in 0..2 {
        let refused = append(&log, 1).await;
        assert!(
            matches!(
                refused,
                Err(AppendError::Determinate(Refusal::Unavailable(_)))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(written(&log).await, 0);
    assert_eq!(append(&log, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_lost_acknowledgement_hides_a_write() {
    let (log, faults) = faulty();
    faults.lose_acknowledgements(1);
    let lost = append(&log, 3).await;
    assert!(
        matches!(lost, Err(AppendError::Indeterminate(_))),
        "{lost:?}"
    );
    assert_eq!(written(&log).await, 3);
    assert_eq!(append(&log, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn records_come_twice_when_told() {
    let (log, faults) = faulty();
    append(&log, 2).await.unwrap();
    let mut consumer = log
        .join("group", &[TOPIC], GroupSettings::default())
        .await
        .unwrap();
    faults.repeat_records(1);
    assert_eq!(next_offsets(&mut consumer).await, [0, 1]);
    assert_eq!(next_offsets(&mut consumer).await, [0, 1]);
    assert!(next_offsets(&mut consumer).await.is_empty());
}

#[tokio::test]
async fn consumers_go_back_to_what_they_committed() {
    let (log, faults) = faulty();
    append(&log, 5).await.unwrap();
    let mut consumer = log
        .join("group", &[TOPIC], GroupSettings::default())
        .await
        .unwrap();
    assert_eq!(next_offsets(&mut consumer).await, [0, 1, 2, 3, 4]);
    faults.rewind_consumers();
    assert_eq!(
        next_offsets(&mut consumer).await,
        [0, 1, 2, 3, 4],
        "nothing was committed"
    );
    consumer.commit(TOPIC, 0, 3).await.unwrap();
    faults.fail_commits(1);
    assert!(consumer.commit(TOPIC, 0, 5).await.is_err());
    faults.rewind_consumers();
    assert_eq!(next_offsets(&mut consumer).await, [3, 4]);
    assert!(next_offsets(&mut consumer).await.is_empty());
}

#[tokio::test]
async fn an_unreachable_log_does_nothing_until_it_is_back() {
    let (log, faults) = faulty();
    let mut consumer = log
        .join("group", &[TOPIC], GroupSettings::default())
        .await
        .unwrap();
    faults.set_unreachable(true);
    assert!(
        append(&log, 1)
            .await
            .unwrap_err()
            .refusal()
            .unwrap()
            .temporary()
    );
    assert!(log.read(TOPIC, 0, 0, 1).await.is_err());
    assert!(consumer.next(1, Duration::ZERO).await.is_err());
    assert!(matches!(log.health(), Health::Unavailable { .. }));
    faults.set_unreachable(false);
    assert_eq!(log.health(), Health::Ready);
    assert_eq!(append(&log, 1).await.unwrap(), 1);
    assert_eq!(next_offsets(&mut consumer).await, [0]);
}
