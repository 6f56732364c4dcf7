//! A log read once more: the same records, in other partitions, another order and other batches,
//! up to where the ledger had read. Nothing is written to the log, and no group's position moves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic, partition_for_key};
use stream::{
    AppendError, GroupConsumer, GroupEvent, GroupSettings, Health, Log, LogError, NewRecord,
    Partition, Record, Refusal, Watermarks,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

/// A log as its one reader sees it.
pub(super) struct SecondReading {
    pub log: Arc<dyn Log>,
    /// Where the reading ends, by partition.
    pub ends: BTreeMap<Partition, i64>,
    /// How many partitions each topic is shown with.
    pub partitions: i32,
    /// Decides the order.
    pub seed: u64,
    /// Records that were read and applied.
    pub applied: Arc<AtomicU64>,
    /// Cancelled once everything was applied.
    pub finished: CancellationToken,
    /// Its one reader holds this. Of two, each would read all of it, and neither apply all that it
    /// read.
    pub reader: Arc<Mutex<()>>,
}

#[async_trait]
impl Log for SecondReading {
    /// Dead letters are there from the first reading; anything else is refused.
    async fn append(
        &self,
        topic: Topic,
        _records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        match topic {
            Topic::DeadLetters => Ok(Vec::new()),
            Topic::Clicks
            | Topic::Conversions
            | Topic::Decisions
            | Topic::Commands
            | Topic::Ledger
            | Topic::Payouts
            | Topic::PayoutResults => Err(AppendError::Determinate(Refusal::Unavailable(
                LogError::Closed,
            ))),
        }
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
        _topic: Topic,
        _partition: i32,
        _before_offset: i64,
    ) -> Result<i64, LogError> {
        Err(LogError::Closed)
    }

    async fn committed(
        &self,
        _group: &str,
        _topic: Topic,
        _partition: i32,
    ) -> Result<Option<i64>, LogError> {
        Ok(None)
    }

    async fn join(
        &self,
        _group: &str,
        topics: &[Topic],
        _settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        let reader = Arc::clone(&self.reader).try_lock_owned();
        let reader = reader.map_err(|_| LogError::Failed {
            reason: "a second reading has one reader at a time".to_owned(),
        })?;
        let mut sources = Vec::new();
        for (topic, partition) in self.ends.keys().filter(|(topic, _)| topics.contains(topic)) {
            let low = self.log.watermarks(*topic, *partition).await?.low;
            let end = self.ends[&(*topic, *partition)];
            if low < end {
                sources.push(Source {
                    partition: (*topic, *partition),
                    next: low,
                    end,
                });
            }
        }
        let shown = topics
            .iter()
            .flat_map(|topic| (0..self.partitions).map(|partition| (*topic, partition)));
        Ok(Box::new(SecondReader {
            log: Arc::clone(&self.log),
            sources,
            to_assign: Some(shown.collect()),
            next_offsets: BTreeMap::new(),
            partitions: self.partitions,
            dice: Dice(self.seed),
            read: 0,
            applied: Arc::clone(&self.applied),
            finished: self.finished.clone(),
            _reader: reader,
        }))
    }

    fn health(&self) -> Health {
        self.log.health()
    }

    async fn close(&self) {}
}

/// A partition of the log that isn't read to its end.
struct Source {
    partition: Partition,
    next: i64,
    end: i64,
}

/// The only reader: it has everything, and nothing is taken away from it.
struct SecondReader {
    log: Arc<dyn Log>,
    sources: Vec<Source>,
    to_assign: Option<Vec<Partition>>,
    /// By partition as it is shown.
    next_offsets: BTreeMap<Partition, i64>,
    partitions: i32,
    dice: Dice,
    read: u64,
    applied: Arc<AtomicU64>,
    finished: CancellationToken,
    _reader: OwnedMutexGuard<()>,
}

/// A sequence of numbers that a seed decides (xorshift).
struct Dice(u64);

impl Dice {
    /// From 0 to below `sides`.
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let sides = u64::try_from(sides.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.0 % sides).unwrap_or_default()
    }
}

impl SecondReader {
    /// The next records of some partition. Records of one key keep their order: they come from one
    /// partition, and go to one.
    async fn read(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        let chosen = self.dice.throw(self.sources.len());
        let Some(source) = self.sources.get_mut(chosen) else {
            return Ok(Vec::new());
        };
        let (topic, partition) = source.partition;
        let wanted = 1 + self.dice.throw(records_max);
        let mut records = self.log.read(topic, partition, source.next, wanted).await?;
        records.retain(|record| record.position.offset < source.end);
        match records.last() {
            Some(last) => source.next = last.position.offset + 1,
            None => source.next = source.end,
        }
        if source.next >= source.end {
            self.sources.swap_remove(chosen);
        }
        for record in &mut records {
            let shown = (topic, partition_for_key(&record.key, self.partitions));
            let next = self.next_offsets.entry(shown).or_default();
            record.position = Position {
                topic,
                partition: shown.1,
                offset: *next,
            };
            *next += 1;
        }
        records.sort_by_key(|record| record.position.partition);
        self.read += records.len() as u64;
        Ok(records)
    }
}

#[async_trait]
impl GroupConsumer for SecondReader {
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError> {
        if let Some(partitions) = self.to_assign.take() {
            return Ok(GroupEvent::Assigned(partitions));
        }
        while !self.sources.is_empty() {
            let records = self.read(records_max).await?;
            if !records.is_empty() {
                return Ok(GroupEvent::Records(records));
            }
        }
        if self.applied.load(Ordering::Relaxed) == self.read {
            self.finished.cancel();
        }
        tokio::time::sleep(wait).await;
        Ok(GroupEvent::Idle)
    }

    /// The ledger begins at its start, where this begins too.
    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError> {
        let next = self.next_offsets.get(&(topic, partition)).copied();
        if next.unwrap_or_default() == offset {
            Ok(())
        } else {
            Err(LogError::NotAssigned { topic, partition })
        }
    }

    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        // One batch at a time is under way: what was read is applied.
        let _ = next_offsets;
        self.applied.store(self.read, Ordering::Relaxed);
        Ok(())
    }

    async fn release(&mut self, _partitions: Vec<Partition>) -> Result<(), LogError> {
        Ok(())
    }

    async fn leave(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stream::{InMemoryLog, Limits, SystemClock};

    use super::*;

    #[tokio::test]
    async fn a_second_reading_has_one_reader_at_a_time() {
        let reading = SecondReading {
            log: InMemoryLog::new(Arc::new(SystemClock), Limits::default()),
            ends: BTreeMap::new(),
            partitions: 1,
            seed: 1,
            applied: Arc::default(),
            finished: CancellationToken::new(),
            reader: Arc::default(),
        };
        let join = async || {
            let settings = GroupSettings::default();
            reading.join("ledger", &[Topic::Clicks], settings).await
        };
        let first = join().await.expect("the first one");
        assert!(matches!(join().await, Err(LogError::Failed { .. })));
        drop(first);
        assert!(join().await.is_ok(), "one that comes again");
    }
}
