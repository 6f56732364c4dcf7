//! Instants and day counts, as values.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MILLIS_PER_DAY: i64 = 86_400_000;

/// An instant: milliseconds since 1970-01-01T00:00:00Z. UTC always; a network's own time zone is
/// resolved where its input is parsed (design section 10).
///
/// JSON shows RFC 3339; Avro carries `timestamp-millis`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A number of whole days of 24 hours, as cool-offs and attribution windows are given.
pub type Days = i32;

impl Timestamp {
    /// The latest instant there is: what "never" compares as.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `days`; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_days(self, days: Days) -> Self {
        self.plus_millis(MILLIS_PER_DAY.saturating_mul(days as i64))
    }

    /// This instant moved by `millis`; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant, negative if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses RFC 3339, or `YYYY-MM-DD HH:MM:SS` and `YYYY-MM-DDTHH:MM:SS[.fff]` taken as UTC,
    /// or a count of seconds (up to 11 digits) or milliseconds since the epoch: the forms that
    /// network reports use.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(instant.timestamp_millis()));
        }
        for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
            if let Ok(instant) = chrono::NaiveDateTime::parse_from_str(text, format) {
                return Some(Self(instant.and_utc().timestamp_millis()));
            }
        }
        let number: i64 = text.parse().ok()?;
        match text.len() {
            1..=11 => number.checked_mul(1_000).map(Self),
            12..=14 => Some(Self(number)),
            _ => None,
        }
    }

    /// As a `chrono` instant, for the database drivers; instants that chrono can't hold are
    /// clamped to its range.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .to_datetime()
                .to_rfc3339_opts(SecondsFormat::Millis, true),
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            DateTime::parse_from_rfc3339(&text)
                .map(|instant| Self(instant.timestamp_millis()))
                .map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_forms_that_networks_send() {
        let expected = Some(Timestamp::from_millis(1_700_000_000_000));
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-15T03:43:20+05:30",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20.000",
            "1700000000",
            "1700000000000",
        ] {
            assert_eq!(Timestamp::parse(text), expected, "{text}");
        }
        for text in ["", "yesterday", "2023-13-14 22:13:20", "123456789012345678"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX.plus_days(i32::MAX), Timestamp::MAX);
    }
}
