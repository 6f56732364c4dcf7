//! Avro in the Confluent wire format: a zero byte, the schema id (32 bits, big-endian), the
//! datum. So other tools read the log with a schema registry.
//!
//! Ids are those of the built-in registry below, which a real registry is filled from in the
//! same order. Where that one gives others, the log translates them on its way in and out.

use std::{error::Error, sync::LazyLock};

use apache_avro::Schema;
use serde::{Serialize, de::DeserializeOwned};

pub use crate::datum::DatumError;
use crate::{
    Topic,
    datum::Plan,
    events::{
        ClickRecorded, Command, ConversionReported, Decision, LedgerChanged, PayoutRequested,
        PayoutResult,
    },
};

const MAGIC: u8 = 0;
const HEADER_BYTES: usize = 5;
/// What most events need at most, so that encoding one mostly allocates once.
const ENCODED_BYTES: usize = 1_024;

/// An event that has a topic of its own.
pub trait Event: Serialize + DeserializeOwned {
    /// Its topic.
    const TOPIC: Topic;
}

macro_rules! events {
    ($($event:ty => $topic:ident),* $(,)?) => {
        $(impl Event for $event {
            const TOPIC: Topic = Topic::$topic;
        })*
    };
}

events! {
    ClickRecorded => Clicks,
    ConversionReported => Conversions,
    Decision => Decisions,
    Command => Commands,
    LedgerChanged => Ledger,
    PayoutRequested => Payouts,
    PayoutResult => PayoutResults,
}

/// One version of a topic's schema in the built-in registry.
#[derive(Debug, Clone, Copy)]
pub struct SchemaVersion {
    /// The id that records carry.
    pub id: u32,
    /// The topic whose values it describes; the registry's subject is `{topic}-value`.
    pub topic: Topic,
    /// The Avro schema, as JSON.
    pub json: &'static str,
}

/// Every version of every schema, oldest first. Versions are only ever added.
///
/// A field that a version adds has a default in the schema, for other readers, and the same as a
/// serde default in its event, for ours. A union's new members come after the old ones.
pub const REGISTRY: &[SchemaVersion] = &[
    SchemaVersion {
        id: 1,
        topic: Topic::Clicks,
        json: include_str!("../avro/clicks.v1.avsc"),
    },
    SchemaVersion {
        id: 2,
        topic: Topic::Conversions,
        json: include_str!("../avro/conversions.v1.avsc"),
    },
    SchemaVersion {
        id: 3,
        topic: Topic::Decisions,
        json: include_str!("../avro/decisions.v1.avsc"),
    },
    SchemaVersion {
        id: 4,
        topic: Topic::Commands,
        json: include_str!("../avro/commands.v1.avsc"),
    },
    SchemaVersion {
        id: 5,
        topic: Topic::Ledger,
        json: include_str!("../avro/ledger.v1.avsc"),
    },
    SchemaVersion {
        id: 6,
        topic: Topic::Payouts,
        json: include_str!("../avro/payouts.v1.avsc"),
    },
    SchemaVersion {
        id: 7,
        topic: Topic::PayoutResults,
        json: include_str!("../avro/payout-results.v1.avsc"),
    },
    SchemaVersion {
        id: 8,
        topic: Topic::Decisions,
        json: include_str!("../avro/decisions.v2.avsc"),
    },
    SchemaVersion {
        id: 9,
        topic: Topic::Ledger,
        json: include_str!("../avro/ledger.v2.avsc"),
    },
    SchemaVersion {
        id: 10,
        topic: Topic::Commands,
        json: include_str!("../avro/commands.v2.avsc"),
    },
];

/// Why bytes are not the expected event.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Shorter than the header, or another first byte.
    #[error("not in the Confluent wire format")]
    NotFramed,
    /// A schema id that the registry doesn't have for this topic.
    #[error("schema id {id} is not one of topic {topic}")]
    UnknownSchema {
        /// The id found.
        id: u32,
        /// The topic expected.
        topic: Topic,
    },
    /// The datum doesn't follow its schema.
    #[error("avro datum of topic {topic}: {source}")]
    Datum {
        /// The topic.
        topic: Topic,
        /// What is wrong with it.
        source: DatumError,
    },
    /// Bytes are left over after the datum.
    #[error("{bytes} bytes after the datum")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
}

struct Codec {
    version: SchemaVersion,
    plan: Plan,
}

static CODECS: LazyLock<Vec<Codec>> = LazyLock::new(|| {
    REGISTRY
        .iter()
        .map(|version| {
            build(*version).unwrap_or_else(|error| {
                panic!("the built-in schema {} is invalid: {error}", version.id)
            })
        })
        .collect()
});

fn build(version: SchemaVersion) -> Result<Codec, Box<dyn Error>> {
    // The registry lives as long as the process: so may the names in its schemas.
    let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(version.json)?));
    Ok(Codec {
        version,
        plan: Plan::of(schema)?,
    })
}

/// The newest version of a topic's schema; `dead-letters` has none, its values are the original
/// bytes.
pub fn newest(topic: Topic) -> Option<SchemaVersion> {
    REGISTRY
        .iter()
        .rev()
        .find(|version| version.topic == topic)
        .copied()
}

fn newest_codec(topic: Topic) -> Option<&'static Codec> {
    CODECS
        .iter()
        .rev()
        .find(|codec| codec.version.topic == topic)
}

/// Encodes an event with the newest schema of its topic.
///
/// # Errors
/// When the event doesn't fit its schema, which the tests rule out for every event type.
pub fn encode<E: Event>(event: &E) -> Result<Vec<u8>, CodecError> {
    let topic = E::TOPIC;
    let codec = newest_codec(topic).ok_or(CodecError::UnknownSchema { id: 0, topic })?;
    let mut bytes = Vec::with_capacity(ENCODED_BYTES);
    bytes.push(MAGIC);
    bytes.extend_from_slice(&codec.version.id.to_be_bytes());
    let written = codec.plan.write(&mut bytes, event);
    written.map_err(|source| CodecError::Datum { topic, source })?;
    Ok(bytes)
}

/// Decodes an event, whatever version of its topic's schema it was written with.
///
/// # Errors
/// When the bytes aren't framed, name a schema that isn't this topic's, or don't follow it.
pub fn decode<E: Event>(bytes: &[u8]) -> Result<E, CodecError> {
    let topic = E::TOPIC;
    let (id, mut datum) = unframe(bytes)?;
    let codec = CODECS
        .iter()
        .find(|codec| codec.version.id == id && codec.version.topic == topic)
        .ok_or(CodecError::UnknownSchema { id, topic })?;
    // Read by the schema that it was written with: what that lacks, the event's serde defaults
    // fill.
    let read = codec.plan.read(&mut datum);
    let event = read.map_err(|source| CodecError::Datum { topic, source })?;
    if datum.is_empty() {
        Ok(event)
    } else {
        Err(CodecError::TrailingBytes { bytes: datum.len() })
    }
}

fn unframe(bytes: &[u8]) -> Result<(u32, &[u8]), CodecError> {
    let (header, datum) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(CodecError::NotFramed)?;
    match header {
        [MAGIC, id @ ..] => {
            let id = <[u8; 4]>::try_from(id).map_err(|_| CodecError::NotFramed)?;
            Ok((u32::from_be_bytes(id), datum))
        }
        _ => Err(CodecError::NotFramed),
    }
}
