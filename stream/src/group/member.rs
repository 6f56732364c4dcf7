//! A member of a group, over whatever the records are kept in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use schemas::Topic;
use tokio::{sync::watch, time::Instant};

use super::{
    assignment::MemberId,
    coordinator::{Change, Coordinator},
};
use crate::{
    error::LogError,
    log::{GroupConsumer, GroupEvent, GroupSettings, Partition, Watermarks},
    record::Record,
};

/// How far ahead "as good as never" lies, for a wait that overflows the clock.
const FAR: Duration = Duration::from_hours(24 * 365);

/// What a member needs of the adapter. The watermarks and committed positions come from memory.
#[async_trait]
pub(crate) trait Storage: Send + Sync + 'static {
    fn coordinator(&self) -> &Coordinator;

    /// Fails when the log was closed.
    fn check_open(&self) -> Result<(), LogError>;

    /// Of durable records only.
    fn watermarks(&self, partition: Partition) -> Watermarks;

    fn committed(&self, group: &str, partition: Partition) -> Option<i64>;

    /// Returns once durable.
    async fn commit(&self, group: &str, next_offsets: &[(Partition, i64)]) -> Result<(), LogError>;

    /// Reads the slices in their order, stopping early when `bytes_max` is reached; at least one
    /// record if there is any.
    async fn fetch(&self, slices: Vec<Slice>, bytes_max: usize) -> Result<Vec<Record>, LogError>;
}

/// A run of records of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) partition: Partition,
    pub(crate) offset: i64,
    /// At least one.
    pub(crate) records_max: usize,
}

/// A [`GroupConsumer`] over `S`.
pub(crate) struct Member<S: Storage> {
    storage: Arc<S>,
    group: String,
    id: MemberId,
    settings: GroupSettings,
    changes: watch::Receiver<()>,
    /// The next offset of each partition that is read: held, and not revoked.
    positions: BTreeMap<Partition, i64>,
    /// The partition served last, so that the next one is served first.
    served_last: Option<Partition>,
}

impl<S: Storage> Member<S> {
    pub(crate) fn join(
        storage: Arc<S>,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Self, LogError> {
        storage.check_open()?;
        let changes = storage.coordinator().changes();
        let id = storage.coordinator().join(group, topics);
        Ok(Self {
            storage,
            group: group.to_owned(),
            id,
            settings,
            changes,
            positions: BTreeMap::new(),
            served_last: None,
        })
    }

    /// An event, if there is one now. Nothing of a change is kept across an await, so that the
    /// future can be dropped at any point.
    async fn ready(&mut self, records_max: usize) -> Result<Option<GroupEvent>, LogError> {
        self.storage.check_open()?;
        match self.storage.coordinator().poll(&self.group, self.id) {
            Some(Change::Revoked(partitions)) => {
                for partition in &partitions {
                    self.positions.remove(partition);
                }
                return Ok(Some(GroupEvent::Revoked(partitions)));
            }
            Some(Change::Assigned(partitions)) => {
                for partition in &partitions {
                    let start = self
                        .storage
                        .committed(&self.group, *partition)
                        .unwrap_or_else(|| self.storage.watermarks(*partition).low);
                    self.positions.insert(*partition, start);
                }
                return Ok(Some(GroupEvent::Assigned(partitions)));
            }
            None => {}
        }
        let slices = self.plan(records_max)?;
        if slices.is_empty() {
            return Ok(None);
        }
        let records = self.storage.fetch(slices, self.settings.bytes_max).await?;
        for record in &records {
            let position = record.position;
            let partition = (position.topic, position.partition);
            self.positions.insert(partition, position.offset + 1);
            self.served_last = Some(partition);
        }
        Ok((!records.is_empty()).then_some(GroupEvent::Records(records)))
    }

    /// What to read: every partition that has something gets an even share of `records_max`, and
    /// what one can't use goes to those after it; who is first goes round.
    fn plan(&self, records_max: usize) -> Result<Vec<Slice>, LogError> {
        let mut waiting = Vec::new();
        for (partition, offset) in &self.positions {
            let watermarks = self.storage.watermarks(*partition);
            check_within(*partition, *offset, watermarks)?;
            let available = usize::try_from(watermarks.high - offset).unwrap_or(usize::MAX);
            if available > 0 {
                waiting.push((*partition, *offset, available));
            }
        }
        let first = waiting
            .iter()
            .position(|(partition, ..)| Some(*partition) > self.served_last)
            .unwrap_or(0);
        waiting.rotate_left(first);

        let mut left = records_max.max(1);
        let mut slices = Vec::with_capacity(waiting.len());
        for (index, (partition, offset, available)) in waiting.iter().enumerate() {
            let share = left.div_ceil(waiting.len() - index).min(*available);
            if share > 0 {
                slices.push(Slice {
                    partition: *partition,
                    offset: *offset,
                    records_max: share,
                });
                left -= share;
            }
        }
        Ok(slices)
    }
}

/// Fails unless reading can start at `offset`.
pub(crate) fn check_within(
    (topic, partition): Partition,
    offset: i64,
    watermarks: Watermarks,
) -> Result<(), LogError> {
    if offset > watermarks.high {
        let end = watermarks.high;
        return Err(LogError::PositionBeyondEnd {
            topic,
            partition,
            offset,
            end,
        });
    }
    if offset < watermarks.low {
        let start = watermarks.low;
        return Err(LogError::PositionBeforeStart {
            topic,
            partition,
            offset,
            start,
        });
    }
    Ok(())
}

#[async_trait]
impl<S: Storage> GroupConsumer for Member<S> {
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError> {
        // A reader that is never at the end would otherwise keep its thread to itself.
        tokio::task::coop::consume_budget().await;
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now + FAR);
        loop {
            // Seen before looking, so that what happens in between wakes the wait below.
            self.changes.borrow_and_update();
            if let Some(event) = self.ready(records_max).await? {
                return Ok(event);
            }
            if Instant::now() >= deadline {
                return Ok(GroupEvent::Idle);
            }
            match tokio::time::timeout_at(deadline, self.changes.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => return Err(LogError::Closed),
            }
        }
    }

    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError> {
        self.storage.check_open()?;
        let held = self
            .positions
            .get_mut(&(topic, partition))
            .ok_or(LogError::NotAssigned { topic, partition })?;
        check_within(
            (topic, partition),
            offset,
            self.storage.watermarks((topic, partition)),
        )?;
        *held = offset;
        Ok(())
    }

    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        self.storage.check_open()?;
        let mut moved = Vec::with_capacity(next_offsets.len());
        for (partition, next_offset) in next_offsets {
            self.storage
                .coordinator()
                .check_held(&self.group, self.id, *partition)?;
            let watermarks = self.storage.watermarks(*partition);
            if *next_offset > watermarks.high {
                return Err(LogError::PositionBeyondEnd {
                    topic: partition.0,
                    partition: partition.1,
                    offset: *next_offset,
                    end: watermarks.high,
                });
            }
            if self.storage.committed(&self.group, *partition) != Some(*next_offset) {
                moved.push((*partition, *next_offset));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        self.storage.commit(&self.group, &moved).await
    }

    async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), LogError> {
        for partition in partitions {
            self.storage
                .coordinator()
                .release(&self.group, self.id, partition)?;
            self.positions.remove(&partition);
        }
        Ok(())
    }

    async fn leave(self: Box<Self>) -> Result<(), LogError> {
        // Dropping leaves.
        Ok(())
    }
}

impl<S: Storage> Drop for Member<S> {
    fn drop(&mut self) {
        self.storage.coordinator().leave(&self.group, self.id);
    }
}
