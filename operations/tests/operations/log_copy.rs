//! A whole log, copied: between logs in memory, on disk and on a real broker.

mod brokers;
mod tampering;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use operations::log_copy::{CopyError, CopySummary, GROUPS, PLACEHOLDER, Plan, Step, copy};
use schemas::{Timestamp, Topic};
use stream::{
    Clock, EmbeddedLog, EmbeddedOptions, GroupEvent, GroupSettings, InMemoryLog, Limits, Log,
    ManualClock, NewRecord, Record, Watermarks,
};

use self::tampering::{Tampering, TamperingLog};

const START: Timestamp = Timestamp::from_millis(1_788_220_800_000);

/// A log in memory at another time than the source's.
fn empty() -> Arc<InMemoryLog> {
    let later = Arc::new(ManualClock::new(START.plus_days(40)));
    InMemoryLog::new(later, Limits::default())
}

/// A log with everything that makes a copy hard: a trimmed head, one trimmed to its end, equal
/// times, headers twice over, empty keys and values, a dead letter, committed positions.
async fn history() -> Arc<InMemoryLog> {
    let clock = Arc::new(ManualClock::new(START));
    let log = InMemoryLog::new(Arc::clone(&clock) as Arc<dyn Clock>, Limits::default());
    for (index, topic) in Topic::ALL.into_iter().enumerate() {
        for number in 0..120 {
            if number % 3 == 0 {
                clock.set(clock.now().plus_millis(7_000));
            }
            let record = NewRecord::new(format!("key-{number}"), format!("{topic} {number}"))
                .with_header("hissaback-ingested-at", number.to_string())
                .with_header("twice", "first")
                .with_header("twice", "");
            append(&*log, topic, vec![record]).await;
        }
        let empty = NewRecord::new("", "").in_partition(0);
        append(&*log, topic, vec![empty]).await;
        let low = i64::try_from(index).expect("a few");
        log.trim(topic, 1, low).await.expect("it holds as many");
    }
    let letter = NewRecord::new("key", &b"\0\xff not Avro"[..])
        .with_header("hissaback-dead-letter-origin", "conversions/3/7");
    append(&*log, Topic::DeadLetters, vec![letter]).await;
    let high = watermarks(&*log, Topic::Payouts, 2).await.high;
    log.trim(Topic::Payouts, 2, high).await.expect("to its end");
    commit(&*log, GROUPS[0], &[Topic::Conversions], 5).await;
    commit(&*log, GROUPS[3], &[Topic::Payouts, Topic::Commands], 2).await;
    log
}

async fn append(log: &dyn Log, topic: Topic, records: Vec<NewRecord>) {
    log.append(topic, records).await.expect("appended");
}

async fn watermarks(log: &dyn Log, topic: Topic, partition: i32) -> Watermarks {
    log.watermarks(topic, partition).await.expect("it is there")
}

/// Commits up to `records` after the start of every partition.
async fn commit(log: &dyn Log, group: &str, topics: &[Topic], records: i64) {
    let settings = GroupSettings::default();
    let mut member = log.join(group, topics, settings).await.expect("joined");
    let mut held = 0;
    while held < topics.iter().map(|topic| topic.partitions()).sum() {
        let event = member.next(1, std::time::Duration::from_millis(20)).await;
        if let GroupEvent::Assigned(partitions) = event.expect("no trouble") {
            held += i32::try_from(partitions.len()).expect("a few");
            for (topic, partition) in partitions {
                let Watermarks { low, high } = watermarks(log, topic, partition).await;
                let next = high.min(low + records);
                let committed = member.commit(topic, partition, next).await;
                committed.expect("it is assigned");
            }
        }
    }
    member.leave().await.expect("left");
}

async fn read(log: &dyn Log, topic: Topic, partition: i32) -> Vec<Record> {
    let Watermarks { low, high } = watermarks(log, topic, partition).await;
    let mut records: Vec<Record> = Vec::new();
    let mut next = low;
    while next < high {
        let batch = log.read(topic, partition, next, 1_000).await.expect("read");
        next = batch.last().expect("there is more").position.offset + 1;
        records.extend(batch);
    }
    records
}

/// Whatever a reader can see of one is the same in the other.
async fn assert_equal(from: &dyn Log, to: &dyn Log) {
    for topic in Topic::ALL {
        for partition in 0..topic.partitions() {
            assert_eq!(
                watermarks(from, topic, partition).await,
                watermarks(to, topic, partition).await,
                "{topic}/{partition}"
            );
            let records = read(from, topic, partition).await;
            assert_eq!(records, read(to, topic, partition).await);
            // A question each, which takes brokers their time.
            for group in GROUPS.into_iter().filter(|_| partition < 2) {
                assert_eq!(
                    from.committed(group, topic, partition).await.expect("read"),
                    to.committed(group, topic, partition).await.expect("read"),
                    "{group} on {topic}/{partition}"
                );
            }
            for record in records.iter().step_by(16) {
                let at = record.appended_at;
                assert_eq!(
                    from.offset_for_time(topic, partition, at)
                        .await
                        .expect("read"),
                    to.offset_for_time(topic, partition, at)
                        .await
                        .expect("read"),
                    "{topic}/{partition} at {at}"
                );
            }
        }
    }
}

async fn copied(from: &dyn Log, to: &dyn Log, resume: bool) -> Result<CopySummary, CopyError> {
    let plan = Plan::make(from, Some(to)).await?;
    plan.check(resume)?;
    copy(from, to, &plan, &|_| ()).await
}

#[tokio::test]
async fn a_copy_has_the_same_offsets_times_headers_and_positions() {
    let from = history().await;
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::new(START.plus_days(-3)));
    let embedded = EmbeddedLog::open(directory.path(), clock, EmbeddedOptions::default())
        .expect("an embedded log");
    let plan = Plan::make(&*from, Some(&*embedded)).await.expect("a plan");
    plan.check(false).expect("the target is empty");
    let (written, read_back) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |step: Step| match step {
        Step::Filled(records) | Step::Copied(records) => {
            written.fetch_add(records, Ordering::Relaxed);
        }
        Step::ReadBack(records) => {
            read_back.fetch_add(records, Ordering::Relaxed);
        }
        Step::Found(records) => panic!("{records} were there already"),
    };
    let summary = copy(&*from, &*embedded, &plan, &progress)
        .await
        .expect("copied");
    assert_equal(&*from, &*embedded).await;
    assert_eq!(summary.records, plan.records());
    assert_eq!(read_back.into_inner(), summary.records);
    assert_eq!(written.into_inner(), plan.to_write());
    assert_eq!(plan.to_write(), summary.records + summary.trimmed);
    assert!(summary.trimmed > 28, "{}", summary.trimmed);

    // And on from there: a copy of a copy is the same again.
    let again = empty();
    let second = copied(&*embedded, &*again, false).await.expect("copied");
    assert_eq!(second.partitions, summary.partitions);
    assert_equal(&*from, &*again).await;
}

#[tokio::test]
async fn a_target_that_holds_something_is_refused() {
    let (from, to) = (history().await, empty());
    append(
        &*to,
        Topic::Ledger,
        vec![NewRecord::new("k", "v").in_partition(4)],
    )
    .await;
    let refused = copied(&*from, &*to, false).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CopyError::NotEmpty {
                topic: Topic::Ledger,
                partition: 4,
                high: 1
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("--resume"), "{refused}");
    // Nor is it taken for the beginning of a copy.
    let refused = copied(&*from, &*to, true).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CopyError::Different {
                topic: Topic::Ledger,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(watermarks(&*to, Topic::Ledger, 4).await.high, 1);
    assert_eq!(
        watermarks(&*to, Topic::Clicks, 0).await.high,
        0,
        "nothing is written"
    );
    // Even one that was emptied again: its offsets are used up.
    let emptied = empty();
    append(
        &*emptied,
        Topic::Clicks,
        vec![NewRecord::new("k", "v").in_partition(0)],
    )
    .await;
    emptied.trim(Topic::Clicks, 0, 1).await.expect("trimmed");
    let refused = copied(&*from, &*emptied, false).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CopyError::NotEmpty {
                topic: Topic::Clicks,
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_no_beginning_of_this_copy_is_not_gone_on_with() {
    let from = history().await;
    // A record where the source's head was trimmed.
    let other = empty();
    append(
        &*other,
        Topic::Decisions,
        vec![NewRecord::new("k", "v").in_partition(1)],
    )
    .await;
    // More than the source has.
    let longer = empty();
    let many = vec![NewRecord::new("k", "v").in_partition(0); 500];
    append(&*longer, Topic::Clicks, many).await;
    // Less than the source has at its head.
    let later = empty();
    copied(&*from, &*later, false).await.expect("copied");
    later.trim(Topic::Clicks, 0, 3).await.expect("trimmed");
    for target in [other, longer, later] {
        let refused = copied(&*from, &*target, true).await.unwrap_err();
        assert!(matches!(refused, CopyError::Foreign { .. }), "{refused}");
    }
}

#[tokio::test]
async fn an_interrupted_copy_goes_on_where_it_stopped() {
    let from = history().await;
    let to = empty();
    let mut interruptions = 0;
    // One batch more each time, then the target is gone.
    for batches in 0.. {
        let target = TamperingLog::new(
            Arc::clone(&to) as Arc<dyn Log>,
            Tampering::FailAfter(batches),
        );
        match copied(&*from, &target, batches > 0).await {
            Ok(_) => break,
            Err(CopyError::Append { .. }) => interruptions += 1,
            Err(error) => panic!("{error}"),
        }
        let begun = Plan::make(&*from, Some(&*to)).await.expect("a plan");
        assert!(
            batches == 0 || begun.check(false).is_err(),
            "it isn't empty any more"
        );
    }
    assert!(interruptions > 3, "{interruptions}");
    assert_equal(&*from, &*to).await;
    // Nothing is left to do, and doing it again changes nothing.
    let plan = Plan::make(&*from, Some(&*to)).await.expect("a plan");
    assert_eq!(plan.to_write(), 0);
    copied(&*from, &*to, true).await.expect("copied");
    assert_equal(&*from, &*to).await;
}

#[tokio::test]
async fn a_half_filled_head_is_filled_up() {
    let (from, to) = (history().await, empty());
    let placeholder = NewRecord::new("", "")
        .in_partition(1)
        .with_header(PLACEHOLDER, "");
    append(
        &*to,
        Topic::Payouts,
        vec![placeholder.appended_at(START); 3],
    )
    .await;
    copied(&*from, &*to, true).await.expect("copied");
    assert_equal(&*from, &*to).await;
}

#[tokio::test]
async fn a_target_that_keeps_something_else_is_found_out() {
    let from = history().await;
    for tampering in [Tampering::Value, Tampering::Time, Tampering::Header] {
        let target = TamperingLog::new(empty(), tampering);
        let error = copied(&*from, &target, false).await.unwrap_err();
        assert!(
            matches!(
                error,
                CopyError::Different {
                    topic: Topic::DeadLetters,
                    ..
                }
            ),
            "{tampering:?}: {error}"
        );
    }
}

#[tokio::test]
async fn somebody_else_who_writes_to_either_log_is_noticed() {
    let (from, to) = (history().await, empty());
    let plan = Plan::make(&*from, Some(&*to)).await.expect("a plan");
    let intruder = Arc::clone(&to);
    append(
        &*intruder,
        Topic::Clicks,
        vec![NewRecord::new("k", "v").in_partition(0)],
    )
    .await;
    let error = copy(&*from, &*to, &plan, &|_| ()).await.unwrap_err();
    assert!(matches!(error, CopyError::Misplaced { .. }), "{error}");

    let to = empty();
    let plan = Plan::make(&*from, Some(&*to)).await.expect("a plan");
    append(&*from, Topic::Commands, vec![NewRecord::new("k", "v")]).await;
    let error = copy(&*from, &*to, &plan, &|_| ()).await.unwrap_err();
    assert!(
        matches!(
            error,
            CopyError::SourceMoved {
                topic: Topic::Commands,
                ..
            }
        ),
        "{error}"
    );
    // What came late is taken along.
    copied(&*from, &*to, true).await.expect("copied");
    assert_equal(&*from, &*to).await;
}

#[tokio::test]
async fn an_empty_log_is_copied_too() {
    let (from, to) = (empty(), empty());
    let summary = copied(&*from, &*to, false).await.expect("copied");
    assert_eq!((summary.records, summary.trimmed), (0, 0));
    assert_equal(&*from, &*to).await;
}
