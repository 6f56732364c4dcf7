//! Sums and how they are written.

use std::time::Duration;

use rust_decimal::{Decimal, prelude::ToPrimitive};

use crate::demo::{oracle::Account, world::coin::Coin};

use super::Actual;

/// Minor units as an amount in units.
pub fn amount(minor: i128, coin: Coin) -> Decimal {
    Decimal::from_i128_with_scale(minor, coin.places())
}

/// Sum of all postings in a currency: zero, unless the books are broken.
pub fn postings_sum(actual: &Actual, coin: Coin) -> Decimal {
    let balances = actual
        .balances
        .iter()
        .filter(|balance| balance.currency == coin.code());
    balances.map(|balance| balance.amount).sum()
}

/// By how many minor units the postings miss zero, over all currencies; what is left of one counts
/// as one.
pub fn imbalance_minor(actual: &Actual) -> u64 {
    let missing = Coin::ALL
        .iter()
        .map(|coin| postings_sum(actual, *coin).abs() * Decimal::from(coin.minor_per_unit()));
    missing.sum::<Decimal>().ceil().to_u64().unwrap_or(u64::MAX)
}

/// Balance of an account over all tenants.
pub fn balance(actual: &Actual, account: Account, coin: Coin) -> Decimal {
    let balances = actual
        .balances
        .iter()
        .filter(|balance| balance.account == account.name() && balance.currency == coin.code());
    balances.map(|balance| balance.amount).sum()
}

/// Value of all cards in a currency.
pub fn cards_total(actual: &Actual, coin: Coin) -> Decimal {
    let payouts = actual
        .payouts
        .iter()
        .filter(|payout| payout.currency == coin.code());
    payouts.map(|payout| payout.amount).sum()
}

/// Seconds to the tenth.
pub fn rounded_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// A count with thousands separated.
pub fn count(number: impl TryInto<u64>) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    grouped(&number.to_string(), 3)
}

/// An amount with the currency's decimal places, and its digits grouped as its users group them:
/// rupees by lakh and crore.
pub fn money(amount: Decimal, coin: Coin) -> String {
    let mut amount = amount;
    amount.rescale(coin.places());
    let text = amount.abs().to_string();
    let (units, decimals) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(units, decimals)| {
            (units, Some(decimals))
        });
    let group = match coin {
        Coin::Inr => 2,
        Coin::Usd | Coin::Jpy | Coin::Kwd => 3,
    };
    let sign = if amount.is_sign_negative() && !amount.is_zero() {
        "-"
    } else {
        ""
    };
    let decimals = decimals
        .map(|decimals| format!(".{decimals}"))
        .unwrap_or_default();
    format!("{sign}{}{decimals}", grouped(units, group))
}

/// Digits with commas: before the last three, and before that every `group`.
fn grouped(digits: &str, group: usize) -> String {
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        let left = digits.len() - index;
        if index > 0 && left >= 3 && (left - 3).is_multiple_of(group) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_as_people_group_them() {
        for (minor, coin, text) in [
            (123_456_789, Coin::Inr, "12,34,567.89"),
            (-9_595, Coin::Inr, "-95.95"),
            (0, Coin::Inr, "0.00"),
            (123_456_789, Coin::Usd, "1,234,567.89"),
            (1_234_567, Coin::Jpy, "1,234,567"),
            (1_234_567, Coin::Kwd, "1,234.567"),
        ] {
            assert_eq!(money(amount(minor, coin), coin), text);
        }
        assert_eq!(count(10_000_usize), "10,000");
        assert_eq!(count(999_usize), "999");
    }
}
