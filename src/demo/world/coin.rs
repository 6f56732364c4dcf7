//! The demo's own currencies and numbers, apart from the pipeline's.

use std::fmt;

/// Millionths that make one unit of an [`Exact`].
pub const MICROS: i64 = 1_000_000;

/// A currency that the demo trades in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coin {
    /// Indian rupee: 100 paise.
    Inr,
    /// US dollar: 100 cents.
    Usd,
    /// Japanese yen, which has no minor unit.
    Jpy,
    /// Kuwaiti dinar: 1,000 fils.
    Kwd,
}

impl Coin {
    /// All of them, in the order in which the summary shows them.
    pub const ALL: [Self; 4] = [Self::Inr, Self::Usd, Self::Jpy, Self::Kwd];

    /// Its ISO 4217 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Inr => "INR",
            Self::Usd => "USD",
            Self::Jpy => "JPY",
            Self::Kwd => "KWD",
        }
    }

    /// Decimal places of its minor unit.
    pub const fn places(self) -> u32 {
        match self {
            Self::Inr | Self::Usd => 2,
            Self::Jpy => 0,
            Self::Kwd => 3,
        }
    }

    /// Minor units that make one unit.
    pub const fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.places())
    }

    /// Millionths of a unit that make one minor unit.
    pub const fn micros_per_minor(self) -> i64 {
        MICROS / self.minor_per_unit()
    }
}

/// A decimal number as it is written into a report, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(i64);

impl Exact {
    /// From millionths.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From minor units of a currency.
    pub const fn from_minor(minor: i64, coin: Coin) -> Self {
        Self(minor * coin.micros_per_minor())
    }

    /// From whole units.
    pub const fn from_units(units: i64) -> Self {
        Self(units * MICROS)
    }

    /// Its millionths.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Written with at least so many decimal places, as networks pad their amounts.
    pub fn padded(self, places: u32) -> String {
        let mut text = format!("{}.{:06}", self.0 / MICROS, self.0 % MICROS);
        let point = text.len() - 6;
        while text.ends_with('0') && text.len() > point + places as usize {
            text.pop();
        }
        if text.ends_with('.') {
            text.pop();
        }
        text
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.padded(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_networks_write_them() {
        for (micros, places, text) in [
            (1_999_000_000, 2, "1999.00"),
            (1_999_000_000, 0, "1999"),
            (10_000, 2, "0.01"),
            (1_500_000, 0, "1.5"),
            (1_234_567, 2, "1.234567"),
            (5_000, 3, "0.005"),
        ] {
            assert_eq!(Exact::from_micros(micros).padded(places), text);
        }
    }

    #[test]
    fn minor_units_follow_the_currency() {
        assert_eq!(Exact::from_minor(1, Coin::Inr).to_string(), "0.01");
        assert_eq!(Exact::from_minor(1, Coin::Jpy).to_string(), "1");
        assert_eq!(Exact::from_minor(1, Coin::Kwd).to_string(), "0.001");
    }
}
