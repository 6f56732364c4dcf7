//! Consumer groups: assignment, revocation, commits, redelivery.

use std::time::Duration;

use futures::FutureExt;
use schemas::Topic;

use super::{
    Subject, append, numbered, offsets,
    reader::{Reader, settle_all},
    run_of,
};
use crate::{
    admission::Limits,
    error::LogError,
    log::{GroupEvent, Log, Partition},
    record::NewRecord,
};

/// Three records in each partition of `topic`.
fn three_each(topic: Topic) -> Vec<NewRecord> {
    (0..topic.partitions())
        .flat_map(|partition| run_of(partition, 3))
        .collect()
}

fn partitions_of(topic: Topic) -> Vec<Partition> {
    (0..topic.partitions())
        .map(|partition| (topic, partition))
        .collect()
}

async fn committed(log: &dyn Log, (topic, partition): Partition) -> Option<i64> {
    log.committed("group", topic, partition)
        .await
        .expect("it exists")
}

pub(super) async fn the_first_member_reads_everything(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    let first = reader.look_until_event().await;
    assert!(matches!(first, GroupEvent::Assigned(_)), "{first:?}");
    reader.read_until(36).await;
    for partition in partitions_of(Topic::Clicks) {
        assert_eq!(reader.offsets_of(partition), [0, 1, 2], "{partition:?}");
        assert_eq!(
            committed(&*log, partition).await,
            None,
            "nothing commits by itself"
        );
    }
    reader.consumer.leave().await.expect("anyone may leave");
}

pub(super) async fn a_waiting_member_is_woken(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    let mut waiting = reader.consumer.next(10, Duration::from_mins(1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    append(&*log, Topic::Clicks, run_of(7, 1)).await;
    // A minute's idling would be an event of another kind.
    match waiting.await.expect("the log is readable") {
        GroupEvent::Records(records) => assert_eq!(offsets(&records), [0]),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn commits_are_resumed_from(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(36).await;
    let all_but_two: Vec<(Partition, i64)> = partitions_of(Topic::Clicks)
        .into_iter()
        .map(|partition| (partition, if partition.1 < 2 { 1 } else { 3 }))
        .collect();
    reader
        .consumer
        .commit_all(&all_but_two)
        .await
        .expect("all are assigned");
    for (partition, next_offset) in all_but_two {
        assert_eq!(committed(&*log, partition).await, Some(next_offset));
    }
    reader.consumer.leave().await.expect("anyone may leave");

    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(4).await;
    assert_eq!(reader.offsets_of((Topic::Clicks, 0)), [1, 2]);
    assert_eq!(reader.offsets_of((Topic::Clicks, 1)), [1, 2]);
    let beyond = reader.consumer.commit(Topic::Clicks, 0, 4).await;
    assert!(
        matches!(beyond, Err(LogError::PositionBeyondEnd { end: 3, .. })),
        "{beyond:?}"
    );
    assert_eq!(committed(&*log, (Topic::Clicks, 0)).await, Some(1));
}

pub(super) async fn what_was_not_committed_comes_again(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(36).await;
    reader
        .consumer
        .commit(Topic::Clicks, 5, 2)
        .await
        .expect("it is assigned");
    drop(reader);
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.read_until(34).await;
    assert_eq!(reader.offsets_of((Topic::Clicks, 5)), [2]);
    assert_eq!(reader.offsets_of((Topic::Clicks, 6)), [0, 1, 2]);
}

pub(super) async fn groups_do_not_disturb_each_other(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    let mut one = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    let mut other = Reader::join(&*log, "other group", &[Topic::Clicks]).await;
    one.read_until(36).await;
    other.read_until(36).await;
    one.consumer
        .commit(Topic::Clicks, 0, 3)
        .await
        .expect("it is assigned");
    let untouched = log.committed("other group", Topic::Clicks, 0).await;
    assert_eq!(untouched.expect("it exists"), None);
}

pub(super) async fn a_member_of_several_topics_is_served_from_all(subject: &dyn Subject) {
    // Long enough for the short one to arrive from a broker in the meantime, on a busy machine.
    const LONG: usize = 30_000;
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Payouts, run_of(0, LONG)).await;
    append(&*log, Topic::PayoutResults, run_of(3, 2)).await;
    append(&*log, Topic::Clicks, run_of(0, 5)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Payouts, Topic::PayoutResults]).await;
    reader.settle(12).await;
    // The long one does not starve the short one.
    while reader.offsets_of((Topic::PayoutResults, 3)).is_empty() {
        assert!(reader.records.len() < LONG, "the short topic comes last");
        reader.look().await;
    }
    reader.read_until(LONG + 2).await;
    assert_eq!(reader.offsets_of((Topic::PayoutResults, 3)), [0, 1]);
    assert_eq!(
        reader.offsets_of((Topic::Payouts, 0)),
        (0..i64::try_from(LONG).expect("it is short enough")).collect::<Vec<_>>()
    );
}

pub(super) async fn seeking_overrides_the_committed_position(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, run_of(2, 10)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    reader
        .consumer
        .commit(Topic::Clicks, 2, 8)
        .await
        .expect("it is assigned");
    drop(reader);
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    reader
        .consumer
        .seek(Topic::Clicks, 2, 4)
        .await
        .expect("within the log");
    reader.read_until(6).await;
    assert_eq!(offsets(&reader.records), [4, 5, 6, 7, 8, 9]);
    // Back again, and to the very end.
    reader
        .consumer
        .seek(Topic::Clicks, 2, 9)
        .await
        .expect("within the log");
    reader.read_until(7).await;
    reader
        .consumer
        .seek(Topic::Clicks, 2, 10)
        .await
        .expect("the end is within the log");
    reader.read_until(7).await;
    assert_eq!(
        committed(&*log, (Topic::Clicks, 2)).await,
        Some(8),
        "seeking commits nothing"
    );
}

pub(super) async fn a_position_beyond_the_end_is_refused(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, run_of(2, 10)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    let refused = reader.consumer.seek(Topic::Clicks, 2, 11).await;
    assert!(
        matches!(
            refused,
            Err(LogError::PositionBeyondEnd {
                offset: 11,
                end: 10,
                ..
            })
        ),
        "{refused:?}"
    );
    let foreign = reader.consumer.seek(Topic::Payouts, 0, 0).await;
    assert!(
        matches!(foreign, Err(LogError::NotAssigned { .. })),
        "{foreign:?}"
    );
    reader.read_until(10).await;
}

pub(super) async fn a_trimmed_position_is_refused(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, run_of(2, 10)).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    reader
        .consumer
        .commit(Topic::Clicks, 2, 3)
        .await
        .expect("it is assigned");
    drop(reader);
    log.trim(Topic::Clicks, 2, 6).await.expect("within the log");

    // A new group starts with what there is; one that was promised more is told.
    let mut newcomer = Reader::join(&*log, "newcomers", &[Topic::Clicks]).await;
    newcomer.read_until(4).await;
    assert_eq!(offsets(&newcomer.records), [6, 7, 8, 9]);
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    let refused = reader.consumer.next(10, Duration::from_secs(1)).await;
    assert!(
        matches!(
            refused,
            Err(LogError::PositionBeforeStart {
                offset: 3,
                start: 6,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = reader.consumer.seek(Topic::Clicks, 2, 5).await;
    assert!(
        matches!(refused, Err(LogError::PositionBeforeStart { .. })),
        "{refused:?}"
    );
    reader
        .consumer
        .seek(Topic::Clicks, 2, 6)
        .await
        .expect("within the log");
    reader.read_until(4).await;
}

pub(super) async fn two_members_share_the_partitions(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let mut first = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    first.settle(12).await;
    let mut second = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    settle_all(&mut [&mut first, &mut second], &[6, 6]).await;
    let kept = first.held.clone();
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    first.read_until(18).await;
    second.read_until(18).await;
    assert_eq!(first.held, kept, "nothing moves without a reason");

    // A third one takes a third, and what stays is read on without a break.
    let mut third = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    settle_all(&mut [&mut first, &mut second, &mut third], &[4, 4, 4]).await;
    assert!(first.held.is_subset(&kept));
    assert_eq!(
        (first.records.len(), second.records.len()),
        (18, 18),
        "nothing comes again"
    );

    // What nobody committed is read anew by whoever gets it.
    second.consumer.leave().await.expect("anyone may leave");
    settle_all(&mut [&mut first, &mut third], &[6, 6]).await;
}

pub(super) async fn a_revoked_partition_is_drained_first(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    let mut first = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    first.read_until(36).await;
    let mut second = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    assert_eq!(second.look().await, GroupEvent::Idle, "nothing is free yet");
    let revoked = match first.look_until_event().await {
        GroupEvent::Revoked(partitions) => partitions,
        other => panic!("{other:?}"),
    };
    assert_eq!(revoked.len(), 6);
    // Still the first one's, who is at work on what it read; nothing new comes from them.
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    for _ in 0..3 {
        assert_eq!(second.look().await, GroupEvent::Idle);
    }
    first.read_until(36 + 18).await;
    let drained: Vec<(Partition, i64)> = revoked.iter().map(|partition| (*partition, 3)).collect();
    first
        .consumer
        .commit_all(&drained)
        .await
        .expect("it holds them until it releases them");
    first.release(revoked.clone()).await;
    let late = first.consumer.commit(revoked[0].0, revoked[0].1, 3).await;
    assert!(
        matches!(late, Err(LogError::NotAssigned { .. })),
        "{late:?}"
    );

    settle_all(&mut [&mut first, &mut second], &[6, 6]).await;
    assert!(
        revoked
            .iter()
            .all(|partition| second.held.contains(partition))
    );
    second.read_until(18).await;
    for partition in revoked {
        assert_eq!(
            second.offsets_of(partition),
            [3, 4, 5],
            "from the committed position on"
        );
    }
}

pub(super) async fn a_vanished_member_is_replaced(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let mut first = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    let mut second = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    settle_all(&mut [&mut first, &mut second], &[6, 6]).await;
    append(&*log, Topic::Clicks, three_each(Topic::Clicks)).await;
    first.read_until(18).await;
    second.read_until(18).await;
    let lost = first.held.clone();
    let committed = *lost.first().expect("it holds six");
    first
        .consumer
        .commit(committed.0, committed.1, 3)
        .await
        .expect("it is assigned");
    drop(first);
    second.settle(12).await;
    second.read_until(18 + 15).await;
    for partition in lost {
        let expected: &[i64] = if partition == committed {
            &[]
        } else {
            &[0, 1, 2]
        };
        assert_eq!(second.offsets_of(partition), expected, "{partition:?}");
    }
}

pub(super) async fn cancelling_a_wait_loses_nothing(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let mut reader = Reader::join(&*log, "group", &[Topic::Clicks]).await;
    reader.settle(12).await;
    for number in 0..20 {
        append(&*log, Topic::Clicks, vec![numbered("key", number)]).await;
        // Polled once and dropped, at whatever point it has reached.
        let peeked = reader
            .consumer
            .next(10, Duration::from_secs(1))
            .now_or_never();
        match peeked {
            Some(Ok(GroupEvent::Records(records))) => reader.records.extend(records),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    reader.read_until(20).await;
    assert_eq!(offsets(&reader.records), (0..20).collect::<Vec<_>>());
}
