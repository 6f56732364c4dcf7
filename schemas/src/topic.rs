//! Topics, partitions and positions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::parsed;

/// A topic of the log (design section 3). Partition counts are fixed at creation and the same in
/// every adapter, so that a history can move between logs and keep its positions.
///
/// A string on every wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// One click on a smart link. Key: click id.
    Clicks,
    /// One report of a sale as received. Key: click id.
    Conversions,
    /// What the processors made of one `conversions` record. Key: click id.
    Decisions,
    /// What operators decided. Key: the subject.
    Commands,
    /// What was posted and what changed. Key: click id.
    Ledger,
    /// A payout to be made. Key: payout id.
    Payouts,
    /// Each step of what became of a payout. Key: payout id.
    PayoutResults,
    /// Original bytes that a stage could not work with. Key: as the original.
    DeadLetters,
}

impl Topic {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 8] = [
        Self::Clicks,
        Self::Conversions,
        Self::Decisions,
        Self::Commands,
        Self::Ledger,
        Self::Payouts,
        Self::PayoutResults,
        Self::DeadLetters,
    ];

    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::Conversions => "conversions",
            Self::Decisions => "decisions",
            Self::Commands => "commands",
            Self::Ledger => "ledger",
            Self::Payouts => "payouts",
            Self::PayoutResults => "payout-results",
            Self::DeadLetters => "dead-letters",
        }
    }

    /// How many partitions it has, in every adapter.
    pub const fn partitions(self) -> i32 {
        match self {
            Self::Clicks | Self::Conversions | Self::Decisions | Self::Ledger => 12,
            Self::Commands | Self::Payouts | Self::PayoutResults => 6,
            Self::DeadLetters => 3,
        }
    }

    /// The partition of a record with this key: see [`partition_for_key`].
    pub fn partition_for(self, key: &[u8]) -> i32 {
        partition_for_key(key, self.partitions())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|topic| topic.name() == text)
            .ok_or_else(|| format!("unknown topic {text:?}"))
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Where a record stands in the log: its identity (design section 1, rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset, from 0.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = String;

    /// `topic/partition/offset`, as it is shown.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a position such as conversions/3/1042");
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(topic), Some(partition), Some(offset), None) => Ok(Self {
                topic: topic.parse()?,
                partition: partition.parse().map_err(|_| invalid())?,
                offset: offset.parse().map_err(|_| invalid())?,
            }),
            _ => Err(invalid()),
        }
    }
}

/// The partition of `key` among `partitions`: murmur2 over its bytes with the sign bit cleared,
/// as Java's Kafka clients place records, so that other producers agree with ours.
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    #[expect(clippy::cast_possible_wrap, reason = "the sign bit is cleared first")]
    let positive = (murmur2(key) & 0x7fff_ffff) as i32;
    positive % partitions
}

/// MurmurHash2, 32 bits, with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys are far shorter than 4 GiB"
    )]
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Apache Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_java() {
        for (key, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }

    #[test]
    fn names_and_positions_read_back() {
        for topic in Topic::ALL {
            assert_eq!(topic.name().parse(), Ok(topic));
        }
        let position = Position {
            topic: Topic::PayoutResults,
            partition: 3,
            offset: 1042,
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert!("conversions/1".parse::<Position>().is_err());
    }
}
