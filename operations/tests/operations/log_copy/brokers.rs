//! Onto a real broker, and back.

use std::{sync::Arc, time::Duration};

use operations::log_copy::CopyError;
use schemas::{Timestamp, Topic};
use stream::{
    Clock, Log, NewRecord, SystemClock,
    broker::KafkaBroker,
    kafka::{
        AppendTimes, KafkaLog, KafkaSettings,
        topics::{self, TopicSettings, TopicTimes},
    },
    registry::{SchemaIds, registered},
};

use super::{
    append, assert_equal, copied, empty, history, read,
    tampering::{Tampering, TamperingLog},
};

const READY_WITHIN: Duration = Duration::from_mins(1);

/// Topics of the test's own, as `hissaback migrate` makes them.
async fn migrated(name: &str) -> KafkaSettings {
    let broker = KafkaBroker::shared().unwrap_or_else(|error| panic!("{error}"));
    let mut settings = KafkaSettings::new(broker.bootstrap());
    settings.topic_prefix = format!("copy-{name}-{}-", std::process::id());
    let wanted = TopicSettings {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..TopicSettings::default()
    };
    let report = topics::ensure(&settings, &wanted).await.expect("made");
    assert!(report.as_expected(), "{report:?}");
    settings
}

async fn open(settings: &KafkaSettings) -> Arc<KafkaLog> {
    let log = KafkaLog::connect(settings.clone(), AppendTimes::Broker).expect("usable settings");
    log.ready(READY_WITHIN).await.expect("ready");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_on_a_broker_is_the_same_log_interrupted_or_not() {
    let from = history().await;
    let settings = migrated("whole").await;
    topics::set_times(&settings, TopicTimes::Producer)
        .await
        .expect("set");
    let to = open(&settings).await;
    let interrupted = TamperingLog::new(Arc::clone(&to) as Arc<dyn Log>, Tampering::FailAfter(40));
    let error = copied(&*from, &interrupted, false).await.unwrap_err();
    assert!(matches!(error, CopyError::Append { .. }), "{error}");
    let refused = copied(&*from, &*to, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::NotEmpty { .. }), "{refused}");
    copied(&*from, &*to, true).await.expect("copied");
    assert_equal(&*from, &*to).await;

    // From here on the brokers' clock counts, and what was copied keeps its times.
    topics::set_times(&settings, TopicTimes::Broker)
        .await
        .expect("set");
    let before = SystemClock.now().plus_millis(-60_000);
    let made_up = NewRecord::new("key", "new")
        .in_partition(3)
        .appended_at(Timestamp::default());
    append(&*to, Topic::Clicks, vec![made_up]).await;
    let old = read(&*from, Topic::Clicks, 3).await;
    let mut new = read(&*to, Topic::Clicks, 3).await;
    let last = new.pop().expect("it was appended");
    assert_eq!(old, new);
    assert!(last.appended_at > before, "{}", last.appended_at);

    // And back into one process.
    let back = empty();
    copied(&*to, &*back, false).await.expect("copied");
    assert_equal(&*to, &*back).await;
    to.close().await;
    topics::delete_all(&settings).await.expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_schemas_become_the_registrys() {
    let from = empty();
    let value = |id: u8| vec![0, 0, 0, 0, id, b'x'];
    let record = |id| NewRecord::new("key", value(id)).in_partition(0);
    append(
        &*from,
        Topic::Clicks,
        vec![record(1), record(2), record(99)],
    )
    .await;
    let settings = migrated("ids").await;
    topics::set_times(&settings, TopicTimes::Producer)
        .await
        .expect("set");
    let raw = open(&settings).await;
    let ids = SchemaIds::new(&[(1, 17), (2, 4)]).expect("a permutation");
    let to = registered(Arc::clone(&raw) as Arc<dyn Log>, ids);
    copied(&*from, &*to, false).await.expect("copied");
    assert_equal(&*from, &*to).await;
    let values: Vec<_> = read(&*raw, Topic::Clicks, 0).await;
    let values: Vec<_> = values.iter().map(|record| record.value.to_vec()).collect();
    assert_eq!(values, [value(17), value(4), value(99)]);
    raw.close().await;
    topics::delete_all(&settings).await.expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_set_times_of_their_own_are_found_out() {
    let from = history().await;
    let settings = migrated("times").await;
    let to = open(&settings).await;
    let error = copied(&*from, &*to, false).await.unwrap_err();
    assert!(matches!(error, CopyError::Different { .. }), "{error}");
    to.close().await;
    topics::delete_all(&settings).await.expect("deleted");
}
