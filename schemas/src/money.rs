//! Money: integer minor units, checked.

use std::{fmt, iter::Sum};

use serde::{Deserialize, Serialize};

/// A sum of money in minor units (paise, cents) of a currency that stands beside it. Signed:
/// postings and clawbacks are negative.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minor(i64);

/// A sum left the range of a 64-bit count of minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum of money is out of range")]
pub struct MoneyOverflow;

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From a count of minor units.
    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    /// The count of minor units.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn zero(self) -> bool {
        self.0 == 0
    }

    /// Narrows a wide intermediate.
    ///
    /// # Errors
    /// When it doesn't fit.
    pub fn from_i128(wide: i128) -> Result<Self, MoneyOverflow> {
        i64::try_from(wide).map(Self).map_err(|_| MoneyOverflow)
    }

    /// The sum of the two.
    ///
    /// # Errors
    /// When it leaves the range.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyOverflow)
    }

    /// This less the other.
    ///
    /// # Errors
    /// When it leaves the range.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyOverflow)
    }
}

/// Every sum that this product books is made of [`crate::Amount`]s of at most 10^12 units, so
/// the operators saturate only in a history of nine million such conversions on one account.
impl std::ops::Add for Minor {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Minor {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Neg for Minor {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl std::ops::AddAssign for Minor {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Minor {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, |total, item| total + item)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// `numerator / denominator`, rounded half to even. The denominator must be positive.
///
/// The one rounding of the product: "each of commission, fee and user part is rounded once,
/// half-even, to the currency's minor unit" (design section 4).
pub fn divide_half_even(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator.div_euclid(denominator);
    let doubled = numerator.rem_euclid(denominator) * 2;
    match doubled.cmp(&denominator) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient.rem_euclid(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_to_even_on_both_sides_of_zero() {
        for (numerator, expected) in [
            (25, 2),
            (35, 4),
            (26, 3),
            (24, 2),
            (-25, -2),
            (-35, -4),
            (-26, -3),
            (0, 0),
        ] {
            assert_eq!(divide_half_even(numerator, 10), expected, "{numerator}/10");
        }
    }
}
