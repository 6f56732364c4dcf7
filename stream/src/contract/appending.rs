//! Appending: positions, partitions, bytes and bounds.

use bytes::Bytes;
use futures::future::join_all;
use schemas::{Position, Topic};

use super::{Subject, append, numbered, offsets, read_all, run_of, values};
use crate::{
    admission::Limits,
    clock::Clock,
    error::{AppendError, Refusal},
    log::Watermarks,
    record::{Header, NewRecord},
};

pub(super) async fn positions_are_dense_and_in_the_order_given(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let records: Vec<NewRecord> = (0..50)
        .map(|number| numbered(&format!("key-{}", number % 7), number))
        .collect();
    let mut next = std::collections::BTreeMap::new();
    for batch in [&records[..], &records[..1], &records[3..20]] {
        let positions = append(&*log, Topic::Conversions, batch.to_vec()).await;
        assert_eq!(positions.len(), batch.len());
        for (position, record) in positions.iter().zip(batch) {
            let partition = record.partition_in(Topic::Conversions);
            let offset = next.entry(partition).or_insert(0);
            assert_eq!(
                *position,
                Position {
                    topic: Topic::Conversions,
                    partition,
                    offset: *offset
                }
            );
            *offset += 1;
            let read = log
                .read(position.topic, position.partition, position.offset, 1)
                .await
                .expect("an acknowledged record can be read");
            assert_eq!(
                (read[0].position, &read[0].value),
                (*position, &record.value)
            );
        }
    }
}

pub(super) async fn keys_choose_the_partition_as_in_java(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    // Hashes from Apache Kafka's own tests of murmur2; 12 partitions.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("abc", 479_470_107),
    ] {
        let positions = append(&*log, Topic::Clicks, vec![NewRecord::new(key, "value")]).await;
        assert_eq!(positions[0].partition, (hash & i32::MAX) % 12, "{key}");
    }
}

pub(super) async fn a_given_partition_overrides_the_key(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    for partition in 0..Topic::Payouts.partitions() {
        let record = NewRecord::new("one key", "value").in_partition(partition);
        let positions = append(&*log, Topic::Payouts, vec![record]).await;
        assert_eq!(
            positions,
            [Position {
                topic: Topic::Payouts,
                partition,
                offset: 0
            }]
        );
    }
    for partition in [-1, Topic::Payouts.partitions()] {
        let batch = vec![
            NewRecord::new("key", "good").in_partition(0),
            NewRecord::new("key", "bad").in_partition(partition),
        ];
        match log.append(Topic::Payouts, batch).await {
            Err(AppendError::Determinate(refusal @ Refusal::NoSuchPartition { .. })) => {
                assert!(!refusal.temporary());
            }
            other => panic!("partition {partition}: {other:?}"),
        }
        assert!(log.watermarks(Topic::Payouts, partition).await.is_err());
        assert!(log.read(Topic::Payouts, partition, 0, 1).await.is_err());
    }
    let watermarks = log
        .watermarks(Topic::Payouts, 0)
        .await
        .expect("partition 0 exists");
    assert_eq!(watermarks.high, 1, "a refused batch writes nothing");
}

pub(super) async fn keys_values_and_headers_are_kept_byte_for_byte(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    let every_byte = (0..=u8::MAX).collect::<Bytes>();
    let header = |name: &str, value: &Bytes| Header {
        name: name.to_owned(),
        value: value.clone(),
    };
    let empty = Bytes::new();
    let written = vec![
        NewRecord::new(Bytes::new(), Bytes::new()),
        NewRecord::new(every_byte.clone(), every_byte.clone()),
        NewRecord {
            partition: Some(1),
            key: empty.clone(),
            value: Bytes::from_static(b"\0"),
            headers: vec![
                header("origin", &every_byte),
                header("", &empty),
                header("origin", &empty),
                header("ÿnïcode", &empty),
            ],
            appended_at: None,
        },
    ];
    let positions = append(&*log, Topic::DeadLetters, written.clone()).await;
    for (position, written) in positions.into_iter().zip(written) {
        let read = log
            .read(position.topic, position.partition, position.offset, 1)
            .await
            .expect("an acknowledged record can be read")
            .remove(0);
        assert_eq!(
            (read.position, read.key, read.value, read.headers),
            (position, written.key, written.value, written.headers)
        );
    }
}

pub(super) async fn a_copy_keeps_its_times(subject: &dyn Subject) {
    let Some(clock) = subject.clock() else { return };
    let log = subject.fresh(Limits::default()).await;
    let now = clock.now();
    let at = |millis| {
        numbered("copy", 0)
            .in_partition(0)
            .appended_at(now.plus_millis(millis))
    };
    let copies = vec![at(-9_000), at(-9_000), at(-5_000), at(-7_000)];
    append(&*log, Topic::Payouts, copies).await;
    append(&*log, Topic::Payouts, run_of(0, 1)).await;
    append(&*log, Topic::Payouts, vec![at(-1)]).await;
    let times: Vec<i64> = read_all(&*log, Topic::Payouts, 0)
        .await
        .iter()
        .map(|record| record.appended_at.millis_since(now))
        .collect();
    assert_eq!(times, [-9_000, -9_000, -5_000, -5_000, 0, 0]);
    let found = log
        .offset_for_time(Topic::Payouts, 0, now.plus_millis(-6_000))
        .await;
    assert_eq!(found.expect("it exists"), Some(2));
}

pub(super) async fn an_empty_batch_is_nothing(subject: &dyn Subject) {
    let log = subject.fresh(Limits::default()).await;
    assert_eq!(append(&*log, Topic::Clicks, Vec::new()).await, []);
    for partition in 0..Topic::Clicks.partitions() {
        let watermarks = log.watermarks(Topic::Clicks, partition).await;
        assert_eq!(
            watermarks.expect("it exists"),
            Watermarks { low: 0, high: 0 }
        );
    }
}

pub(super) async fn concurrent_appends_keep_their_own_order(subject: &dyn Subject) {
    const APPENDERS: usize = 8;
    const BATCHES: usize = 10;
    let log = subject.fresh(Limits::default()).await;
    let appenders = (0..APPENDERS).map(|appender| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut positions = Vec::new();
            for batch in 0..BATCHES {
                let records = (0..3)
                    .map(|part| numbered(&format!("appender-{appender}"), batch * 3 + part))
                    .map(|record| record.in_partition(2))
                    .collect();
                positions.extend(append(&*log, Topic::Ledger, records).await);
            }
            positions
        })
    });
    let mut taken: Vec<i64> = Vec::new();
    for positions in join_all(appenders).await {
        let own: Vec<i64> = positions
            .expect("no appender panics")
            .iter()
            .map(|at| at.offset)
            .collect();
        assert!(own.is_sorted(), "{own:?}");
        taken.extend(own);
    }
    taken.sort_unstable();
    let records = read_all(&*log, Topic::Ledger, 2).await;
    assert_eq!(
        taken,
        offsets(&records),
        "every offset belongs to one append"
    );
    for appender in 0..APPENDERS {
        let prefix = format!("appender-{appender}-");
        let own: Vec<Bytes> = values(&records)
            .into_iter()
            .filter(|value| value.starts_with(prefix.as_bytes()))
            .collect();
        let expected: Vec<Bytes> = (0..BATCHES * 3)
            .map(|number| Bytes::from(format!("{prefix}{number}")))
            .collect();
        assert_eq!(own, expected);
    }
}

pub(super) async fn too_large_a_record_is_refused_and_nothing_is_written(subject: &dyn Subject) {
    let log = subject
        .fresh(Limits {
            record_bytes_max: 1_000,
            ..Limits::default()
        })
        .await;
    let fitting = NewRecord::new("key", vec![7; 980]).with_header("12345678", "8");
    assert_eq!(fitting.bytes(), 1_000);
    append(&*log, Topic::Commands, vec![fitting.in_partition(0)]).await;

    let too_large = NewRecord::new("key", vec![7; 981]).with_header("12345678", "8");
    let batch = vec![NewRecord::new("key", "fits").in_partition(0), too_large];
    match log.append(Topic::Commands, batch).await {
        Err(AppendError::Determinate(
            refusal @ Refusal::RecordTooLarge {
                index: 1,
                bytes: 1_001,
                bytes_max: 1_000,
            },
        )) => assert!(!refusal.temporary()),
        other => panic!("{other:?}"),
    }
    let watermarks = log.watermarks(Topic::Commands, 0).await.expect("it exists");
    assert_eq!(watermarks.high, 1);
}

pub(super) async fn too_large_a_batch_is_refused_and_nothing_is_written(subject: &dyn Subject) {
    let limits = Limits {
        in_flight_records_max: 10,
        ..Limits::default()
    };
    let log = subject.fresh(limits).await;
    append(&*log, Topic::Commands, run_of(0, 10)).await;
    match log.append(Topic::Commands, run_of(0, 11)).await {
        Err(AppendError::Determinate(refusal @ Refusal::BatchTooLarge { records: 11, .. })) => {
            assert!(!refusal.temporary());
        }
        other => panic!("{other:?}"),
    }
    let watermarks = log.watermarks(Topic::Commands, 0).await.expect("it exists");
    assert_eq!(watermarks.high, 10);
}

pub(super) async fn what_is_in_flight_is_bounded(subject: &dyn Subject) {
    let limits = Limits {
        in_flight_records_max: 10,
        ..Limits::default()
    };
    let log = subject.fresh(limits).await;
    if !subject.hold_writes(true).await {
        return;
    }
    let mut in_flight = Box::pin(log.append(Topic::Clicks, run_of(0, 8)));
    assert!(
        futures::poll!(in_flight.as_mut()).is_pending(),
        "the disk is stalled"
    );
    match log.append(Topic::Clicks, run_of(0, 3)).await {
        Err(AppendError::Determinate(
            refusal @ Refusal::Overloaded {
                in_flight_records: 8,
                ..
            },
        )) => assert!(refusal.temporary()),
        other => panic!("{other:?}"),
    }
    // What still fits is taken.
    let mut fitting = Box::pin(log.append(Topic::Clicks, run_of(0, 2)));
    assert!(
        futures::poll!(fitting.as_mut()).is_pending(),
        "the disk is stalled"
    );
    subject.hold_writes(false).await;
    in_flight.await.expect("the disk works again");
    fitting.await.expect("the disk works again");
    append(&*log, Topic::Clicks, run_of(0, 3)).await;
    assert_eq!(read_all(&*log, Topic::Clicks, 0).await.len(), 13);
}
