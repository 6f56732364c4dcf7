//! What two partitions are compared by.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use stream::Record;

/// Count and checksum of a run of records of one partition. Equal if and only if the records are:
/// offsets, append times, keys, headers and values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// How many records.
    pub records: u64,
    /// SHA-256 over them, in hexadecimal.
    pub sha256: String,
}

/// A digest on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct Checksum {
    records: u64,
    hasher: Sha256,
}

impl Checksum {
    pub(super) fn add(&mut self, record: &Record) {
        self.records += 1;
        self.hasher.update(record.position.offset.to_be_bytes());
        self.hasher
            .update(record.appended_at.millis().to_be_bytes());
        self.add_bytes(&record.key);
        self.add_bytes(&record.value);
        self.hasher.update(record.headers.len().to_be_bytes());
        for header in &record.headers {
            self.add_bytes(header.name.as_bytes());
            self.add_bytes(&header.value);
        }
    }

    /// With their length, so that no two sequences read alike.
    fn add_bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes.len().to_be_bytes());
        self.hasher.update(bytes);
    }

    pub(super) fn digest(&self) -> Digest {
        Digest {
            records: self.records,
            sha256: hex::encode(self.hasher.clone().finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::{Position, Timestamp, Topic};
    use stream::Header;

    use super::*;

    fn record() -> Record {
        Record {
            position: Position {
                topic: Topic::Clicks,
                partition: 0,
                offset: 7,
            },
            appended_at: Timestamp::from_millis(1_000),
            key: Bytes::from_static(b"key"),
            value: Bytes::from_static(b"value"),
            headers: vec![Header {
                name: "name".to_owned(),
                value: Bytes::from_static(b"header"),
            }],
        }
    }

    fn digest(records: &[Record]) -> Digest {
        let mut checksum = Checksum::default();
        for record in records {
            checksum.add(record);
        }
        checksum.digest()
    }

    #[test]
    fn every_part_of_a_record_counts() {
        let changes: [fn(&mut Record); 7] = [
            |record| record.position.offset = 8,
            |record| record.appended_at = Timestamp::from_millis(1_001),
            |record| record.key = Bytes::from_static(b"kez"),
            |record| record.value = Bytes::new(),
            |record| record.headers.clear(),
            |record| record.headers[0].name.push('s'),
            |record| record.headers[0].value = Bytes::from_static(b"heade"),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = record();
            change(&mut changed);
            assert_ne!(digest(&[record()]), digest(&[changed]), "change {index}");
        }
        assert_eq!(digest(&[record()]), digest(&[record()]));
    }

    #[test]
    fn what_moves_between_key_and_value_is_seen() {
        let mut moved = record();
        moved.key = Bytes::from_static(b"keyv");
        moved.value = Bytes::from_static(b"alue");
        assert_ne!(digest(&[record()]), digest(&[moved]));
    }
}
