//! The port: what a log has to do, whatever it is kept in.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic};

use crate::{
    error::{AppendError, LogError},
    record::{NewRecord, Record},
};

/// A partition of a topic.
pub type Partition = (Topic, i32);

/// The offsets that a partition holds: `low <= offset < high`, without gaps in the adapters here
/// (Kafka's may have gaps where a transaction marker stood; readers must not count on density).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset kept.
    pub low: i64,
    /// The next offset to be written.
    pub high: i64,
}

/// Whether the log can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes and gives records.
    Ready,
    /// It does not take records at present, and may recover by itself.
    Unavailable {
        /// Why, for an operator.
        reason: String,
    },
    /// It has failed for good: only a restart recovers it.
    Failed {
        /// Why, for an operator.
        reason: String,
    },
}

/// An append-only log of topics and partitions.
///
/// Methods may be called concurrently. A future that is dropped before it is ready leaves an
/// append or a commit undecided: it may still happen.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends `records` to `topic`, and returns their positions, in the order given, once every
    /// one is durable. Records of one call keep their order within a partition. All-or-nothing is
    /// not promised: after [`AppendError::Indeterminate`] some may be there. An empty batch
    /// returns at once.
    ///
    /// Never waits for room: when the bound on what is in flight is used up it is refused at once
    /// ([`crate::Refusal::Overloaded`]).
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError>;

    /// Reads from `offset` up to `records_max` records, without a group; fewer when the answer
    /// grows large, none at the end. An offset beyond the end or below the start is an error.
    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError>;

    /// What the partition holds. Only durable records count.
    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError>;

    /// The first offset kept whose append time is at or after `at`; `None` when there is none.
    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError>;

    /// Forgets the records below `before_offset`, for good, and returns the new low watermark.
    /// Offsets are never used again. An offset beyond the end is an error; one below the start
    /// changes nothing.
    async fn trim(&self, topic: Topic, partition: i32, before_offset: i64)
    -> Result<i64, LogError>;

    /// The next offset that `group` committed for the partition; `None` if it never did.
    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError>;

    /// Joins `group` as a new member that reads `topics`. Dropping the consumer is a crash: its
    /// partitions go to others, and what it did not commit is delivered again. On Kafka a member
    /// with a name ([`crate::kafka::KafkaSettings::group_instance_id`]) may come back first.
    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError>;

    /// Whether the log can do its work, as far as it knows without trying.
    fn health(&self) -> Health;

    /// Takes no more records, finishes what is in flight, and ends the consumers with
    /// [`LogError::Closed`]. Closing twice is fine.
    async fn close(&self);
}

/// A member of a consumer group. Rebalancing is cooperative: only partitions that move are
/// revoked, and the others are read on.
#[async_trait]
pub trait GroupConsumer: Send + Sync {
    /// The next thing that happened, waiting at most `wait` for it. [`LogError::Fenced`], for good,
    /// once another process has joined under this member's name.
    ///
    /// Safe to cancel: dropping the future loses no event.
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError>;

    /// Reads an assigned partition from `offset` on. A sink that keeps its own position seeks on
    /// assignment; without a seek, reading starts at the committed position, else at the earliest.
    /// An offset beyond the end is [`LogError::PositionBeyondEnd`]: the consumer must not start.
    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError>;

    /// Commits the next offset to be read, for each partition given, durably and at once.
    /// [`LogError::NotAssigned`] for a partition that was released or taken away, in which case
    /// nothing is committed.
    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError>;

    /// Commits for one partition: see [`GroupConsumer::commit_all`].
    async fn commit(
        &mut self,
        topic: Topic,
        partition: i32,
        next_offset: i64,
    ) -> Result<(), LogError> {
        self.commit_all(&[((topic, partition), next_offset)]).await
    }

    /// Gives up revoked partitions, once what was read from them is done with and committed.
    /// Until then nobody else is assigned them.
    async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), LogError>;

    /// Leaves the group, giving up everything at once.
    async fn leave(self: Box<Self>) -> Result<(), LogError>;
}

/// What a member of a group is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// These partitions are this member's from now on, besides those that it has.
    Assigned(Vec<Partition>),
    /// These are to be given up: finish what was read from them, commit, and call
    /// [`GroupConsumer::release`]. No more records come from them.
    Revoked(Vec<Partition>),
    /// Records, at least one: grouped by partition, in order within each.
    Records(Vec<Record>),
    /// Nothing happened within the wait.
    Idle,
}

/// How a member of a group reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// About how many bytes one [`GroupEvent::Records`] may hold; a single record may exceed it.
    pub bytes_max: usize,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            bytes_max: 8 * 1024 * 1024,
        }
    }
}

/// Fails unless the topic has the partition.
pub(crate) fn check_partition(topic: Topic, partition: i32) -> Result<Partition, LogError> {
    if (0..topic.partitions()).contains(&partition) {
        Ok((topic, partition))
    } else {
        Err(LogError::NoSuchPartition { topic, partition })
    }
}

/// A shared log is a log.
#[async_trait]
impl<L: Log + ?Sized> Log for Arc<L> {
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        (**self).append(topic, records).await
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        (**self).read(topic, partition, offset, records_max).await
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        (**self).watermarks(topic, partition).await
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        (**self).offset_for_time(topic, partition, at).await
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        (**self).trim(topic, partition, before_offset).await
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        (**self).committed(group, topic, partition).await
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        (**self).join(group, topics, settings).await
    }

    fn health(&self) -> Health {
        (**self).health()
    }

    async fn close(&self) {
        (**self).close().await;
    }
}
