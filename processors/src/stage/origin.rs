//! Where a record came from first. A copy of the log into other partitions carries the original
//! position in a header, and that is its identity (design section 1, rule 4).

use schemas::{Position, Timestamp, Topic};
use stream::Record;

/// Header of a copied record: `topic/partition/offset` of the original.
pub const ORIGINAL_POSITION: &str = "hissaback-original-position";
/// Header of a copied record: the original's append time, in milliseconds since the epoch.
pub const ORIGINAL_APPENDED_AT: &str = "hissaback-original-appended-at";

/// The identity of a record, and when the log first took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its position, or the original's.
    pub position: Position,
    /// Its append time, or the original's.
    pub appended_at: Timestamp,
}

/// A copied record whose identity can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// One of the two headers is there without the other.
    #[error("a copied record needs the header {0} too")]
    Missing(&'static str),
    /// A header doesn't hold what it should.
    #[error("the header {0} of a copied record can't be read")]
    Unreadable(&'static str),
    /// The original stood in another topic than its copy.
    #[error("a record of topic {found} was copied to topic {expected}")]
    OtherTopic {
        /// The original's topic.
        found: Topic,
        /// The copy's.
        expected: Topic,
    },
}

impl Origin {
    /// That of a record that is no copy, or is taken as it stands.
    pub fn in_place(record: &Record) -> Self {
        Self {
            position: record.position,
            appended_at: record.appended_at,
        }
    }

    /// That of a record, copied or not.
    ///
    /// # Errors
    /// When it is a copy and doesn't say of what.
    pub fn of(record: &Record) -> Result<Self, OriginError> {
        match (
            record.header(ORIGINAL_POSITION),
            record.header(ORIGINAL_APPENDED_AT),
        ) {
            (None, None) => Ok(Self::in_place(record)),
            (Some(_), None) => Err(OriginError::Missing(ORIGINAL_APPENDED_AT)),
            (None, Some(_)) => Err(OriginError::Missing(ORIGINAL_POSITION)),
            (Some(position), Some(appended_at)) => {
                let position: Position =
                    parse(position).ok_or(OriginError::Unreadable(ORIGINAL_POSITION))?;
                let millis =
                    parse(appended_at).ok_or(OriginError::Unreadable(ORIGINAL_APPENDED_AT))?;
                let (found, expected) = (position.topic, record.position.topic);
                if found != expected {
                    return Err(OriginError::OtherTopic { found, expected });
                }
                Ok(Self {
                    position,
                    appended_at: Timestamp::from_millis(millis),
                })
            }
        }
    }
}

fn parse<T: std::str::FromStr>(header: &[u8]) -> Option<T> {
    std::str::from_utf8(header).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stream::Header;

    use super::*;

    fn record(headers: &[(&str, &'static str)]) -> Record {
        let header = |(name, value): &(&str, &'static str)| Header {
            name: (*name).to_owned(),
            value: Bytes::from_static(value.as_bytes()),
        };
        Record {
            position: Position {
                topic: Topic::Conversions,
                partition: 1,
                offset: 2,
            },
            appended_at: Timestamp::from_millis(3),
            key: Bytes::new(),
            value: Bytes::new(),
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn a_copy_is_known_by_its_original() {
        let plain = record(&[]);
        assert_eq!(Origin::of(&plain), Ok(Origin::in_place(&plain)));
        let copy = record(&[
            (ORIGINAL_POSITION, "conversions/7/8"),
            (ORIGINAL_APPENDED_AT, "9"),
        ]);
        let position = Position {
            topic: Topic::Conversions,
            partition: 7,
            offset: 8,
        };
        let appended_at = Timestamp::from_millis(9);
        assert_eq!(
            Origin::of(&copy),
            Ok(Origin {
                position,
                appended_at
            })
        );
    }

    #[test]
    fn a_copy_that_does_not_say_of_what_is_refused() {
        let (found, expected) = (Topic::Clicks, Topic::Conversions);
        for (headers, error) in [
            (
                vec![(ORIGINAL_POSITION, "conversions/7/8")],
                OriginError::Missing(ORIGINAL_APPENDED_AT),
            ),
            (
                vec![(ORIGINAL_APPENDED_AT, "9")],
                OriginError::Missing(ORIGINAL_POSITION),
            ),
            (
                vec![(ORIGINAL_POSITION, "7/8"), (ORIGINAL_APPENDED_AT, "9")],
                OriginError::Unreadable(ORIGINAL_POSITION),
            ),
            (
                vec![
                    (ORIGINAL_POSITION, "conversions/7/8"),
                    (ORIGINAL_APPENDED_AT, "now"),
                ],
                OriginError::Unreadable(ORIGINAL_APPENDED_AT),
            ),
            (
                vec![
                    (ORIGINAL_POSITION, "clicks/7/8"),
                    (ORIGINAL_APPENDED_AT, "9"),
                ],
                OriginError::OtherTopic { found, expected },
            ),
        ] {
            assert_eq!(Origin::of(&record(&headers)), Err(error));
        }
    }
}
