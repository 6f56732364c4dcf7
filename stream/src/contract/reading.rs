//! Reading without a group: bounds, times, trimming.

use std::time::Duration;

use schemas::{Timestamp, Topic};

use super::{Subject, append, offsets, read_all, run_of, values};
use crate::{
    admission::Limits, clock::Clock, error::LogError, log::Watermarks, retention::trim_older_than,
};

pub(super) async fn slices_of_a_partition_join_up(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let written = run_of(4, 23);
    append(&*log, Topic::Decisions, written.clone()).await;
    let mut joined = Vec::new();
    loop {
        let offset = i64::try_from(joined.len()).expect("few records");
        let slice = log
            .read(Topic::Decisions, 4, offset, 5)
            .await
            .expect("within the log");
        if slice.is_empty() {
            break;
        }
        assert!(slice.len() <= 5);
        joined.extend(slice);
    }
    assert_eq!(
        values(&joined),
        written.into_iter().map(|new| new.value).collect::<Vec<_>>()
    );
    assert_eq!(offsets(&joined), (0..23).collect::<Vec<_>>());
}

pub(super) async fn a_read_stays_within_the_log(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Decisions, run_of(0, 10)).await;
    log.trim(Topic::Decisions, 0, 4)
        .await
        .expect("within the log");
    assert_eq!(
        log.read(Topic::Decisions, 0, 10, 5)
            .await
            .expect("the end is fine"),
        []
    );
    for offset in [11, i64::MAX] {
        match log.read(Topic::Decisions, 0, offset, 5).await {
            Err(LogError::PositionBeyondEnd { end: 10, .. }) => {}
            other => panic!("{offset}: {other:?}"),
        }
    }
    for offset in [3, 0, -1] {
        match log.read(Topic::Decisions, 0, offset, 5).await {
            Err(LogError::PositionBeforeStart { start: 4, .. }) => {}
            other => panic!("{offset}: {other:?}"),
        }
    }
}

pub(super) async fn watermarks_follow_appends_and_trims(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let watermarks = async || log.watermarks(Topic::Ledger, 5).await.expect("it exists");
    assert_eq!(watermarks().await, Watermarks { low: 0, high: 0 });
    append(&*log, Topic::Ledger, run_of(5, 10)).await;
    assert_eq!(watermarks().await, Watermarks { low: 0, high: 10 });
    assert_eq!(
        log.trim(Topic::Ledger, 5, 6).await.expect("within the log"),
        6
    );
    assert_eq!(watermarks().await, Watermarks { low: 6, high: 10 });
    assert_eq!(
        offsets(&read_all(&*log, Topic::Ledger, 5).await),
        [6, 7, 8, 9]
    );
    assert_eq!(
        log.trim(Topic::Ledger, 5, 2)
            .await
            .expect("below the start is fine"),
        6
    );
    assert!(log.trim(Topic::Ledger, 5, 11).await.is_err());
    // Everything may go; offsets are not used again.
    assert_eq!(
        log.trim(Topic::Ledger, 5, 10)
            .await
            .expect("the end is fine"),
        10
    );
    assert_eq!(watermarks().await, Watermarks { low: 10, high: 10 });
    let positions = append(&*log, Topic::Ledger, run_of(5, 1)).await;
    assert_eq!(positions[0].offset, 10);
    // The neighbours are untouched.
    for partition in [4, 6] {
        let other = log
            .watermarks(Topic::Ledger, partition)
            .await
            .expect("it exists");
        assert_eq!(other, Watermarks { low: 0, high: 0 });
    }
}

pub(super) async fn an_offset_is_found_by_time(subject: &dyn Subject) {
    let Some(clock) = subject.clock() else { return };
    let log = subject.fresh(Limits::default()).await;
    let found = async |at: Timestamp| {
        log.offset_for_time(Topic::Clicks, 1, at)
            .await
            .expect("it exists")
    };
    let start = clock.now();
    assert_eq!(found(start).await, None, "the partition is empty");
    for _ in 0..10 {
        append(&*log, Topic::Clicks, run_of(1, 2)).await;
        clock.advance(Duration::from_millis(100));
    }
    let after = |millis| start.plus_millis(millis);
    assert_eq!(found(Timestamp::from_millis(0)).await, Some(0));
    assert_eq!(found(start).await, Some(0));
    assert_eq!(found(after(1)).await, Some(2));
    assert_eq!(found(after(100)).await, Some(2));
    assert_eq!(found(after(899)).await, Some(18));
    assert_eq!(found(after(900)).await, Some(18));
    assert_eq!(found(after(901)).await, None);
    log.trim(Topic::Clicks, 1, 7).await.expect("within the log");
    assert_eq!(found(start).await, Some(7), "only what is kept counts");
    log.trim(Topic::Clicks, 1, 20)
        .await
        .expect("within the log");
    assert_eq!(found(start).await, None);
}

pub(super) async fn append_times_never_decrease(subject: &dyn Subject) {
    let Some(clock) = subject.clock() else { return };
    let log = subject.fresh(Limits::default()).await;
    let start = clock.now();
    for step in [0, 500, -400, 100, -10_000, 20_000] {
        clock.set(clock.now().plus_millis(step));
        append(&*log, Topic::Clicks, run_of(0, 1)).await;
    }
    // Another partition has a time of its own.
    append(&*log, Topic::Clicks, run_of(1, 1)).await;
    let times: Vec<i64> = read_all(&*log, Topic::Clicks, 0)
        .await
        .iter()
        .map(|record| record.appended_at.millis_since(start))
        .collect();
    assert_eq!(times, [0, 500, 500, 500, 500, 10_200]);
    let found = log
        .offset_for_time(Topic::Clicks, 0, start.plus_millis(1))
        .await;
    assert_eq!(found.expect("it exists"), Some(1));
    let other = read_all(&*log, Topic::Clicks, 1).await;
    assert_eq!(other[0].appended_at, start.plus_millis(10_200));
}

pub(super) async fn retention_forgets_by_time(subject: &dyn Subject) {
    let Some(clock) = subject.clock() else { return };
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Payouts, [run_of(0, 5), run_of(1, 2)].concat()).await;
    clock.advance(Duration::from_mins(1));
    let kept_from = clock.now();
    append(&*log, Topic::Payouts, run_of(0, 3)).await;
    let forgotten = trim_older_than(&*log, Topic::Payouts, kept_from).await;
    assert_eq!(forgotten.expect("the trim succeeds"), 7);
    let watermarks = async |partition| {
        log.watermarks(Topic::Payouts, partition)
            .await
            .expect("it exists")
    };
    assert_eq!(watermarks(0).await, Watermarks { low: 5, high: 8 });
    assert_eq!(watermarks(1).await, Watermarks { low: 2, high: 2 });
    let again = trim_older_than(&*log, Topic::Payouts, kept_from).await;
    assert_eq!(again.expect("the trim succeeds"), 0);
}
