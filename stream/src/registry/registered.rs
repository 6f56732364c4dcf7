//! A log whose schema ids are a registry's.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic};

use super::ids::SchemaIds;
use crate::{
    error::{AppendError, LogError},
    log::{GroupConsumer, GroupEvent, GroupSettings, Health, Log, Partition, Watermarks},
    record::{NewRecord, Record},
};

/// `log` with values whose schema ids are the registry's: itself, where those are equal to ours.
pub fn registered(log: Arc<dyn Log>, ids: SchemaIds) -> Arc<dyn Log> {
    if ids.are_equal() {
        log
    } else {
        Arc::new(RegisteredLog::new(log, ids))
    }
}

/// A log that holds the registry's ids, and takes and gives ours; otherwise it does what `L` does.
///
/// Every topic alike, dead letters too: what was read under an id of ours stands there under the
/// registry's again, so that the bytes in the log are the original's.
pub struct RegisteredLog<L> {
    log: L,
    ids: Arc<SchemaIds>,
}

impl<L: Log> RegisteredLog<L> {
    /// Around a log, with the ids that the registry gave.
    pub fn new(log: L, ids: SchemaIds) -> Self {
        Self {
            log,
            ids: Arc::new(ids),
        }
    }
}

fn read(mut records: Vec<Record>, ids: &SchemaIds) -> Vec<Record> {
    for record in &mut records {
        record.value = ids.inward(std::mem::take(&mut record.value));
    }
    records
}

#[async_trait]
impl<L: Log> Log for RegisteredLog<L> {
    async fn append(
        &self,
        topic: Topic,
        mut records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        for record in &mut records {
            record.value = self.ids.outward(std::mem::take(&mut record.value));
        }
        self.log.append(topic, records).await
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let records = self.log.read(topic, partition, offset, records_max).await?;
        Ok(read(records, &self.ids))
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        self.log.watermarks(topic, partition).await
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        self.log.offset_for_time(topic, partition, at).await
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        self.log.trim(topic, partition, before_offset).await
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        self.log.committed(group, topic, partition).await
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        Ok(Box::new(RegisteredConsumer {
            consumer: self.log.join(group, topics, settings).await?,
            ids: Arc::clone(&self.ids),
        }))
    }

    fn health(&self) -> Health {
        self.log.health()
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

/// A member of a group of a [`RegisteredLog`].
struct RegisteredConsumer {
    consumer: Box<dyn GroupConsumer>,
    ids: Arc<SchemaIds>,
}

#[async_trait]
impl GroupConsumer for RegisteredConsumer {
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError> {
        Ok(match self.consumer.next(records_max, wait).await? {
            GroupEvent::Records(records) => GroupEvent::Records(read(records, &self.ids)),
            other @ (GroupEvent::Assigned(_) | GroupEvent::Revoked(_) | GroupEvent::Idle) => other,
        })
    }

    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError> {
        self.consumer.seek(topic, partition, offset).await
    }

    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        self.consumer.commit_all(next_offsets).await
    }

    async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), LogError> {
        self.consumer.release(partitions).await
    }

    async fn leave(self: Box<Self>) -> Result<(), LogError> {
        self.consumer.leave().await
    }
}
