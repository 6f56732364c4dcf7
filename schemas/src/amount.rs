//! Decimal numbers as networks report them.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use crate::{Currency, Minor, MoneyOverflow, text::parsed};

/// Decimal places of an [`Amount`], in memory and on the wire (Avro decimal of this scale).
pub const SCALE: u32 = 6;
const MICROS_PER_UNIT: i64 = 1_000_000;
/// The largest amount accepted: 10^12 units. Anything above is a defect of its sender.
const LIMIT_MICROS: i64 = 1_000_000_000_000 * MICROS_PER_UNIT;

/// A decimal number without a currency, exact to six places: a sale amount or a payout as
/// reported, before a currency's minor unit is known. Magnitude at most 10^12.
///
/// JSON shows a string such as `"1999.00"`; Avro carries `decimal(19, 6)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i64);

/// Why a text is not an [`Amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number (exponents, NaN and thousands separators are not).
    #[error("not a decimal number")]
    NotANumber,
    /// More than six decimal places that are not zero.
    #[error("more than six decimal places")]
    TooPrecise,
    /// Magnitude above 10^12.
    #[error("out of range")]
    OutOfRange,
}

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From millionths of a unit.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Millionths of a unit.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whether the number is below zero.
    pub const fn negative(self) -> bool {
        self.0 < 0
    }

    /// The exact amount of `minor` units of `currency`.
    ///
    /// # Errors
    /// When the amount exceeds what an [`Amount`] can hold.
    pub fn from_minor(minor: Minor, currency: Currency) -> Result<Self, MoneyOverflow> {
        let factor = 10_i64.pow(SCALE - currency.exponent());
        minor
            .get()
            .checked_mul(factor)
            .map(Self)
            .ok_or(MoneyOverflow)
    }

    /// This amount in minor units of `currency`, rounded half-even once.
    pub fn to_minor(self, currency: Currency) -> Minor {
        let divisor = 10_i128.pow(SCALE - currency.exponent());
        // A quotient of an i64 by a divisor of at least 1 fits an i64.
        Minor::from_i128(crate::money::divide_half_even(i128::from(self.0), divisor))
            .unwrap_or(Minor::ZERO)
    }

    /// From the bytes of an Avro decimal of scale [`SCALE`]; `None` unless they are 1 to 8.
    pub(crate) fn from_decimal_bytes(bytes: &[u8]) -> Option<Self> {
        let first = bytes.first()?;
        let sign = if first & 0x80 == 0 { 0x00 } else { 0xFF };
        let mut whole = [sign; 8];
        whole
            .get_mut(8_usize.checked_sub(bytes.len())?..)?
            .copy_from_slice(bytes);
        Some(Self(i64::from_be_bytes(whole)))
    }

    /// As a `rust_decimal` number, for edges that speak it (NUMERIC columns, reports).
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, SCALE).normalize()
    }

    /// From a `rust_decimal` number.
    ///
    /// # Errors
    /// As parsing a text does.
    pub fn from_decimal(number: Decimal) -> Result<Self, AmountError> {
        let number = number.normalize();
        if number.scale() > SCALE {
            return Err(AmountError::TooPrecise);
        }
        let factor = 10_i128.pow(SCALE - number.scale());
        let micros = number
            .mantissa()
            .checked_mul(factor)
            .ok_or(AmountError::OutOfRange)?;
        match i64::try_from(micros) {
            Ok(micros) if micros.unsigned_abs() <= LIMIT_MICROS.unsigned_abs() => Ok(Self(micros)),
            Ok(_) | Err(_) => Err(AmountError::OutOfRange),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let plain = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && digits.bytes().any(|byte| byte.is_ascii_digit())
            && digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
        if !plain {
            return Err(AmountError::NotANumber);
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > SCALE as usize {
            return Err(AmountError::TooPrecise);
        }
        let whole = whole.trim_start_matches('0');
        let padded = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(SCALE as usize);
        let mut micros: i64 = 0;
        for digit in whole.bytes().chain(padded) {
            micros = micros
                .checked_mul(10)
                .and_then(|micros| micros.checked_add(i64::from(digit - b'0')))
                .filter(|micros| *micros <= LIMIT_MICROS)
                .ok_or(AmountError::OutOfRange)?;
        }
        Ok(Self(if text.starts_with('-') {
            -micros
        } else {
            micros
        }))
    }
}

impl fmt::Display for Amount {
    /// At least two decimal places, more where they are not zero: `1999.00`, `0.005`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.to_decimal();
        if number.scale() < 2 {
            number.rescale(2);
        }
        fmt::Display::fmt(&number, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        // Avro decimal: big-endian two's complement, shortest form.
        let bytes = self.0.to_be_bytes();
        let sign = if self.0 < 0 { 0xFF } else { 0x00 };
        let mut start = 0;
        while start < 7 && bytes[start] == sign && (bytes[start + 1] ^ sign) & 0x80 == 0 {
            start += 1;
        }
        serializer.serialize_bytes(&bytes[start..])
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            parsed(deserializer)
        } else {
            deserializer.deserialize_bytes(DecimalBytes)
        }
    }
}

/// The bytes of an Avro decimal.
struct DecimalBytes;

impl Visitor<'_> for DecimalBytes {
    type Value = Amount;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a decimal of 1 to 8 bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Amount, E> {
        Amount::from_decimal_bytes(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_a_person_would_write_and_nothing_else() {
        assert_eq!("1999.00".parse(), Ok(Amount::from_micros(1_999_000_000)));
        assert_eq!("0.000001".parse(), Ok(Amount::from_micros(1)));
        assert_eq!("-5".parse(), Ok(Amount::from_micros(-5_000_000)));
        assert_eq!("7.5000000000".parse(), Ok(Amount::from_micros(7_500_000)));
        assert_eq!(
            "1000000000000".parse(),
            Ok(Amount::from_micros(LIMIT_MICROS))
        );
        for (text, error) in [
            ("", AmountError::NotANumber),
            (".", AmountError::NotANumber),
            ("NaN", AmountError::NotANumber),
            ("1e9", AmountError::NotANumber),
            ("1,999.00", AmountError::NotANumber),
            ("--1", AmountError::NotANumber),
            ("1.2.3", AmountError::NotANumber),
            ("0.0000001", AmountError::TooPrecise),
            ("1000000000000.01", AmountError::OutOfRange),
            ("9224000000000", AmountError::OutOfRange),
            ("-9224000000000", AmountError::OutOfRange),
            ("9224000000000", AmountError::OutOfRange),
            ("-9224000000000", AmountError::OutOfRange),
            ("1000000000000000000", AmountError::OutOfRange),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_decimal_agree(micros in -LIMIT_MICROS..=LIMIT_MICROS) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
            prop_assert_eq!(Amount::from_decimal(amount.to_decimal()), Ok(amount));
        }

        #[test]
        fn minor_units_survive_the_wire(minor in -1_000_000_000_000_i64..1_000_000_000_000) {
            for code in ["INR", "JPY", "KWD"] {
                let currency: Currency = code.parse().expect("a known currency");
                let amount = Amount::from_minor(Minor::new(minor), currency).expect("in range");
                prop_assert_eq!(amount.to_minor(currency), Minor::new(minor));
            }
        }
    }
}
