//! Records as they are written and as they are read.

use bytes::Bytes;
use schemas::{Position, Timestamp, Topic};

/// A header of a record: a name, and bytes that the log doesn't look into. Names may repeat, and
/// the order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, UTF-8.
    pub name: String,
    /// Its value; may be empty.
    pub value: Bytes,
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The partition it goes to, or `None` to let the key decide (murmur2, as Java's clients do).
    pub partition: Option<i32>,
    /// Its key; may be empty.
    pub key: Bytes,
    /// Its value; may be empty.
    pub value: Bytes,
    /// Its headers, in order.
    pub headers: Vec<Header>,
    /// The append time to keep, or `None` for the log's own clock. One before the partition's last
    /// becomes that one.
    pub appended_at: Option<Timestamp>,
}

impl NewRecord {
    /// A record without headers, placed by its key.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            partition: None,
            key: key.into(),
            value: value.into(),
            headers: Vec::new(),
            appended_at: None,
        }
    }

    /// With a header after those it has.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// In this partition, whatever its key: for a copy that has to keep its place.
    #[must_use]
    pub fn in_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With the append time that it had elsewhere: for a copy that has to keep it. (Brokers whose
    /// topics are set to times of their own don't take it.)
    #[must_use]
    pub fn appended_at(mut self, at: Timestamp) -> Self {
        self.appended_at = Some(at);
        self
    }

    /// The partition of `topic` that it goes to.
    pub fn partition_in(&self, topic: Topic) -> i32 {
        self.partition
            .unwrap_or_else(|| topic.partition_for(&self.key))
    }

    /// What counts against the size limits: the bytes of key, value, header names and values, and
    /// 8 for each header, so that empty ones are not free.
    pub fn bytes(&self) -> usize {
        payload_bytes(&self.key, &self.value, &self.headers)
    }
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands: its identity.
    pub position: Position,
    /// When the log took it, by the log's clock; never decreases within a partition.
    pub appended_at: Timestamp,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Its headers, in the order they were written.
    pub headers: Vec<Header>,
}

impl Record {
    /// The value of the last header of this name, as Kafka's clients choose among repeated names.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .rev()
            .find(|header| header.name == name)
            .map(|header| &header.value)
    }

    /// What counts against the size limits: see [`NewRecord::bytes`].
    pub fn bytes(&self) -> usize {
        payload_bytes(&self.key, &self.value, &self.headers)
    }
}

fn payload_bytes(key: &Bytes, value: &Bytes, headers: &[Header]) -> usize {
    let headers: usize = headers
        .iter()
        .map(|header| 8 + header.name.len() + header.value.len())
        .sum();
    key.len() + value.len() + headers
}
