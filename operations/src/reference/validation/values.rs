//! Checks of single values.

use std::{collections::BTreeSet, fmt::Display, ops::RangeInclusive};

use rust_decimal::Decimal;
use schemas::{Amount, AmountError, Currency, Percentage, Timestamp};

use super::{super::file::Rate, Checks};

/// 2000-01-01T00:00:00Z.
const EARLIEST: Timestamp = Timestamp::from_millis(946_684_800_000);
/// 2100-01-01T00:00:00Z.
const END: Timestamp = Timestamp::from_millis(4_102_444_800_000);
/// What a network reports of a text is at most this long.
const TEXT_BYTES_MAX: usize = 255;
const SLUG_BYTES_MAX: usize = 64;

/// What is asked of a rate.
pub(in super::super) const EITHER_RATE: &str = "a rate is either a percentage or flat: give one";

/// A number as a percentage.
pub(in super::super) fn percentage(number: Decimal) -> Result<Percentage, String> {
    number
        .to_string()
        .parse()
        .map_err(|error| format!("{number} is refused: {error}"))
}

/// A number as an amount that isn't negative.
pub(in super::super) fn amount(number: Decimal) -> Result<Amount, String> {
    if number.is_sign_negative() && !number.is_zero() {
        return Err(format!(
            "{number} is negative: an amount lies between 0 and 10^12"
        ));
    }
    Amount::from_decimal(number).map_err(|error| match error {
        AmountError::TooPrecise => format!("{number} has more than six decimal places"),
        AmountError::OutOfRange | AmountError::NotANumber => {
            format!("{number} is out of range: an amount lies between 0 and 10^12")
        }
    })
}

impl Checks<'_> {
    /// 0 to 100, two decimal places.
    pub fn percentage(&mut self, path: impl Display, number: Decimal) {
        if let Err(what) = percentage(number) {
            self.refuse(path, what);
        }
    }

    /// 0 to 10^12, six decimal places.
    pub fn amount(&mut self, path: impl Display, number: Decimal) -> Option<Amount> {
        match amount(number) {
            Ok(amount) => Some(amount),
            Err(what) => {
                self.refuse(path, what);
                None
            }
        }
    }

    /// An amount that is booked as it stands: whole minor units of each currency that it may be
    /// booked in.
    pub fn booked(&mut self, path: impl Display, number: Decimal, currencies: &BTreeSet<Currency>) {
        let Some(amount) = self.amount(&path, number) else {
            return;
        };
        for currency in currencies {
            let whole = Amount::from_minor(amount.to_minor(*currency), *currency) == Ok(amount);
            if !whole {
                let places = currency.exponent();
                let what =
                    format!("{number} is no sum of {currency}, which has {places} decimal places");
                self.refuse(&path, what);
            }
        }
    }

    /// Either a percentage, or flat.
    pub fn rate(&mut self, path: impl Display, rate: &Rate, currencies: &BTreeSet<Currency>) {
        match (rate.pct, rate.flat) {
            (Some(pct), None) => self.percentage(format_args!("{path}.pct"), pct),
            (None, Some(flat)) => self.booked(format_args!("{path}.flat"), flat, currencies),
            (None, None) | (Some(_), Some(_)) => self.refuse(path, EITHER_RATE),
        }
    }

    /// From 2000 on and before 2100, as dates in reports.
    pub fn date(&mut self, path: impl Display, at: Timestamp) {
        if !(EARLIEST..END).contains(&at) {
            self.refuse(
                path,
                format!("{at} is refused: dates lie in the years 2000 to 2099"),
            );
        }
    }

    /// A whole number.
    pub fn within(&mut self, path: impl Display, number: i32, allowed: RangeInclusive<i32>) {
        if !allowed.contains(&number) {
            let (first, last) = allowed.into_inner();
            self.refuse(
                path,
                format!("{number} is out of range: {first} to {last} is allowed"),
            );
        }
    }

    /// A name: not empty, at most as long as what networks report.
    pub fn name(&mut self, path: impl Display, text: &str) {
        if text.trim().is_empty() {
            self.refuse(path, "it is empty");
        } else if text.len() > TEXT_BYTES_MAX {
            self.refuse(path, format!("it is longer than {TEXT_BYTES_MAX} bytes"));
        } else {
            self.text(path, text);
        }
    }

    /// A text that the database can hold.
    pub fn text(&mut self, path: impl Display, text: &str) {
        if text.contains('\0') {
            self.refuse(path, "it contains a NUL");
        }
    }

    /// The last part of a smart link's address.
    pub fn slug(&mut self, path: impl Display, slug: &str) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=SLUG_BYTES_MAX).contains(&slug.len()) || !slug.bytes().all(allowed) {
            let what = format!(
                "{slug:?} is refused: 1 to {SLUG_BYTES_MAX} letters, digits, `_` and `-` are allowed"
            );
            self.refuse(path, what);
        }
    }
}
