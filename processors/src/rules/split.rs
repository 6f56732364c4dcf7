//! The money of one conversion (design section 4).
//!
//! The commission is [`rating`]'s. Payable = commission + subsidy. Fee = min(platform fee,
//! payable). User = share × (payable − fee). Creator = the rest. Each of commission, fee and user
//! part is rounded once, half-even, to the minor unit; so user + creator + fee = commission +
//! subsidy, exactly.

use schemas::{
    Amount, Currency, Minor, MoneyOverflow, Percentage,
    events::{Split, Terms},
    money::divide_half_even,
};

use super::rating::{self, Sale};

const MICROS_PER_UNIT: i128 = 1_000_000;

/// A [`Split`] in minor units of the terms' currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// What the network owes.
    pub commission: Minor,
    /// What the platform adds.
    pub subsidy: Minor,
    /// What the platform keeps.
    pub fee: Minor,
    /// The shopper's part.
    pub user: Minor,
    /// The creator's part.
    pub creator: Minor,
}

impl Parts {
    /// Whether they can stand in the books: none below zero, and together what is payable.
    pub fn bookable(self) -> bool {
        let Self {
            commission,
            subsidy,
            fee,
            user,
            creator,
        } = self;
        [commission, subsidy, fee, user, creator]
            .iter()
            .all(|part| *part >= Minor::ZERO)
            && user + creator + fee == commission + subsidy
    }

    /// As it stands in events: amounts in units.
    ///
    /// # Errors
    /// When an amount exceeds what an event can hold.
    pub fn to_split(self, currency: Currency) -> Result<Split, MoneyOverflow> {
        Ok(Split {
            commission: Amount::from_minor(self.commission, currency)?,
            subsidy: Amount::from_minor(self.subsidy, currency)?,
            fee: Amount::from_minor(self.fee, currency)?,
            user: Amount::from_minor(self.user, currency)?,
            creator: Amount::from_minor(self.creator, currency)?,
        })
    }

    /// From an event's amounts.
    pub fn from_split(split: &Split, currency: Currency) -> Self {
        Self {
            commission: split.commission.to_minor(currency),
            subsidy: split.subsidy.to_minor(currency),
            fee: split.fee.to_minor(currency),
            user: split.user.to_minor(currency),
            creator: split.creator.to_minor(currency),
        }
    }
}

/// The split of a report taken alone; `None` where it doesn't carry what the commission is made
/// of. Amounts are in the terms' currency.
///
/// # Errors
/// When a sum exceeds what an event can hold.
pub fn stand_alone(terms: &Terms, sale: Sale<'_>) -> Result<Option<Split>, MoneyOverflow> {
    let Some(commission) = rating::rate(terms, sale)?.commission else {
        return Ok(None);
    };
    split(terms, commission)?.to_split(terms.currency).map(Some)
}

/// Splits a commission by the terms.
///
/// # Errors
/// When commission and subsidy together exceed what an event can hold.
pub fn split(terms: &Terms, commission: Minor) -> Result<Parts, MoneyOverflow> {
    let micros_per_minor = MICROS_PER_UNIT / i128::from(terms.currency.minor_per_unit());
    let subsidy = terms.subsidy.to_minor(terms.currency);
    let payable = commission.checked_add(subsidy)?;
    // No part exceeds what is payable: if that fits an event, all of them do.
    Amount::from_minor(payable, terms.currency)?;
    // Percentage and flat part are added exactly, then rounded once.
    let fee = divide_half_even(
        i128::from(payable.get()) * i128::from(terms.platform_fee.hundredths()) * micros_per_minor
            + i128::from(terms.platform_fee_flat.micros()) * Percentage::WHOLE,
        Percentage::WHOLE * micros_per_minor,
    );
    let fee = Minor::from_i128(fee)?.min(payable);
    let left = payable.checked_sub(fee)?;
    let share = i128::from(terms.user_share.hundredths());
    let user = Minor::from_i128(divide_half_even(
        i128::from(left.get()) * share,
        Percentage::WHOLE,
    ))?;
    Ok(Parts {
        commission,
        subsidy,
        fee,
        user,
        creator: left.checked_sub(user)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::events::{CommissionSource, PayoutMeans};

    use super::*;
    use crate::rules::fixtures;

    fn amount(text: &str) -> Amount {
        text.parse().expect("an amount")
    }

    #[test]
    fn the_worked_example_of_the_design() {
        let split = stand_alone(&fixtures::terms(), fixtures::sale("1999.00"));
        let split = split.expect("in range").expect("has a sale");
        assert_eq!(split.commission, amount("159.92"));
        assert_eq!(split.user, amount("95.95"));
        assert_eq!(split.creator, amount("63.97"));
    }

    #[test]
    fn what_no_event_can_hold_is_refused() {
        let mut terms = fixtures::terms();
        terms.commission_source = CommissionSource::Payout;
        terms.payout_means = PayoutMeans::Percentage;
        let sale = Sale {
            payout: Some(amount("1000")),
            ..fixtures::sale("1000000000000")
        };
        assert_eq!(stand_alone(&terms, sale), Err(MoneyOverflow));
    }

    #[test]
    fn only_parts_that_add_up_can_stand_in_the_books() {
        let parts = split(&fixtures::terms(), Minor::new(15_992)).expect("in range");
        assert!(parts.bookable());
        let short = Parts {
            user: Minor::ZERO,
            ..parts
        };
        assert!(!short.bookable());
        let negative = Parts {
            user: parts.user + parts.creator + Minor::new(1),
            creator: Minor::new(-1),
            ..parts
        };
        assert!(!negative.bookable());
    }

    #[test]
    fn the_fee_never_exceeds_what_is_payable() {
        let mut terms = fixtures::terms();
        terms.platform_fee_flat = amount("5");
        let parts = split(&terms, Minor::new(300)).expect("in range");
        assert_eq!(
            (parts.fee, parts.user, parts.creator),
            (Minor::new(300), Minor::ZERO, Minor::ZERO)
        );
    }

    proptest! {
        #[test]
        fn money_is_conserved_to_the_minor_unit(
            commission in 0_i64..=1_000_000_000_000,
            share in 0_i32..=10_000,
            fee in 0_i32..=10_000,
            flat in 0_i64..1_000_000_000,
            subsidy in 0_i64..1_000_000_000,
            currency in prop::sample::select(vec!["INR", "JPY", "KWD"]),
        ) {
            let mut terms = fixtures::terms();
            terms.currency = currency.parse().expect("a currency");
            terms.user_share = Percentage::from_hundredths(share).expect("a percentage");
            terms.platform_fee = Percentage::from_hundredths(fee).expect("a percentage");
            terms.platform_fee_flat = Amount::from_micros(flat);
            terms.subsidy = Amount::from_micros(subsidy);
            let parts = split(&terms, Minor::new(commission)).expect("in range");
            prop_assert_eq!(
                parts.user + parts.creator + parts.fee,
                parts.commission + parts.subsidy
            );
            for part in [parts.user, parts.creator, parts.fee, parts.subsidy] {
                prop_assert!(part >= Minor::ZERO);
            }
        }
    }
}
