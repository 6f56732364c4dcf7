//! Values as ClickHouse's RowBinary format wants them.

use std::fmt::Display;

use schemas::{Amount, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::analytics::aggregates::Hour;

/// The first instant of a `DateTime64(3)`: 1900-01-01T00:00:00Z, in milliseconds.
const EARLIEST_MS: i64 = -2_208_988_800_000;
/// The last one: 2299-12-31T23:59:59.999Z.
const LATEST_MS: i64 = 10_413_791_999_999;

/// A `DateTime64(3, 'UTC')`. Times outside 1900 to 2299, which ClickHouse can't show, are held at
/// the ends: a network may send any year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Instant(i64);

impl Instant {
    /// Its hour, in which the aggregates have it.
    pub(in crate::analytics) fn hour(self) -> Hour {
        Hour::of_millis(self.0)
    }
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at.millis().clamp(EARLIEST_MS, LATEST_MS))
    }
}

/// A `Decimal(20, 6)`: 128 bits on the wire, which every [`Amount`] fits exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Decimal(i128);

impl From<Amount> for Decimal {
    fn from(amount: Amount) -> Self {
        Self(i128::from(amount.micros()))
    }
}

/// A `UUID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identifier(#[serde(with = "clickhouse::serde::uuid")] Uuid);

impl From<Uuid> for Identifier {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// A text that is empty where nothing is known.
pub(super) fn text(value: Option<impl Display>) -> String {
    value.map(|known| known.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        for micros in [0, 1, -1, 95_950_000, i64::MAX, i64::MIN] {
            assert_eq!(
                Decimal::from(Amount::from_micros(micros)),
                Decimal(i128::from(micros))
            );
        }
    }

    #[test]
    fn times_outside_the_column_are_held_at_its_ends() {
        let instant = |millis| Instant::from(Timestamp::from_millis(millis));
        assert_eq!(instant(1_700_000_000_123), Instant(1_700_000_000_123));
        assert_eq!(instant(i64::MAX), Instant(LATEST_MS));
        assert_eq!(instant(i64::MIN), Instant(EARLIEST_MS));
        for (millis, text) in [
            (EARLIEST_MS, "1900-01-01T00:00:00.000Z"),
            (LATEST_MS, "2299-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }
}
