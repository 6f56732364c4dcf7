//! Messages as they come from the brokers, made into records.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::{
    Message,
    message::{BorrowedHeaders, BorrowedMessage, Headers},
};
use schemas::{Position, Timestamp};
use tracing::warn;

use crate::{
    log::Partition,
    record::{Header, Record},
};

/// Copies a message of this partition.
pub(super) fn record((topic, partition): Partition, message: &BorrowedMessage<'_>) -> Record {
    let position = Position {
        topic,
        partition,
        offset: message.offset(),
    };
    let copied = |bytes: Option<&[u8]>| bytes.map_or_else(Bytes::new, Bytes::copy_from_slice);
    Record {
        position,
        // Every record of Kafka 4 has a time; the formats without one are gone.
        appended_at: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: copied(message.key()),
        value: copied(message.payload()),
        headers: message
            .headers()
            .map(|found| headers(position, found))
            .unwrap_or_default(),
    }
}

fn headers(position: Position, found: &BorrowedHeaders) -> Vec<Header> {
    (0..found.count())
        .filter_map(|index| {
            // The client library panics at a name that isn't UTF-8, which a foreign producer may
            // have written. The record stays readable, without that header.
            let copied = catch_unwind(AssertUnwindSafe(|| {
                let header = found.get(index);
                Header {
                    name: header.key.to_owned(),
                    value: header.value.map_or_else(Bytes::new, Bytes::copy_from_slice),
                }
            }));
            if copied.is_err() {
                warn!(%position, "a header whose name is not UTF-8 is left out");
            }
            copied.ok()
        })
        .collect()
}
