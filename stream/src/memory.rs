//! The log in memory: for simulation and tests. No thread and no timer of its own, so that a
//! simulation on a paused clock is deterministic.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic};

use crate::{
    admission::{Admission, Limits},
    clock::Clock,
    error::{AppendError, LogError, Refusal},
    gate::WriteGate,
    group::{Coordinator, Member, Slice, Storage, check_within},
    log::{GroupConsumer, GroupSettings, Health, Log, Partition, Watermarks, check_partition},
    record::{NewRecord, Record},
};

/// A log that lives as long as the process.
pub struct InMemoryLog {
    inner: Arc<Inner>,
}

struct Inner {
    contents: Arc<Mutex<Contents>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    admission: Arc<Admission>,
    gate: WriteGate,
    coordinator: Coordinator,
    closed: AtomicBool,
}

/// What a restart keeps.
#[derive(Default)]
struct Contents {
    partitions: BTreeMap<Partition, Kept>,
    committed: BTreeMap<(String, Partition), i64>,
}

#[derive(Default)]
struct Kept {
    low: i64,
    records: VecDeque<Record>,
    last_appended_at: Option<Timestamp>,
}

impl Kept {
    fn watermarks(&self) -> Watermarks {
        let kept = i64::try_from(self.records.len()).expect("memory holds fewer than 2^63 records");
        Watermarks {
            low: self.low,
            high: self.low + kept,
        }
    }

    /// `offset` must not lie below the low watermark.
    fn index(&self, offset: i64) -> usize {
        usize::try_from(offset - self.low).expect("checked against the low watermark")
    }
}

impl InMemoryLog {
    /// An empty log.
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Self::over(Arc::default(), clock, limits)
    }

    /// Closes this log and returns one with the same records and committed positions, as a
    /// restarted process would find them: groups are empty and nothing is in flight.
    pub fn restarted(&self) -> Arc<Self> {
        self.inner.close();
        let Inner {
            contents,
            clock,
            limits,
            ..
        } = &*self.inner;
        Self::over(Arc::clone(contents), Arc::clone(clock), limits.clone())
    }

    /// Holds writes back before they take effect, or lets them through again: a stalled disk.
    pub fn hold_writes(&self, held: bool) {
        self.inner.gate.hold(held);
    }

    fn over(contents: Arc<Mutex<Contents>>, clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(Inner {
                contents,
                clock,
                admission: Admission::new(limits.clone()),
                limits,
                gate: WriteGate::new(),
                coordinator: Coordinator::new(),
                closed: AtomicBool::new(false),
            }),
        })
    }
}

impl Inner {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Nothing below panics half way through a change.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.gate.hold(false);
        self.coordinator.wake();
    }

    fn write(&self, topic: Topic, records: Vec<NewRecord>) -> Vec<Position> {
        let mut contents = self.contents();
        let now = self.clock.now();
        let mut positions = Vec::with_capacity(records.len());
        for record in records {
            let partition = record.partition_in(topic);
            let kept = contents.partitions.entry((topic, partition)).or_default();
            let position = Position {
                topic,
                partition,
                offset: kept.watermarks().high,
            };
            let appended_at = record.appended_at.unwrap_or(now);
            let appended_at = kept
                .last_appended_at
                .map_or(appended_at, |last| last.max(appended_at));
            kept.last_appended_at = Some(appended_at);
            let NewRecord {
                key,
                value,
                headers,
                ..
            } = record;
            kept.records.push_back(Record {
                position,
                appended_at,
                key,
                value,
                headers,
            });
            positions.push(position);
        }
        positions
    }

    fn slice(&self, slice: Slice, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let contents = self.contents();
        let Some(kept) = contents.partitions.get(&slice.partition) else {
            check_within(
                slice.partition,
                slice.offset,
                Watermarks { low: 0, high: 0 },
            )?;
            return Ok(Vec::new());
        };
        check_within(slice.partition, slice.offset, kept.watermarks())?;
        let mut bytes = 0;
        Ok(kept
            .records
            .range(kept.index(slice.offset)..)
            .take(slice.records_max)
            .take_while(|record| {
                let room = bytes < bytes_max;
                bytes += record.bytes();
                room
            })
            .cloned()
            .collect())
    }
}

#[async_trait]
impl Storage for Inner {
    fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::SeqCst) {
            Err(LogError::Closed)
        } else {
            Ok(())
        }
    }

    fn watermarks(&self, partition: Partition) -> Watermarks {
        self.contents()
            .partitions
            .get(&partition)
            .map_or(Watermarks { low: 0, high: 0 }, Kept::watermarks)
    }

    fn committed(&self, group: &str, partition: Partition) -> Option<i64> {
        self.contents()
            .committed
            .get(&(group.to_owned(), partition))
            .copied()
    }

    async fn commit(&self, group: &str, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        let mut contents = self.contents();
        for (partition, next_offset) in next_offsets {
            contents
                .committed
                .insert((group.to_owned(), *partition), *next_offset);
        }
        Ok(())
    }

    async fn fetch(&self, slices: Vec<Slice>, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for slice in slices {
            if bytes >= bytes_max {
                break;
            }
            let read = self.slice(slice, bytes_max - bytes)?;
            bytes += read.iter().map(Record::bytes).sum::<usize>();
            records.extend(read);
        }
        Ok(records)
    }
}

#[async_trait]
impl Log for InMemoryLog {
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        self.inner.check_open().map_err(Refusal::Unavailable)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let _permit = self.inner.admission.admit(topic, &records)?;
        self.inner.gate.passed().await;
        // Closed while it was held back: nothing was written.
        self.inner.check_open().map_err(Refusal::Unavailable)?;
        let positions = self.inner.write(topic, records);
        self.inner.coordinator.wake();
        Ok(positions)
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.inner.check_open()?;
        let partition = check_partition(topic, partition)?;
        self.inner.slice(
            Slice {
                partition,
                offset,
                records_max,
            },
            GroupSettings::default().bytes_max,
        )
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        self.inner.check_open()?;
        Ok(Storage::watermarks(
            &*self.inner,
            check_partition(topic, partition)?,
        ))
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        self.inner.check_open()?;
        let partition = check_partition(topic, partition)?;
        let contents = self.inner.contents();
        Ok(contents.partitions.get(&partition).and_then(|kept| {
            let index = kept
                .records
                .partition_point(|record| record.appended_at < at);
            kept.records.get(index).map(|record| record.position.offset)
        }))
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        self.inner.check_open()?;
        let partition = check_partition(topic, partition)?;
        let mut contents = self.inner.contents();
        let kept = contents.partitions.entry(partition).or_default();
        check_within(partition, before_offset.max(kept.low), kept.watermarks())?;
        let forgotten = kept.index(before_offset.max(kept.low));
        kept.records.drain(..forgotten);
        kept.low = kept.low.max(before_offset);
        Ok(kept.low)
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        self.inner.check_open()?;
        Ok(Storage::committed(
            &*self.inner,
            group,
            check_partition(topic, partition)?,
        ))
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        Ok(Box::new(Member::join(
            Arc::clone(&self.inner),
            group,
            topics,
            settings,
        )?))
    }

    fn health(&self) -> Health {
        match self.inner.check_open() {
            Ok(()) => Health::Ready,
            Err(closed) => Health::Unavailable {
                reason: closed.to_string(),
            },
        }
    }

    async fn close(&self) {
        self.inner.close();
    }
}
