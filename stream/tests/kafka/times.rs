//! Append times: the broker's own, or those of a clock that is set.

use std::{sync::Arc, time::Duration};

use schemas::{Timestamp, Topic};
use stream::{
    Clock, Log, ManualClock, NewRecord, Watermarks,
    kafka::{AppendTimes, KafkaLog, topics::TopicTimes},
    trim_older_than,
};

use crate::cluster::{self, append, read_all, record};

const TOPIC: Topic = Topic::Payouts;

fn in_partition(partition: i32) -> Vec<NewRecord> {
    vec![record("value").in_partition(partition)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_sets_append_times_and_finds_offsets_by_them() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    let found = async |at| log.offset_for_time(TOPIC, 1, at).await.unwrap();
    assert_eq!(found(Timestamp::from_millis(0)).await, None, "it is empty");
    for _ in 0..10 {
        append(&*log, TOPIC, in_partition(1)).await;
    }
    let records = read_all(&*log, TOPIC, 1).await;
    assert!(records.is_sorted_by_key(|record| record.appended_at));
    let first_since = |at: Timestamp| {
        records
            .iter()
            .find(|record| record.appended_at >= at)
            .map(|record| record.position.offset)
    };
    assert_eq!(found(Timestamp::from_millis(0)).await, Some(0));
    for record in &records {
        for millis in [-1, 0, 1] {
            let at = record.appended_at.plus_millis(millis);
            assert_eq!(found(at).await, first_since(at), "{at:?}");
        }
    }
    log.trim(TOPIC, 1, 7).await.unwrap();
    let start = records[0].appended_at;
    assert_eq!(found(start).await, Some(7), "only what is kept counts");
    log.trim(TOPIC, 1, 10).await.unwrap();
    assert_eq!(found(start).await, None);
}

async fn by_the_clock() -> (Arc<ManualClock>, Arc<KafkaLog>) {
    let settings = cluster::settings(cluster::shared().bootstrap());
    cluster::make_topics(&settings, TopicTimes::Producer).await;
    // Far from the broker's own time, in either direction.
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let times = AppendTimes::Clock(Arc::clone(&clock) as Arc<dyn Clock>);
    (clock, cluster::open(&settings, times).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_a_clock_never_decrease_within_a_partition() {
    let (clock, log) = by_the_clock().await;
    let start = clock.now();
    let steps = [0, 500, -400, 100, -10_000, 20_000, 200_000_000_000];
    for step in steps {
        clock.set(clock.now().plus_millis(step));
        append(&*log, TOPIC, in_partition(0)).await;
    }
    append(&*log, TOPIC, in_partition(1)).await;
    let times: Vec<i64> = read_all(&*log, TOPIC, 0)
        .await
        .iter()
        .map(|record| record.appended_at.millis_since(start))
        .collect();
    assert_eq!(times, [0, 500, 500, 500, 500, 10_200, 200_000_010_200]);
    let found = log.offset_for_time(TOPIC, 0, start.plus_millis(1)).await;
    assert_eq!(found.unwrap(), Some(1));
    let other = read_all(&*log, TOPIC, 1).await;
    assert_eq!(other[0].appended_at, clock.now());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_forgets_by_the_clock() {
    let (clock, log) = by_the_clock().await;
    let some = |partition, count| vec![record("old").in_partition(partition); count];
    append(&*log, TOPIC, [some(0, 5), some(1, 2)].concat()).await;
    clock.advance(Duration::from_mins(1));
    let kept_from = clock.now();
    append(&*log, TOPIC, some(0, 3)).await;
    let forgotten = trim_older_than(&*log, TOPIC, kept_from).await;
    assert_eq!(forgotten.unwrap(), 7);
    let watermarks = async |partition| log.watermarks(TOPIC, partition).await.unwrap();
    assert_eq!(watermarks(0).await, Watermarks { low: 5, high: 8 });
    assert_eq!(watermarks(1).await, Watermarks { low: 2, high: 2 });
    let again = trim_older_than(&*log, TOPIC, kept_from).await;
    assert_eq!(again.unwrap(), 0);
}
