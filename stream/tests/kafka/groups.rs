//! What only a real broker does to groups.

use std::{collections::BTreeSet, time::Duration};

use schemas::Topic;
use stream::{GroupConsumer, GroupEvent, GroupSettings, Log, broker::BrokerOptions};

use crate::cluster::{self, append, one_each, until};

const TOPIC: Topic = Topic::Payouts;

/// Reads, notes what it read, commits it, and gives up what is revoked. A commit may be refused, or
/// taken while its answer is lost: what was noted before is done either way.
async fn look(consumer: &mut dyn GroupConsumer, done: &mut BTreeSet<(i32, i64)>) {
    match consumer.next(100, Duration::from_millis(100)).await {
        Ok(GroupEvent::Records(records)) => {
            for position in records.iter().map(|record| record.position) {
                done.insert((position.partition, position.offset));
                let next = position.offset + 1;
                if let Err(error) = consumer.commit(TOPIC, position.partition, next).await {
                    println!("{position} may come again: {error}");
                }
            }
        }
        Ok(GroupEvent::Revoked(partitions)) => consumer.release(partitions).await.unwrap(),
        Ok(GroupEvent::Assigned(_) | GroupEvent::Idle) => {}
        Err(error) => println!("passing: {error}"),
    }
}

/// The broker does not hear of anybody for longer than their sessions, and gives up on them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_given_up_on_comes_back_and_misses_nothing() {
    let broker = cluster::own(BrokerOptions::default());
    let mut settings = cluster::settings(broker.bootstrap());
    settings.session_timeout = Duration::from_secs(2);
    let log = cluster::fresh(&settings).await;
    let mut members = Vec::new();
    for _ in 0..2 {
        let settings = GroupSettings::default();
        members.push(log.join("group", &[TOPIC], settings).await.unwrap());
    }
    let mut done = BTreeSet::new();
    for round in 0..3 {
        append(&*log, TOPIC, one_each(TOPIC, round)).await;
        let expected = (round + 1) * usize::try_from(TOPIC.partitions()).unwrap();
        until("everything is read", async || {
            for member in &mut members {
                look(&mut **member, &mut done).await;
            }
            done.len() >= expected
        })
        .await;
        assert_eq!(done.len(), expected);
        broker.freeze().unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        broker.thaw().unwrap();
        log.ready(cluster::READY_WITHIN).await.unwrap();
    }
    until("everything is committed", async || {
        for member in &mut members {
            look(&mut **member, &mut done).await;
        }
        for partition in 0..TOPIC.partitions() {
            if log.committed("group", TOPIC, partition).await.unwrap() != Some(3) {
                return false;
            }
        }
        true
    })
    .await;
}

/// Drained for longer than a session lasts: it is the heartbeats that count.
#[tokio::test(flavor = "multi_thread")]
async fn draining_may_take_its_time() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    let join = async || {
        log.join("group", &[TOPIC], GroupSettings::default())
            .await
            .unwrap()
    };
    let mut first = join().await;
    until("the first one has everything", async || {
        let event = first.next(10, Duration::from_millis(100)).await.unwrap();
        matches!(event, GroupEvent::Assigned(partitions) if partitions.len() == 6)
    })
    .await;
    append(&*log, TOPIC, one_each(TOPIC, 0)).await;
    let mut second = join().await;
    let mut revoked = Vec::new();
    until("half of it is revoked", async || {
        if let GroupEvent::Revoked(partitions) =
            first.next(10, Duration::from_millis(100)).await.unwrap()
        {
            revoked = partitions;
        }
        revoked.len() == 3
    })
    .await;
    // Two sessions long, the first one says nothing at all.
    let event = second.next(10, settings.session_timeout * 2).await.unwrap();
    assert_eq!(event, GroupEvent::Idle, "still drained by the first one");
    let next_offsets: Vec<_> = revoked.iter().map(|partition| (*partition, 1)).collect();
    first.commit_all(&next_offsets).await.unwrap();
    first.release(revoked.clone()).await.unwrap();
    until("the second one has them", async || {
        let event = second.next(10, Duration::from_millis(100)).await.unwrap();
        assert!(
            !matches!(event, GroupEvent::Records(_)),
            "all of it was committed"
        );
        matches!(event, GroupEvent::Assigned(partitions) if partitions == revoked)
    })
    .await;
}
