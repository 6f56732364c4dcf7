//! A log that doesn't keep what it is given.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{Position, Timestamp, Topic};
use stream::{
    AppendError, GroupConsumer, GroupSettings, Health, Log, LogError, NewRecord, Record, Watermarks,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Tampering {
    /// After so many batches, the outcome of each is unknown.
    FailAfter(usize),
    /// A dead letter's value loses a byte.
    Value,
    /// A dead letter's time is another.
    Time,
    /// A dead letter loses a header.
    Header,
}

pub struct TamperingLog {
    log: Arc<dyn Log>,
    tampering: Tampering,
    batches: AtomicUsize,
}

impl TamperingLog {
    pub fn new(log: Arc<dyn Log>, tampering: Tampering) -> Self {
        Self {
            log,
            tampering,
            batches: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Log for TamperingLog {
    async fn append(
        &self,
        topic: Topic,
        mut records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        let batches = self.batches.fetch_add(1, Ordering::Relaxed);
        let letter = records.last_mut().filter(|_| topic == Topic::DeadLetters);
        match (self.tampering, letter) {
            (Tampering::FailAfter(after), _) if batches >= after => {
                return Err(AppendError::Indeterminate(LogError::Closed));
            }
            (Tampering::Value, Some(letter)) => {
                letter.value = Bytes::from_static(b"something else");
            }
            (Tampering::Time, Some(letter)) => {
                letter.appended_at = letter.appended_at.map(|at| at.plus_millis(1));
            }
            (Tampering::Header, Some(letter)) => letter.headers = Vec::new(),
            (_, _) => {}
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
        self.log.read(topic, partition, offset, records_max).await
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
        self.log.join(group, topics, settings).await
    }

    fn health(&self) -> Health {
        self.log.health()
    }

    async fn close(&self) {
        self.log.close().await;
    }
}
