//! Faults on demand, wrapped around any log: what a broker or a disk does on a bad day.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic};

use crate::{
    error::{AppendError, LogError, Refusal},
    log::{GroupConsumer, GroupEvent, GroupSettings, Health, Log, Partition, Watermarks},
    record::{NewRecord, Record},
};

/// Which faults are still to happen. Shared by a [`FaultyLog`] and its consumers; each fault
/// happens as many times as it was asked for, to whoever comes next.
#[derive(Debug, Default)]
pub struct Faults {
    appends_refused: AtomicUsize,
    acknowledgements_lost: AtomicUsize,
    commits_failed: AtomicUsize,
    events_repeated: AtomicUsize,
    /// Grows by one for every rewind; each consumer remembers how many it has seen.
    rewinds: AtomicUsize,
    unreachable: AtomicBool,
}

impl Faults {
    /// The next `count` appends write nothing and say so (determinate).
    pub fn refuse_appends(&self, count: usize) {
        self.appends_refused.fetch_add(count, Ordering::SeqCst);
    }

    /// The next `count` appends are written, and their callers told that the outcome is unknown
    /// (indeterminate).
    pub fn lose_acknowledgements(&self, count: usize) {
        self.acknowledgements_lost
            .fetch_add(count, Ordering::SeqCst);
    }

    /// The next `count` commits fail, and are not kept.
    pub fn fail_commits(&self, count: usize) {
        self.commits_failed.fetch_add(count, Ordering::SeqCst);
    }

    /// The next `count` batches of records are delivered twice, one after the other.
    pub fn repeat_records(&self, count: usize) {
        self.events_repeated.fetch_add(count, Ordering::SeqCst);
    }

    /// Every consumer that has joined goes back to its committed positions, as after a crash.
    pub fn rewind_consumers(&self) {
        self.rewinds.fetch_add(1, Ordering::SeqCst);
    }

    /// While set, every append, read and commit fails without effect.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.unreachable.store(unreachable, Ordering::SeqCst);
    }

    /// Uses up one fault of this kind, if any is left.
    fn take(kind: &AtomicUsize) -> bool {
        kind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    }

    fn check_reachable(&self) -> Result<(), LogError> {
        if self.unreachable.load(Ordering::SeqCst) {
            Err(injected())
        } else {
            Ok(())
        }
    }
}

fn injected() -> LogError {
    LogError::storage(
        "doing as told by the test",
        std::io::Error::other("injected fault"),
    )
}

/// A log that fails on demand and otherwise does what `L` does.
pub struct FaultyLog<L> {
    log: L,
    faults: Arc<Faults>,
}

impl<L: Log> FaultyLog<L> {
    /// Without a fault yet.
    pub fn new(log: L) -> Self {
        Self {
            log,
            faults: Arc::default(),
        }
    }

    /// The knobs.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }
}

#[async_trait]
impl<L: Log> Log for FaultyLog<L> {
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        self.faults
            .check_reachable()
            .map_err(Refusal::Unavailable)?;
        if Faults::take(&self.faults.appends_refused) {
            return Err(Refusal::Unavailable(injected()).into());
        }
        let positions = self.log.append(topic, records).await?;
        if Faults::take(&self.faults.acknowledgements_lost) {
            return Err(AppendError::Indeterminate(injected()));
        }
        Ok(positions)
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.faults.check_reachable()?;
        self.log.read(topic, partition, offset, records_max).await
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        self.faults.check_reachable()?;
        self.log.watermarks(topic, partition).await
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        self.faults.check_reachable()?;
        self.log.offset_for_time(topic, partition, at).await
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        self.faults.check_reachable()?;
        self.log.trim(topic, partition, before_offset).await
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        self.faults.check_reachable()?;
        self.log.committed(group, topic, partition).await
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.faults.check_reachable()?;
        Ok(Box::new(FaultyConsumer {
            consumer: self.log.join(group, topics, settings).await?,
            faults: Arc::clone(&self.faults),
            rewinds_seen: self.faults.rewinds.load(Ordering::SeqCst),
            rewind_to: BTreeMap::new(),
            repetition: None,
        }))
    }

    fn health(&self) -> Health {
        match self.faults.check_reachable() {
            Ok(()) => self.log.health(),
            Err(error) => Health::Unavailable {
                reason: error.to_string(),
            },
        }
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

/// A member of a group that sees some things twice.
pub struct FaultyConsumer {
    consumer: Box<dyn GroupConsumer>,
    faults: Arc<Faults>,
    rewinds_seen: usize,
    /// Where each partition read would start again after a crash: what was committed last, else
    /// where reading began.
    rewind_to: BTreeMap<Partition, i64>,
    repetition: Option<Vec<Record>>,
}

impl FaultyConsumer {
    async fn rewind_if_told(&mut self) -> Result<(), LogError> {
        let rewinds = self.faults.rewinds.load(Ordering::SeqCst);
        if rewinds != self.rewinds_seen {
            self.repetition = None;
            for ((topic, partition), offset) in &self.rewind_to {
                self.consumer.seek(*topic, *partition, *offset).await?;
            }
            self.rewinds_seen = rewinds;
        }
        Ok(())
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.rewind_to.remove(partition);
        }
    }
}

#[async_trait]
impl GroupConsumer for FaultyConsumer {
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError> {
        self.faults.check_reachable()?;
        self.rewind_if_told().await?;
        if let Some(records) = self.repetition.take() {
            return Ok(GroupEvent::Records(records));
        }
        let event = self.consumer.next(records_max, wait).await?;
        match &event {
            GroupEvent::Assigned(partitions) | GroupEvent::Revoked(partitions) => {
                self.forget(partitions);
            }
            GroupEvent::Records(records) => {
                for Record { position, .. } in records {
                    self.rewind_to
                        .entry((position.topic, position.partition))
                        .or_insert(position.offset);
                }
                if Faults::take(&self.faults.events_repeated) {
                    self.repetition = Some(records.clone());
                }
            }
            GroupEvent::Idle => {}
        }
        Ok(event)
    }

    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError> {
        self.consumer.seek(topic, partition, offset).await?;
        self.rewind_to.insert((topic, partition), offset);
        Ok(())
    }

    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        self.faults.check_reachable()?;
        if Faults::take(&self.faults.commits_failed) {
            return Err(injected());
        }
        self.consumer.commit_all(next_offsets).await?;
        for (partition, next_offset) in next_offsets {
            if let Some(offset) = self.rewind_to.get_mut(partition) {
                *offset = *next_offset;
            }
        }
        Ok(())
    }

    async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), LogError> {
        self.consumer.release(partitions).await
    }

    async fn leave(self: Box<Self>) -> Result<(), LogError> {
        self.consumer.leave().await
    }
}
