//! Avro in the Confluent wire format: a zero byte, the schema id (32 bits, big-endian), the
//! datum. So other tools read the log with a schema registry.
//!
//! Ids are those of the built-in registry below, which a real registry is filled from in the
//! same order. Where that one gives others, the log translates them on its way in and out.

use std::sync::LazyLock;

use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Topic,
    events::{
        ClickRecorded, Command, ConversionReported, Decision, LedgerChanged, PayoutRequested,
        PayoutResult,
    },
};

const MAGIC: u8 = 0;
const HEADER_BYTES: usize = 5;

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
        /// What Avro says.
        source: Box<apache_avro::Error>,
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
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
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

fn build(version: SchemaVersion) -> Result<Codec, apache_avro::Error> {
    // The registry lives as long as the process: leaking gives readers and writers `'static`.
    let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(version.json)?));
    Ok(Codec {
        version,
        writer: GenericDatumWriter::builder(schema)
            .human_readable(false)
            .build()?,
        reader: GenericDatumReader::builder(schema)
            .human_readable(false)
            .build()?,
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
    let mut bytes = Vec::with_capacity(256);
    bytes.push(MAGIC);
    bytes.extend_from_slice(&codec.version.id.to_be_bytes());
    codec
        .writer
        .write_ser(&mut bytes, event)
        .map_err(|source| CodecError::Datum {
            topic,
            source: Box::new(source),
        })?;
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
    let datum_error = |source| CodecError::Datum {
        topic,
        source: Box::new(source),
    };
    // Read by the schema that it was written with: what that lacks, the event's serde defaults
    // fill. (Avro's own schema resolution would do the same, more slowly, but apache-avro 0.22
    // refuses to resolve a decimal in fewer bytes than its precision could need.)
    let event = codec.reader.read_deser(&mut datum).map_err(datum_error)?;
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
