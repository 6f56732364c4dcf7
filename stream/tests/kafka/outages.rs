//! A broker that is down, is killed, or doesn't answer: what was acknowledged is there, and the log
//! goes on by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use schemas::{Position, Topic};
use stream::{
    AppendError, GroupEvent, GroupSettings, Health, Log, Refusal,
    broker::BrokerOptions,
    kafka::{
        AppendTimes, Fault, KafkaLog, KafkaSettings,
        topics::{self, TopicTimes},
    },
};

use crate::cluster::{self, append, read_all, record, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let broker = cluster::own(BrokerOptions::default());
    let settings = cluster::settings(broker.bootstrap());
    cluster::make_topics(&settings, TopicTimes::Broker).await;
    broker.stop().unwrap();

    let log = KafkaLog::connect(settings, AppendTimes::Broker).unwrap();
    until("the log is known to be unavailable", async || {
        matches!(log.health(), Health::Unavailable { reason } if reason.contains("reached"))
    })
    .await;
    let error = log.ready(Duration::ZERO).await.unwrap_err();
    assert!(error.temporary());
    assert!(
        matches!(error.kafka_fault(), Some(Fault::Unreachable { .. })),
        "{error}"
    );
    let refused = log
        .append(Topic::Clicks, vec![record(0)])
        .await
        .unwrap_err();
    assert!(
        matches!(refused.refusal(), Some(Refusal::Unavailable(_))),
        "{refused:?}"
    );

    broker.restart().unwrap();
    log.ready(cluster::READY_WITHIN).await.unwrap();
    append(&*log, Topic::Clicks, vec![record(1)]).await;
}

/// A broker whose heartbeats are further apart than its session lasts: its cluster gives up on it
/// over and over, and names no broker at all to whoever asks meanwhile. A client without brokers
/// has nobody to ask again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_its_cluster_gives_up_on_is_found_again() {
    const TOPIC: Topic = Topic::Clicks;
    const APPENDS: usize = 8;
    let broker = cluster::own(
        BrokerOptions::default()
            .with("broker.session.timeout.ms", 3000)
            .with("broker.heartbeat.interval.ms", 4000),
    );
    let mut settings = cluster::settings(broker.bootstrap());
    settings.request_timeout = KafkaSettings::new("").request_timeout;
    until("its topics are made", async || {
        topics::ensure(&settings, &cluster::single(TopicTimes::Broker))
            .await
            .is_ok_and(|report| report.as_expected())
    })
    .await;
    let log = cluster::open(&settings, AppendTimes::Broker).await;
    let mut member = log
        .join("group", &[TOPIC], GroupSettings::default())
        .await
        .unwrap();
    for number in 0..APPENDS {
        until("the log takes a record", async || {
            match log.append(TOPIC, vec![record(number)]).await {
                Ok(_) => true,
                Err(error) => {
                    println!("{number}: {error}");
                    false
                }
            }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut read = BTreeSet::new();
    until("everything is read", async || {
        match member.next(APPENDS, Duration::from_millis(100)).await {
            Ok(GroupEvent::Records(records)) => {
                read.extend(records.into_iter().map(|record| record.value));
            }
            Ok(GroupEvent::Revoked(partitions)) => member.release(partitions).await.unwrap(),
            Ok(GroupEvent::Assigned(_) | GroupEvent::Idle) => {}
            Err(error) => println!("passing: {error}"),
        }
        read.len() == APPENDS
    })
    .await;
}

/// What appenders were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<Position, String>,
    /// Of those without an acknowledgement that may be there.
    uncertain: Vec<String>,
}

async fn append_until(
    log: Arc<KafkaLog>,
    appender: usize,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let value = format!("{appender}-{number}");
        let new = record(&value).in_partition(i32::try_from(appender % 3).unwrap());
        match log.append(Topic::Conversions, vec![new]).await {
            Ok(positions) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                told.acknowledged.insert(positions[0], value);
            }
            Err(AppendError::Indeterminate(_)) => told.uncertain.push(value),
            Err(AppendError::Determinate(refusal)) => {
                assert!(refusal.temporary(), "{refusal}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed() {
    const APPENDERS: usize = 12;
    let broker = cluster::own(BrokerOptions::default());
    let settings = cluster::settings(broker.bootstrap());
    let log = cluster::fresh(&settings).await;
    let mut consumer = log
        .join("group", &[Topic::Conversions], GroupSettings::default())
        .await
        .unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|appender| {
            tokio::spawn(append_until(
                Arc::clone(&log),
                appender,
                Arc::clone(&stop),
                Arc::clone(&acknowledged),
            ))
        })
        .collect();
    let more = async |count: usize| {
        let enough = acknowledged.load(Ordering::SeqCst) + count;
        until("appends are acknowledged", async || {
            acknowledged.load(Ordering::SeqCst) >= enough
        })
        .await;
    };
    for _ in 0..3 {
        more(500).await;
        broker.kill().unwrap();
        broker.restart().unwrap();
    }
    more(500).await;
    stop.store(true, Ordering::SeqCst);
    let mut told = Told::default();
    for appender in appenders {
        let appender = appender.await.unwrap();
        told.acknowledged.extend(appender.acknowledged);
        told.uncertain.extend(appender.uncertain);
    }

    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for partition in 0..3 {
        for read in read_all(&*log, Topic::Conversions, partition).await {
            let value = String::from_utf8(read.value.to_vec()).unwrap();
            *times.entry(value.clone()).or_default() += 1;
            all.insert(read.position, value);
        }
    }
    for (position, value) in &told.acknowledged {
        assert_eq!(all.get(position), Some(value), "{position}");
        assert_eq!(times.get(value), Some(&1), "{value} was acknowledged once");
    }
    for value in times.keys() {
        let known = told.uncertain.contains(value)
            || told
                .acknowledged
                .values()
                .any(|acknowledged| acknowledged == value);
        assert!(known, "{value} was refused for certain, and is there");
    }

    // A reader that was there all the time has read it all, in order, and once.
    let mut read: Vec<Position> = Vec::new();
    while read.len() < all.len() {
        match consumer.next(1_000, Duration::from_mins(1)).await {
            Ok(GroupEvent::Records(records)) => {
                read.extend(records.iter().map(|record| record.position));
            }
            Ok(GroupEvent::Revoked(lost)) => consumer.release(lost).await.unwrap(),
            Ok(GroupEvent::Assigned(_)) => {}
            Ok(GroupEvent::Idle) => panic!("read {} of {}", read.len(), all.len()),
            Err(error) => println!("passing: {error}"),
        }
    }
    for partition in 0..3 {
        let own: Vec<Position> = read
            .iter()
            .filter(|position| position.partition == partition)
            .copied()
            .collect();
        assert!(own.is_sorted_by(|one, other| one < other), "{own:?}");
    }
    read.sort_unstable();
    assert!(read.iter().eq(all.keys()), "what was read is what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_leaves_the_outcome_open() {
    let broker = cluster::own(BrokerOptions::default());
    let mut settings = cluster::settings(broker.bootstrap());
    settings.delivery_timeout = Duration::from_secs(2);
    let log = cluster::fresh(&settings).await;
    append(&*log, Topic::Clicks, vec![record(0).in_partition(0)]).await;
    broker.freeze().unwrap();
    let open = log
        .append(Topic::Clicks, vec![record(1).in_partition(0)])
        .await
        .unwrap_err();
    assert!(matches!(open, AppendError::Indeterminate(_)), "{open:?}");
    until("the log is known to be unavailable", async || {
        log.health() != Health::Ready
    })
    .await;
    broker.thaw().unwrap();
    log.ready(cluster::READY_WITHIN).await.unwrap();
    append(&*log, Topic::Clicks, vec![record(2).in_partition(0)]).await;
    let values: Vec<_> = read_all(&*log, Topic::Clicks, 0)
        .await
        .into_iter()
        .map(|record| record.value)
        .collect();
    // It may be there or not, and never twice.
    let (with, without): (&[&str], &[&str]) = (&["0", "1", "2"], &["0", "2"]);
    assert!(values == with || values == without, "{values:?}");
}
