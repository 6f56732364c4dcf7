//! Exact numbers: a fraction of two integers of any size. The oracle knows no minor units and no
//! fixed width; it rounds to decimal places where the design says that something is rounded.

use std::{cmp::Ordering, fmt};

use num_bigint::BigInt;
use schemas::{Amount, Percentage};

/// A rational number; the denominator is positive. Not reduced: nothing here needs it to be.
#[derive(Clone)]
pub struct Fraction {
    over: BigInt,
    under: BigInt,
}

impl Fraction {
    /// Nothing.
    pub fn zero() -> Self {
        Self::ratio(0, 1)
    }

    /// `over / under`; `under` is positive.
    pub fn ratio(over: i64, under: i64) -> Self {
        Self {
            over: over.into(),
            under: under.into(),
        }
    }

    /// The number that an amount is: it counts millionths.
    pub fn amount(amount: Amount) -> Self {
        Self::ratio(amount.micros(), 1_000_000)
    }

    /// The part of a whole that a percentage is: it counts hundredths of a percent.
    pub fn percentage(percentage: Percentage) -> Self {
        Self::ratio(percentage.hundredths().into(), 10_000)
    }

    /// Rounded to decimal places; halves go to the even neighbour.
    pub fn half_even(&self, places: u32) -> Self {
        let scale = BigInt::from(10_u32).pow(places);
        let scaled = &self.over * &scale;
        let mut whole = &scaled / &self.under;
        if &whole * &self.under > scaled {
            whole -= 1;
        }
        let left: BigInt = (&scaled - &whole * &self.under) * 2;
        let odd = &whole % 2 != BigInt::ZERO;
        let up = match left.cmp(&self.under) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => odd,
        };
        whole += i32::from(up);
        Self {
            over: whole,
            under: scale,
        }
    }

    /// The sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            over: &self.over * &other.under + &other.over * &self.under,
            under: &self.under * &other.under,
        }
    }

    /// The difference.
    pub fn less(&self, other: &Self) -> Self {
        self.plus(&other.negative())
    }

    /// The product.
    pub fn times(&self, other: &Self) -> Self {
        Self {
            over: &self.over * &other.over,
            under: &self.under * &other.under,
        }
    }

    /// With the other sign.
    pub fn negative(&self) -> Self {
        Self {
            over: -&self.over,
            under: self.under.clone(),
        }
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Fraction {}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.over * &other.under).cmp(&(&other.over * &self.under))
    }
}

impl fmt::Debug for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millionths = self.half_even(6);
        write!(f, "{}e-6", millionths.over)?;
        if millionths == *self {
            Ok(())
        } else {
            f.write_str(" (rounded)")
        }
    }
}

#[test]
fn halves_go_to_the_even_neighbour() {
    for (over, under, places, expected) in [
        (1, 2, 0, (0, 1)),
        (3, 2, 0, (2, 1)),
        (-1, 2, 0, (0, 1)),
        (-3, 2, 0, (-2, 1)),
        (5, 1_000, 2, (0, 1)),
        (15, 1_000, 2, (2, 100)),
        (15_001, 1_000_000, 2, (2, 100)),
        (14_999, 1_000_000, 2, (1, 100)),
        (95_952, 1_000, 2, (9_595, 100)),
    ] {
        let rounded = Fraction::ratio(over, under).half_even(places);
        assert_eq!(
            rounded,
            Fraction::ratio(expected.0, expected.1),
            "{over}/{under}"
        );
    }
}
