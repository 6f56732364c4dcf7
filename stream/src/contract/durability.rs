//! What an acknowledgement is worth, and what a restart finds.

use std::time::Duration;

use schemas::{Timestamp, Topic};

use super::{Subject, append, offsets, read_all, reader::Reader, run_of, values};
use crate::{
    admission::Limits,
    clock::Clock,
    error::{AppendError, LogError, Refusal},
    log::{GroupEvent, GroupSettings, Health, Watermarks},
};

pub(super) async fn a_reopened_log_is_the_same_log(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let written = append(&*log, Topic::Conversions, run_of(3, 20)).await;
    append(&*log, Topic::Ledger, run_of(0, 4)).await;
    log.trim(Topic::Conversions, 3, 5)
        .await
        .expect("within the log");
    log.trim(Topic::Ledger, 0, 4).await.expect("within the log");
    let mut reader = Reader::join(&*log, "group", &[Topic::Conversions]).await;
    reader.settle(12).await;
    reader
        .consumer
        .commit(Topic::Conversions, 3, 9)
        .await
        .expect("it is assigned");
    drop(reader);
    let before = read_all(&*log, Topic::Conversions, 3).await;

    let log = subject.reopen(log).await;
    assert_eq!(log.health(), Health::Ready);
    assert_eq!(read_all(&*log, Topic::Conversions, 3).await, before);
    let watermarks = log
        .watermarks(Topic::Conversions, 3)
        .await
        .expect("it exists");
    assert_eq!(watermarks, Watermarks { low: 5, high: 20 });
    let committed = log
        .committed("group", Topic::Conversions, 3)
        .await
        .expect("it exists");
    assert_eq!(committed, Some(9));
    let emptied = log.watermarks(Topic::Ledger, 0).await.expect("it exists");
    assert_eq!(emptied, Watermarks { low: 4, high: 4 });

    // And it goes on where it was.
    let more = append(&*log, Topic::Conversions, run_of(3, 1)).await;
    assert_eq!(more[0].offset, written[19].offset + 1);
    assert_eq!(
        append(&*log, Topic::Ledger, run_of(0, 1)).await[0].offset,
        4
    );
    let mut reader = Reader::join(&*log, "group", &[Topic::Conversions]).await;
    reader.read_until(12).await;
    assert_eq!(offsets(&reader.records), (9..21).collect::<Vec<_>>());
}

pub(super) async fn a_reopened_log_keeps_its_times_monotone(subject: &dyn Subject) {
    let Some(clock) = subject.clock() else { return };
    let log = subject.fresh(Limits::default()).await;
    let latest = clock.now();
    append(&*log, Topic::Clicks, [run_of(0, 1), run_of(1, 1)].concat()).await;
    log.trim(Topic::Clicks, 1, 1).await.expect("within the log");
    let log = subject.reopen(log).await;
    clock.set(Timestamp::from_millis(latest.millis() - 5_000));
    append(&*log, Topic::Clicks, [run_of(0, 1), run_of(1, 1)].concat()).await;
    for partition in [0, 1] {
        let records = read_all(&*log, Topic::Clicks, partition).await;
        assert_eq!(
            records.last().expect("there is one").appended_at,
            latest,
            "{partition}"
        );
    }
    clock.set(latest);
}

pub(super) async fn only_what_is_durable_is_acknowledged_and_read(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, run_of(0, 2)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(2).await;
    if !subject.hold_writes(true).await {
        return;
    }
    let mut appending = Box::pin(log.append(Topic::Clicks, run_of(0, 3)));
    for _ in 0..5 {
        assert!(
            futures::poll!(appending.as_mut()).is_pending(),
            "nothing is durable yet"
        );
        let event = reader.consumer.next(10, Duration::from_millis(20)).await;
        assert_eq!(event.expect("the log is readable"), GroupEvent::Idle);
        let watermarks = log.watermarks(Topic::Clicks, 0).await.expect("it exists");
        assert_eq!(watermarks.high, 2);
        assert_eq!(
            log.read(Topic::Clicks, 0, 0, 10)
                .await
                .expect("it exists")
                .len(),
            2
        );
    }
    subject.hold_writes(false).await;
    let positions = appending.await.expect("the disk works again");
    assert_eq!(
        positions.iter().map(|at| at.offset).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    reader.read_until(5).await;
    assert_eq!(
        values(&reader.records[2..]),
        values(&reader.records[..2])
            .into_iter()
            .chain(["run-2".into()])
            .collect::<Vec<_>>()
    );
}

pub(super) async fn a_closed_log_says_so(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, run_of(0, 2)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(2).await;
    log.close().await;
    log.close().await;
    match log.append(Topic::Clicks, run_of(0, 1)).await {
        Err(AppendError::Determinate(refusal @ Refusal::Unavailable(LogError::Closed))) => {
            assert!(refusal.temporary());
        }
        other => panic!("{other:?}"),
    }
    let event = reader.consumer.next(10, Duration::from_mins(1)).await;
    assert!(matches!(event, Err(LogError::Closed)), "{event:?}");
    assert!(
        log.join("group", &[Topic::Clicks], GroupSettings::default())
            .await
            .is_err()
    );
    assert!(matches!(log.health(), Health::Unavailable { .. }));
    drop(reader);
    let log = subject.reopen(log).await;
    assert_eq!(read_all(&*log, Topic::Clicks, 0).await.len(), 2);
}
