//! A log whose schema ids are the registry's.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use schema_registry_converter::async_impl::avro::AvroDecoder;
use schemas::{
    Timestamp, Topic,
    codec::{self, CodecError, REGISTRY},
    events::{Decision, PayoutResult},
};
use stream::{
    GroupEvent, GroupSettings, InMemoryLog, Limits, Log, ManualClock, NewRecord, Record,
    contract::{self, Subject},
    registry::{RegisteredLog, SchemaIds, registered},
};
use tokio::sync::Mutex;

use super::{another_tool, client, golden, id_of, renumbered, with_id};

fn in_memory() -> Arc<InMemoryLog> {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    InMemoryLog::new(Arc::new(clock), Limits::default())
}

/// Every number of ours is another schema's there: the registry's 1 is our 2, and so on around.
fn rotated() -> SchemaIds {
    let ids: Vec<u32> = REGISTRY.iter().map(|version| version.id).collect();
    let next = ids.iter().cycle().skip(1);
    let pairs: Vec<_> = ids.iter().copied().zip(next.copied()).collect();
    SchemaIds::new(&pairs).expect("told apart")
}

fn shifted() -> SchemaIds {
    let pairs: Vec<_> = REGISTRY
        .iter()
        .map(|version| (version.id, version.id + 100))
        .collect();
    SchemaIds::new(&pairs).expect("told apart")
}

async fn append(log: &dyn Log, topic: Topic, value: Bytes) {
    let record = NewRecord::new("key", value).in_partition(0);
    log.append(topic, vec![record]).await.expect("appended");
}

async fn first(log: &dyn Log, topic: Topic) -> Record {
    let records = log.read(topic, 0, 0, 1).await.expect("read");
    records.into_iter().next().expect("a record")
}

#[test]
fn equal_ids_leave_the_log_alone() {
    let log: Arc<dyn Log> = in_memory();
    let same = registered(log.clone(), SchemaIds::equal());
    assert!(Arc::ptr_eq(&log, &same));
}

#[tokio::test]
async fn records_have_the_registrys_ids_in_the_log_and_ours_here() {
    let embedded = renumbered(|id| id + 100).await;
    let ids = client(&embedded.url()).ids().await.expect("answers");
    let inner = in_memory();
    let log = registered(inner.clone(), ids);
    let written = golden("payout-results.v1");
    append(&*log, Topic::PayoutResults, written.clone()).await;

    let wire = first(&*inner, Topic::PayoutResults).await.value;
    assert_eq!(id_of(&wire), id_of(&written) + 100);
    let decoder = AvroDecoder::new(another_tool(&embedded.url()));
    let read = decoder
        .decode(Some(&wire))
        .await
        .expect("another tool reads it");
    assert_eq!(read.name.expect("a record").name(), "PayoutResult");

    assert_eq!(first(&*log, Topic::PayoutResults).await.value, written);
    let topics = [Topic::PayoutResults];
    let group = log.join("group", &topics, GroupSettings::default()).await;
    let mut member = group.expect("joins");
    let delivered = loop {
        let event = member.next(10, Duration::from_secs(10)).await;
        match event.expect("an event") {
            GroupEvent::Records(records) => break records,
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) | GroupEvent::Idle => {}
        }
    };
    assert_eq!(delivered[0].value, written);
    let event: PayoutResult = codec::decode(&delivered[0].value).expect("decodes");
    assert_eq!(event, codec::decode(&written).expect("decodes"));
    member.leave().await.expect("leaves");
}

#[tokio::test]
async fn a_version_of_later_is_a_dead_letter_with_its_bytes() {
    let inner = in_memory();
    let log = RegisteredLog::new(inner.clone(), shifted());
    let later = with_id(&golden("decisions.matched.v2"), 950);
    append(&*inner, Topic::Decisions, later.clone()).await;
    let read = first(&log, Topic::Decisions).await;
    let error = codec::decode::<Decision>(&read.value).expect_err("not known");
    assert!(
        matches!(error, CodecError::UnknownSchema { id: 950, .. }),
        "{error}"
    );
    append(&log, Topic::DeadLetters, read.value).await;
    assert_eq!(first(&*inner, Topic::DeadLetters).await.value, later);
}

#[tokio::test]
async fn a_number_of_ours_that_is_something_else_there_is_never_taken_for_ours() {
    for version in REGISTRY {
        for ids in [shifted(), rotated()] {
            let inner = in_memory();
            let log = RegisteredLog::new(inner.clone(), ids);
            // What somebody wrote with the number that a decision has here.
            let foreign = with_id(&golden("decisions.matched.v1"), version.id);
            append(&*inner, Topic::Decisions, foreign.clone()).await;
            let read = first(&log, Topic::Decisions).await;
            let here = id_of(&read.value);
            let decision = REGISTRY
                .iter()
                .any(|ours| ours.topic == Topic::Decisions && ours.id == here);
            let meant = ids_of_decisions_in(&log, &inner)
                .await
                .contains(&version.id);
            assert_eq!(decision, meant, "{} is {here}", version.id);
            append(&log, Topic::DeadLetters, read.value).await;
            assert_eq!(first(&*inner, Topic::DeadLetters).await.value, foreign);
        }
    }
}

/// The registry's ids of our decisions, as the log writes them.
async fn ids_of_decisions_in(log: &dyn Log, inner: &InMemoryLog) -> Vec<u32> {
    let mut ids = Vec::new();
    let ours = REGISTRY
        .iter()
        .filter(|ours| ours.topic == Topic::Decisions);
    for (offset, ours) in (0_i64..).zip(ours) {
        let value = with_id(&golden("decisions.matched.v1"), ours.id);
        append(log, Topic::Commands, value).await;
        let records = inner.read(Topic::Commands, 0, offset, 1).await;
        ids.push(id_of(&records.expect("read")[0].value));
    }
    ids
}

#[tokio::test]
async fn what_was_datum_and_is_none_is_a_dead_letter_as_it_was_written() {
    let inner = in_memory();
    let log = RegisteredLog::new(inner.clone(), rotated());
    for value in [
        &b""[..],
        b"not avro",
        b"\0\0\0\0\x01",
        b"\0\0\0\0\x03cut short",
        b"\0\x80\0\0\x03odd",
        b"\0\xff\xff\xff\xff",
    ] {
        let value = Bytes::from_static(value);
        let at = inner
            .watermarks(Topic::Decisions, 0)
            .await
            .expect("there")
            .high;
        append(&*inner, Topic::Decisions, value.clone()).await;
        let read = log.read(Topic::Decisions, 0, at, 1).await.expect("read");
        let read = read[0].value.clone();
        assert!(codec::decode::<Decision>(&read).is_err());
        append(&log, Topic::DeadLetters, read).await;
        let dead = inner
            .read(Topic::DeadLetters, 0, at, 1)
            .await
            .expect("read");
        assert_eq!(dead[0].value, value);
    }
}

/// The contract of every log, around one in memory.
struct Registered(Mutex<Option<Arc<InMemoryLog>>>, Arc<ManualClock>);

#[async_trait]
impl Subject for Registered {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        let log = InMemoryLog::new(self.1.clone(), limits);
        *self.0.lock().await = Some(log.clone());
        registered(log, rotated())
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        drop(log);
        let mut latest = self.0.lock().await;
        let restarted = latest.as_ref().expect("a log").restarted();
        *latest = Some(restarted.clone());
        registered(restarted, rotated())
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.1.clone())
    }

    async fn hold_writes(&self, held: bool) -> bool {
        let latest = self.0.lock().await;
        latest.as_ref().expect("a log").hold_writes(held);
        true
    }
}

#[tokio::test]
async fn it_is_a_log_like_every_other() {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let subject = Registered(Mutex::default(), Arc::new(clock));
    contract::run_all(&subject).await;
}
