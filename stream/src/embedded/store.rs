//! The store under the log, and what of it is kept in memory.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue, config::BlockSizePolicy,
};
use schemas::{Position, Timestamp, Topic};

use super::{
    directory::Directory,
    layout::{
        Start, appended_at_of, decode_offset, decode_record, group_of, offset_of, partition_key,
        record_key,
    },
};
use crate::{
    error::LogError,
    group::{Slice, check_within},
    log::{Partition, Watermarks},
    record::Record,
};

/// Records are mostly read in runs.
const BLOCK_BYTES: u32 = 16 * 1024;
/// Records in memory before they are written as a table. While tables are compacted as many again
/// wait, up to four times, and then appends do: this is half of the default, so that a burst takes
/// half of the memory. A log keeps what it was made with.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// How many trimmed records are deleted in one batch.
const DELETE_BATCH: usize = 5_000;

/// The store, open. Dropped last to first, so that the directory is let go of at the very end.
pub(super) struct Store {
    pub(super) records: Keyspace,
    pub(super) starts: Keyspace,
    pub(super) positions: Keyspace,
    pub(super) database: Database,
    partitions: BTreeMap<Partition, Bounds>,
    committed: Mutex<Committed>,
    _directory: Directory,
}

/// Next offset per group and partition.
type Committed = BTreeMap<String, BTreeMap<Partition, i64>>;

/// What is durable of a partition. Changed by the writer only.
#[derive(Debug)]
struct Bounds {
    low: AtomicI64,
    high: AtomicI64,
}

/// Where the writer goes on in a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) next_offset: i64,
    pub(super) last_appended_at: Timestamp,
}

impl Store {
    /// Opens the store in `path`, making it if need be, and says where each partition ends.
    pub(super) fn open(
        path: &Path,
        cache_bytes: u64,
    ) -> Result<(Self, BTreeMap<Partition, End>), LogError> {
        let directory = Directory::take(path)?;
        let folder = directory.store(|folder| {
            let (database, _keyspaces) = open_database(folder, cache_bytes)?;
            database
                .persist(PersistMode::SyncAll)
                .map_err(|error| failed("making the store", error))
        })?;
        let (database, [records, starts, positions]) = open_database(&folder, cache_bytes)?;
        // What a killed process wrote may be here without ever having been synced: readers see
        // only what is durable.
        database
            .persist(PersistMode::SyncAll)
            .map_err(|error| failed("syncing what was recovered", error))?;

        let mut partitions = BTreeMap::new();
        let mut ends = BTreeMap::new();
        for partition in all_partitions() {
            let (bounds, end) = recover_partition(partition, &records, &starts)?;
            partitions.insert(partition, bounds);
            ends.insert(partition, end);
        }
        let committed = Mutex::new(recover_committed(&positions)?);
        let store = Self {
            records,
            starts,
            positions,
            database,
            partitions,
            committed,
            _directory: directory,
        };
        for partition in all_partitions() {
            // A crash may have come between the start and the deletion.
            store.delete(partition, 0, store.watermarks(partition).low)?;
        }
        Ok((store, ends))
    }

    /// Of durable records only. The partition must be one of the topic's.
    pub(super) fn watermarks(&self, partition: Partition) -> Watermarks {
        let bounds = self.bounds(partition);
        // The low one first: it never passes the high one.
        let low = bounds.low.load(Ordering::Acquire);
        Watermarks {
            low,
            high: bounds.high.load(Ordering::Acquire),
        }
    }

    /// Lets readers see the records up to `high`, which are durable.
    pub(super) fn publish_high(&self, partition: Partition, high: i64) {
        self.bounds(partition).high.store(high, Ordering::Release);
    }

    /// Hides the records below `low`, durably decided.
    pub(super) fn publish_low(&self, partition: Partition, low: i64) {
        self.bounds(partition).low.store(low, Ordering::Release);
    }

    fn bounds(&self, partition: Partition) -> &Bounds {
        self.partitions
            .get(&partition)
            .expect("callers check the partition against the topic")
    }

    pub(super) fn committed(&self) -> MutexGuard<'_, Committed> {
        // One insertion at a time: nothing is ever half done.
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The records of a slice, stopping once `bytes_max` is reached; at least one if there is any.
    pub(super) fn read(&self, slice: Slice, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let Slice {
            partition,
            offset,
            records_max,
        } = slice;
        let watermarks = self.watermarks(partition);
        check_within(partition, offset, watermarks)?;
        let available = usize::try_from(watermarks.high - offset).unwrap_or(usize::MAX);
        let wanted = records_max.min(available);
        let (from, to) = (
            record_key(partition, offset),
            record_key(partition, watermarks.high),
        );
        let mut records = Vec::with_capacity(wanted);
        let mut bytes = 0;
        for (expected, entry) in (offset..).zip(self.records.range(from..to).take(wanted)) {
            if bytes >= bytes_max {
                return Ok(records);
            }
            let (key, value) = entry
                .into_inner()
                .map_err(|error| failed("reading records", error))?;
            if offset_of(&key)? != expected {
                return Err(self.missing(partition, expected));
            }
            let (topic, partition) = partition;
            let position = Position {
                topic,
                partition,
                offset: expected,
            };
            let record = decode_record(position, Bytes::from(value))?;
            bytes += record.bytes();
            records.push(record);
        }
        if records.len() < wanted {
            let read = i64::try_from(records.len()).unwrap_or(i64::MAX);
            return Err(self.missing(partition, offset + read));
        }
        Ok(records)
    }

    /// Why a record below the high watermark is not there: trimmed since we looked, or lost.
    fn missing(&self, partition: Partition, offset: i64) -> LogError {
        if let Err(trimmed) = check_within(partition, offset, self.watermarks(partition)) {
            return trimmed;
        }
        let (topic, partition) = partition;
        LogError::Damaged {
            at: Position {
                topic,
                partition,
                offset,
            }
            .to_string(),
            reason: "the record is missing",
        }
    }

    /// The first record appended at or after `at`: a binary search, since append times never
    /// decrease.
    pub(super) fn offset_for_time(
        &self,
        partition: Partition,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        let Watermarks { low, high } = self.watermarks(partition);
        let (mut from, mut to) = (low, high);
        while from < to {
            let middle = from + (to - from) / 2;
            if self.appended_at(partition, middle)? < at {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok((from < high).then_some(from))
    }

    /// When a record that is kept was appended.
    pub(super) fn appended_at(
        &self,
        partition: Partition,
        offset: i64,
    ) -> Result<Timestamp, LogError> {
        let value: UserValue = self
            .records
            .get(record_key(partition, offset))
            .map_err(|error| failed("reading a record's time", error))?
            .ok_or_else(|| self.missing(partition, offset))?;
        let (topic, partition) = partition;
        appended_at_of(
            Position {
                topic,
                partition,
                offset,
            },
            &value,
        )
    }

    /// Deletes the records from `from` to below `to`, which are already hidden. Repeatable.
    pub(super) fn delete(&self, partition: Partition, from: i64, to: i64) -> Result<(), LogError> {
        let failed = |error| failed("deleting trimmed records", error);
        let range = record_key(partition, from)..record_key(partition, to);
        let mut trimmed = self.records.range(range).peekable();
        while trimmed.peek().is_some() {
            let mut batch = self.database.batch();
            for entry in trimmed.by_ref().take(DELETE_BATCH) {
                batch.remove(&self.records, entry.key().map_err(failed)?);
            }
            batch.commit().map_err(failed)?;
        }
        Ok(())
    }
}

/// The store's error, without its wrapping where the operating system says it better.
pub(super) fn failed(doing: &'static str, error: fjall::Error) -> LogError {
    match error {
        fjall::Error::Io(error) => LogError::storage(doing, error),
        error => LogError::storage(doing, error),
    }
}

fn all_partitions() -> impl Iterator<Item = Partition> {
    Topic::ALL
        .into_iter()
        .flat_map(|topic| (0..topic.partitions()).map(move |partition| (topic, partition)))
}

fn open_database(folder: &Path, cache_bytes: u64) -> Result<(Database, [Keyspace; 3]), LogError> {
    let failed = |error| failed("opening the store", error);
    let database = Database::builder(folder)
        .cache_size(cache_bytes)
        // Of several, the first keeps putting compactions back into the queue, at the cost of a
        // core, for as long as another one compacts (fjall 3.1.13, worker_pool.rs).
        .worker_threads(1)
        .open()
        .map_err(failed)?;
    let records = || {
        KeyspaceCreateOptions::default()
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .expect_point_read_hits(true)
            .max_memtable_size(MEMTABLE_BYTES)
    };
    let keyspaces = [
        database.keyspace("records", records).map_err(failed)?,
        database
            .keyspace("starts", KeyspaceCreateOptions::default)
            .map_err(failed)?,
        database
            .keyspace("positions", KeyspaceCreateOptions::default)
            .map_err(failed)?,
    ];
    Ok((database, keyspaces))
}

fn recover_partition(
    partition: Partition,
    records: &Keyspace,
    starts: &Keyspace,
) -> Result<(Bounds, End), LogError> {
    let failed = |error| failed("finding where a partition ends", error);
    let prefix = partition_key(partition);
    let start = starts.get(prefix).map_err(failed)?;
    let start = match start {
        Some(value) => Start::decode(&prefix, &value)?,
        None => Start {
            low: 0,
            last_appended_at: Timestamp::from_millis(i64::MIN),
        },
    };
    let end = match records.prefix(prefix).next_back() {
        Some(last) => {
            let (key, value) = last.into_inner().map_err(failed)?;
            let (topic, partition) = partition;
            let offset = offset_of(&key)?;
            let appended_at = appended_at_of(
                Position {
                    topic,
                    partition,
                    offset,
                },
                &value,
            )?;
            End {
                next_offset: start.low.max(offset + 1),
                last_appended_at: start.last_appended_at.max(appended_at),
            }
        }
        None => End {
            next_offset: start.low,
            last_appended_at: start.last_appended_at,
        },
    };
    let bounds = Bounds {
        low: AtomicI64::new(start.low),
        high: AtomicI64::new(end.next_offset),
    };
    Ok((bounds, end))
}

fn recover_committed(positions: &Keyspace) -> Result<Committed, LogError> {
    let mut committed = Committed::new();
    for entry in positions.iter() {
        let (key, value) = entry
            .into_inner()
            .map_err(|error| failed("reading committed positions", error))?;
        let (group, partition) = group_of(&key)?;
        committed
            .entry(group)
            .or_default()
            .insert(partition, decode_offset(&key, &value)?);
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_at_the_next_opening_what_a_crash_left() {
        let directory = tempfile::tempdir().unwrap();
        let partition = (Topic::Clicks, 0);
        let everything = || record_key(partition, 0)..record_key(partition, i64::MAX);
        let (store, _ends) = Store::open(directory.path(), 1024 * 1024).unwrap();
        for offset in 0..10 {
            let frame = [0; 16];
            store
                .records
                .insert(record_key(partition, offset), frame)
                .unwrap();
        }
        let start = Start {
            low: 4,
            last_appended_at: Timestamp::from_millis(0),
        };
        store
            .starts
            .insert(partition_key(partition), start.encode())
            .unwrap();
        assert_eq!(store.records.range(everything()).count(), 10);
        drop(store);

        let (store, _ends) = Store::open(directory.path(), 1024 * 1024).unwrap();
        assert_eq!(store.watermarks(partition), Watermarks { low: 4, high: 10 });
        assert_eq!(store.records.range(everything()).count(), 6);
    }
}
