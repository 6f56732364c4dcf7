//! Keys and values as they stand in the store: format 1. Integers are big-endian, so that the
//! store's order of keys is the log's order.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `records` | topic u8, partition u32, offset u64 | appended_at i64, key length u32, header count u32, key, headers (name length u32, value length u32, name, value), value |
//! | `starts` | topic u8, partition u32 | low watermark u64, last append time i64 |
//! | `positions` | topic u8, partition u32, group | next offset u64 |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use schemas::{Position, Timestamp, Topic};

use crate::{
    error::LogError,
    log::Partition,
    record::{Header, NewRecord, Record},
};

/// Bytes of a partition's prefix.
pub(super) const PARTITION_BYTES: usize = 5;
/// Bytes of a record's key in the store.
pub(super) const KEY_BYTES: usize = PARTITION_BYTES + 8;
/// Bytes of a record's value in the store before the record's own.
const FRAME_BYTES: usize = 16;
/// No length of a record may need more than 32 bits.
pub(super) const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Stands in the store for ever: never reuse or change one.
const fn code(topic: Topic) -> u8 {
    match topic {
        Topic::Clicks => 1,
        Topic::Conversions => 2,
        Topic::Decisions => 3,
        Topic::Commands => 4,
        Topic::Ledger => 5,
        Topic::Payouts => 6,
        Topic::PayoutResults => 7,
        Topic::DeadLetters => 8,
    }
}

/// The prefix of everything about a partition.
pub(super) fn partition_key((topic, partition): Partition) -> [u8; PARTITION_BYTES] {
    let mut key = [0; PARTITION_BYTES];
    key[0] = code(topic);
    key[1..].copy_from_slice(&partition.to_be_bytes());
    key
}

/// The key of a record.
pub(super) fn record_key(partition: Partition, offset: i64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..PARTITION_BYTES].copy_from_slice(&partition_key(partition));
    key[PARTITION_BYTES..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a record's key.
pub(super) fn offset_of(key: &[u8]) -> Result<i64, LogError> {
    key.get(PARTITION_BYTES..)
        .and_then(|offset| offset.try_into().ok())
        .map(i64::from_be_bytes)
        .ok_or_else(|| damaged_key(key, "a record's key has the wrong length"))
}

/// The key of a group's position.
pub(super) fn group_key(group: &str, partition: Partition) -> Vec<u8> {
    [&partition_key(partition)[..], group.as_bytes()].concat()
}

/// The group and the partition of a position's key.
pub(super) fn group_of(key: &[u8]) -> Result<(String, Partition), LogError> {
    let (prefix, group) = key
        .split_first_chunk::<PARTITION_BYTES>()
        .ok_or_else(|| damaged_key(key, "a position's key is too short"))?;
    let [topic_code, partition @ ..] = *prefix;
    let topic = Topic::ALL
        .into_iter()
        .find(|topic| code(*topic) == topic_code)
        .ok_or_else(|| damaged_key(key, "a position's topic is unknown"))?;
    let group =
        std::str::from_utf8(group).map_err(|_| damaged_key(key, "a group's name is not UTF-8"))?;
    Ok((group.to_owned(), (topic, i32::from_be_bytes(partition))))
}

fn damaged_key(key: &[u8], reason: &'static str) -> LogError {
    LogError::Damaged {
        at: format!("key {key:02x?}"),
        reason,
    }
}

/// An i64, as positions hold it.
pub(super) fn decode_offset(key: &[u8], value: &[u8]) -> Result<i64, LogError> {
    value
        .try_into()
        .map(i64::from_be_bytes)
        .map_err(|_| damaged_key(key, "an offset has the wrong length"))
}

/// Where a partition starts, and the last append time that it ever gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) low: i64,
    pub(super) last_appended_at: Timestamp,
}

impl Start {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.low.to_be_bytes());
        value[8..].copy_from_slice(&self.last_appended_at.millis().to_be_bytes());
        value
    }

    pub(super) fn decode(key: &[u8], mut value: &[u8]) -> Result<Self, LogError> {
        if value.len() != 16 {
            return Err(damaged_key(key, "a start has the wrong length"));
        }
        let (low, millis) = (value.get_i64(), value.get_i64());
        Ok(Self {
            low,
            last_appended_at: Timestamp::from_millis(millis),
        })
    }
}

/// The records of one append, encoded but for their append times and offsets, which only the
/// writer knows: one buffer, however many records.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) topic: Topic,
    pub(super) records: Vec<Placed>,
    buffer: BytesMut,
}

/// Where a record goes, and how long its value in the store is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) partition: i32,
    /// The append time that it has to keep, if any.
    pub(super) appended_at: Option<Timestamp>,
    bytes: usize,
}

impl Encoded {
    /// The records must have been admitted: no length needs more than 32 bits.
    pub(super) fn new(topic: Topic, records: &[NewRecord]) -> Self {
        let payload: usize = records
            .iter()
            .map(|record| FRAME_BYTES + record.bytes())
            .sum();
        let mut buffer = BytesMut::with_capacity(payload);
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            let start = buffer.len();
            buffer.put_i64(0);
            buffer.put_u32(length(record.key.len()));
            buffer.put_u32(length(record.headers.len()));
            buffer.put_slice(&record.key);
            for header in &record.headers {
                buffer.put_u32(length(header.name.len()));
                buffer.put_u32(length(header.value.len()));
                buffer.put_slice(header.name.as_bytes());
                buffer.put_slice(&header.value);
            }
            buffer.put_slice(&record.value);
            let partition = record.partition_in(topic);
            placed.push(Placed {
                partition,
                appended_at: record.appended_at,
                bytes: buffer.len() - start,
            });
        }
        Self {
            topic,
            records: placed,
            buffer,
        }
    }

    /// Takes the next record's value out of the buffer, appended at `appended_at`.
    pub(super) fn take(&mut self, placed: Placed, appended_at: Timestamp) -> Bytes {
        let mut value = self.buffer.split_to(placed.bytes);
        value[..8].copy_from_slice(&appended_at.millis().to_be_bytes());
        value.freeze()
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("an admitted record is far smaller than 4 GiB")
}

/// The append time alone, for searching.
pub(super) fn appended_at_of(at: Position, value: &[u8]) -> Result<Timestamp, LogError> {
    value
        .first_chunk::<8>()
        .map(|millis| Timestamp::from_millis(i64::from_be_bytes(*millis)))
        .ok_or_else(|| LogError::Damaged {
            at: at.to_string(),
            reason: "a record is too short",
        })
}

/// A record, sharing the memory of `value`.
pub(super) fn decode_record(position: Position, mut value: Bytes) -> Result<Record, LogError> {
    let damaged = |reason| LogError::Damaged {
        at: position.to_string(),
        reason,
    };
    let too_short = || damaged("a record is too short");
    let appended_at = Timestamp::from_millis(value.try_get_i64().map_err(|_| too_short())?);
    let key_length = value.try_get_u32().map_err(|_| too_short())?;
    let header_count = value.try_get_u32().map_err(|_| too_short())?;
    let take = |length: u32, value: &mut Bytes| {
        let length = usize::try_from(length).map_err(|_| too_short())?;
        if length > value.len() {
            Err(too_short())
        } else {
            Ok(value.split_to(length))
        }
    };
    let key = take(key_length, &mut value)?;
    let mut headers = Vec::new();
    for _ in 0..header_count {
        let name_length = value.try_get_u32().map_err(|_| too_short())?;
        let value_length = value.try_get_u32().map_err(|_| too_short())?;
        let name = take(name_length, &mut value)?;
        let name =
            String::from_utf8(name.into()).map_err(|_| damaged("a header's name is not UTF-8"))?;
        headers.push(Header {
            name,
            value: take(value_length, &mut value)?,
        });
    }
    Ok(Record {
        position,
        appended_at,
        key,
        value,
        headers,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Position = Position {
        topic: Topic::Ledger,
        partition: 3,
        offset: 7,
    };

    fn bytes(size: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), size).prop_map(Bytes::from)
    }

    prop_compose! {
        fn record()(
            key in bytes(0..20),
            value in bytes(0..200),
            headers in prop::collection::vec((".{0,8}", bytes(0..20)), 0..4),
        ) -> NewRecord {
            let headers =
                headers.into_iter().map(|(name, value)| Header { name, value }).collect();
            NewRecord { partition: None, key, value, headers, appended_at: None }
        }
    }

    proptest! {
        #[test]
        fn records_read_back(records in prop::collection::vec(record(), 0..8)) {
            let mut encoded = Encoded::new(Topic::Ledger, &records);
            let now = Timestamp::from_millis(1_700_000_000_123);
            for (placed, written) in encoded.records.clone().into_iter().zip(records) {
                let stored = encoded.take(placed, now);
                prop_assert_eq!(appended_at_of(AT, &stored).unwrap(), now);
                let read = decode_record(AT, stored).unwrap();
                prop_assert_eq!(read.bytes(), written.bytes());
                prop_assert_eq!(
                    (read.appended_at, read.key, read.value, read.headers),
                    (now, written.key, written.value, written.headers)
                );
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in bytes(0..64)) {
            // Either outcome will do: what matters is that there is one.
            let _ = decode_record(AT, value);
        }

        #[test]
        fn keys_sort_as_positions(a in (0..12_i32, 0..i64::MAX), b in (0..12_i32, 0..i64::MAX)) {
            let key = |(partition, offset)| record_key((Topic::Clicks, partition), offset);
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(offset_of(&key(a)).unwrap(), a.1);
        }
    }

    #[test]
    fn groups_read_back() {
        let partition = (Topic::PayoutResults, 5);
        let key = group_key("payouts/sink", partition);
        assert_eq!(
            group_of(&key).unwrap(),
            ("payouts/sink".to_owned(), partition)
        );
    }
}
