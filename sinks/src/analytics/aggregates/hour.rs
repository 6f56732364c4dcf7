use std::fmt;

const HOUR_SECONDS: u32 = 3_600;

/// An hour, UTC, between 1970 and 2106: what a `DateTime` of ClickHouse holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u32);

impl Hour {
    /// The hour of a time in milliseconds since 1970.
    pub(in crate::analytics) fn of_millis(millis: i64) -> Self {
        let last = i64::from(u32::MAX / HOUR_SECONDS);
        let hours = millis
            .div_euclid(i64::from(HOUR_SECONDS) * 1_000)
            .clamp(0, last);
        Self(u32::try_from(hours).expect("held between the ends") * HOUR_SECONDS)
    }

    /// The hour of a time in seconds since 1970.
    pub(in crate::analytics) const fn from_seconds(seconds: u32) -> Self {
        Self(seconds / HOUR_SECONDS * HOUR_SECONDS)
    }

    /// Its beginning, in seconds since 1970.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        schemas::Timestamp::from_millis(i64::from(self.0) * 1_000).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_hour_that_it_follows() {
        for (millis, seconds) in [
            (0, 0),
            (3_599_999, 0),
            (3_600_000, 3_600),
            (-1, 0),
            (i64::MAX, u32::MAX / 3_600 * 3_600),
        ] {
            assert_eq!(Hour::of_millis(millis).seconds(), seconds);
        }
        assert_eq!(Hour::from_seconds(7_199), Hour::of_millis(3_600_000));
        assert_eq!(
            Hour::from_seconds(7_199).to_string(),
            "1970-01-01T01:00:00.000Z"
        );
    }
}
