//! Numbers as PostgreSQL sends them.

use rust_decimal::Decimal;
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueFormat, PgValueRef},
};

/// Of PostgreSQL's digits, those of a number that fits into 64 bits for sure.
const DIGITS_MAX: usize = 4;
/// What one of them counts to.
const BASE: i64 = 10_000;
const PLACES_PER_DIGIT: i32 = 4;
const NEGATIVE: u16 = 0x4000;

/// A `numeric`, without zeros at its end. Sums of money are short: read as integers they take a
/// tenth of the time that decimal arithmetic, digit by digit, takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numeric(Decimal);

impl From<Numeric> for Decimal {
    fn from(number: Numeric) -> Self {
        number.0
    }
}

impl Type<Postgres> for Numeric {
    fn type_info() -> PgTypeInfo {
        <Decimal as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Numeric {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let short = match value.format() {
            PgValueFormat::Binary => short(value.as_bytes()?),
            PgValueFormat::Text => None,
        };
        match short {
            Some(number) => Ok(Self(number)),
            None => Ok(Self(Decimal::decode(value)?.normalize())),
        }
    }
}

/// A short number from its binary form (`numeric_send` in PostgreSQL's `numeric.c`): the count of
/// its digits to the base 10,000, the weight of the first, sign, decimal places shown, the digits.
/// `None` for any other.
fn short(bytes: &[u8]) -> Option<Decimal> {
    let (head, digits) = bytes.split_first_chunk::<8>()?;
    let [_, _, weight @ .., _, _] = head;
    let [weight_high, weight_low, sign @ ..] = weight;
    let weight = i16::from_be_bytes([*weight_high, *weight_low]);
    let negative = match u16::from_be_bytes(*sign) {
        0 => false,
        NEGATIVE => true,
        _ => return None,
    };
    let (digits, rest) = digits.as_chunks::<2>();
    if digits.len() > DIGITS_MAX || !rest.is_empty() {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| {
        value * BASE + i64::from(i16::from_be_bytes(*digit))
    });
    let after_point = i32::try_from(digits.len()).ok()? - 1 - i32::from(weight);
    let mut places = (after_point * PLACES_PER_DIGIT).max(0);
    let missing = u32::try_from(-after_point).unwrap_or_default();
    let mut value = value.checked_mul(BASE.checked_pow(missing)?)?;
    while places > 0 && value % 10 == 0 {
        value /= 10;
        places -= 1;
    }
    let value = if negative { -value } else { value };
    Decimal::try_new(value, u32::try_from(places).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL sends it.
    fn sent(weight: i16, negative: bool, places: u16, digits: &[i16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).expect("few");
        let sign = if negative { NEGATIVE } else { 0 };
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(places.to_be_bytes());
        bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
        bytes
    }

    #[test]
    fn short_numbers_are_read_without_zeros_at_their_end() {
        for (bytes, number) in [
            (sent(0, false, 0, &[]), "0"),
            (sent(0, false, 2, &[]), "0"),
            (sent(0, false, 2, &[12, 5_000]), "12.5"),
            (sent(0, true, 2, &[12, 3_400]), "-12.34"),
            (sent(-1, false, 4, &[1]), "0.0001"),
            (sent(-2, false, 6, &[1_200]), "0.000012"),
            (sent(1, false, 0, &[3]), "30000"),
            (sent(3, false, 0, &[1]), "1000000000000"),
            (sent(2, false, 2, &[1, 0, 0, 100]), "100000000.01"),
            (
                sent(3, true, 0, &[9_999, 9_999, 9_999, 9_999]),
                "-9999999999999999",
            ),
        ] {
            let number: Decimal = number.parse().expect("a number");
            let read = short(&bytes).expect("short");
            assert_eq!((read, read.scale()), (number, number.scale()), "{bytes:?}");
        }
    }

    #[test]
    fn others_are_left_to_whoever_reads_all() {
        const NOT_A_NUMBER: u16 = 0xC000;
        let mut nan = sent(0, false, 0, &[]);
        nan[4..6].copy_from_slice(&NOT_A_NUMBER.to_be_bytes());
        for bytes in [
            sent(4, false, 0, &[1, 0, 0, 0, 1]),
            sent(40, false, 0, &[1]),
            sent(-9, false, 36, &[1]),
            nan,
            vec![0; 7],
        ] {
            assert_eq!(short(&bytes), None, "{bytes:?}");
        }
    }
}
