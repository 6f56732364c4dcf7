//! Rates.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Amount, text::parsed};

/// A percentage between 0 and 100 with two decimal places: the specification's `NUMERIC(5,2)`
/// (section 2). Held in hundredths of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percentage(i32);

/// The number is not a percentage from 0 to 100 with at most two decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a percentage lies between 0 and 100 and has at most two decimal places")]
pub struct PercentageError;

impl Percentage {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Hundredths of a percent that make the whole.
    pub const WHOLE: i128 = 10_000;

    /// From hundredths of a percent, 0 to 10,000.
    ///
    /// # Errors
    /// Outside that range.
    pub fn from_hundredths(hundredths: i32) -> Result<Self, PercentageError> {
        if (0..=10_000).contains(&hundredths) {
            Ok(Self(hundredths))
        } else {
            Err(PercentageError)
        }
    }

    /// Hundredths of a percent.
    pub const fn hundredths(self) -> i32 {
        self.0
    }
}

impl FromStr for Percentage {
    type Err = PercentageError;

    fn from_str(text: &str) -> Result<Self, PercentageError> {
        let micros = text
            .parse::<Amount>()
            .map_err(|_| PercentageError)?
            .micros();
        if micros % 10_000 != 0 {
            return Err(PercentageError);
        }
        i32::try_from(micros / 10_000)
            .map_err(|_| PercentageError)
            .and_then(Self::from_hundredths)
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Debug for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}%")
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            parsed(deserializer)
        } else {
            Self::from_hundredths(i32::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_numeric_5_2_and_refuses_the_rest() {
        assert_eq!(
            "60".parse::<Percentage>().map(Percentage::hundredths),
            Ok(6_000)
        );
        assert_eq!(
            "8.25".parse::<Percentage>().map(Percentage::hundredths),
            Ok(825)
        );
        for text in ["-1", "100.01", "8.255", "x"] {
            assert_eq!(text.parse::<Percentage>(), Err(PercentageError), "{text}");
        }
    }
}
